/*
 * The seccomp listener.
 *
 * One notification per round: a receive blocks when there is none, and only the poll that brought us here promised one.
 * Errors of the answers are not reported: ENOENT says the caller was killed, and nobody is left to be told anything.
 *
 * Runs as: the user, in the broker.   Input: notifications (kernel).
 */
#include "daemon/broker/notify.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/error.h"
#include "common/log.h"
#include "common/loop.h"
#include "daemon/broker/change.h"
#include "daemon/broker/connect.h"
#include "daemon/broker/syscalls.h"

/* Linux 6.6 */
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#endif

struct notify {
        struct loop *loop;
        int fd;
        struct loop_source *source;
        struct change *change;
        struct connects *connects;
        void (*on_over)(void *arg);
        void *arg;
        struct seccomp_notif *request; /* as large as the kernel's, which may have grown */
        struct seccomp_notif_resp *response;
        size_t n_request, n_response;
};

static void notify_handle(struct notify *n) {
        const struct seccomp_notif *q = n->request;
        struct notice notice = { .id = q->id, .tid = (pid_t)q->pid };

        if (q->data.arch == call_audit_arch())
                notice.shape = call_shape(q->data.nr);
        if (!notice.shape || notice.tid <= 0) {
                notify_continue(n, q->id);
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(notice.args); i++)
                notice.args[i] = q->data.args[i];
        if (notice.shape->call == CALL_CONNECT)
                connects_handle(n->connects, &notice);
        else
                change_handle(n->change, &notice);
}

static void notify_end(struct notify *n) {
        n->source = loop_source_free(n->source);
        fd_close(&n->fd);
        n->on_over(n->arg);
}

static void on_notify(int fd, unsigned ready, void *arg) {
        struct notify *n = arg;
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (poll(&p, 1, 0) <= 0)
                return;
        if (!(p.revents & POLLIN)) {
                if (p.revents & (POLLHUP | POLLERR | POLLNVAL))
                        notify_end(n);
                return;
        }
        memset(n->request, 0, n->n_request);
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, n->request) < 0) {
                if (errno != ENOENT && errno != EINTR)
                        log_warning("cannot receive a notification: %s", strerror(errno));
                return;
        }
        notify_handle(n);
}

int notify_new(struct loop *l, void (*on_over)(void *arg), void *arg, struct notify **ret) {
        _cleanup_(notify_freep) struct notify *n = NULL;
        struct seccomp_notif_sizes sizes;

        n = calloc(1, sizeof(*n));
        if (!n)
                return err_raise(-ENOMEM);
        n->fd = -1;
        n->loop = l;
        n->on_over = on_over;
        n->arg = arg;
        if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
                return err_raise(-errno);
        n->n_request = MAX_OF((size_t)sizes.seccomp_notif, sizeof(*n->request));
        n->n_response = MAX_OF((size_t)sizes.seccomp_notif_resp, sizeof(*n->response));
        n->request = calloc(1, n->n_request);
        n->response = calloc(1, n->n_response);
        if (!n->request || !n->response)
                return err_raise(-ENOMEM);
        *ret = steal_ptr(&n);
        return 0;
}

struct notify *notify_free(struct notify *n) {
        if (!n)
                return NULL;
        loop_source_free(n->source);
        fd_close(&n->fd);
        free(n->request);
        free(n->response);
        free(n);
        return NULL;
}

void notify_set_handlers(struct notify *n, struct change *change, struct connects *connects) {
        n->change = change;
        n->connects = connects;
}

int notify_listen(struct notify *n, int fd) {
        uint64_t none = 0;
        int r;

        if (n->fd >= 0)
                return err_raise(-EBUSY);
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &none) == 0 || errno != ENOENT)
                return err_raise(-EINVAL); /* not a listener */
        /* the waker gives its CPU to the woken: half of the price of a trapped call. Before 6.6: EINVAL */
        (void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
        r = loop_io(n->loop, fd, LOOP_READ, on_notify, n, &n->source);
        if (r)
                return err_pass(r);
        n->fd = fd;
        return 0;
}

bool notify_has_listener(const struct notify *n) {
        return n->fd >= 0;
}

static void notify_respond(struct notify *n, uint64_t id, int64_t value, int error, uint32_t flags) {
        if (n->fd < 0)
                return;
        memset(n->response, 0, n->n_response);
        n->response->id = id;
        n->response->val = value;
        n->response->error = -error;
        n->response->flags = flags;
        if (ioctl(n->fd, SECCOMP_IOCTL_NOTIF_SEND, n->response) < 0 && errno != ENOENT)
                log_warning("cannot answer a notification: %s", strerror(errno));
}

void notify_continue(struct notify *n, uint64_t id) {
        notify_respond(n, id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

void notify_error(struct notify *n, uint64_t id, int error) {
        notify_respond(n, id, 0, error, 0);
}

void notify_value(struct notify *n, uint64_t id, int64_t value) {
        notify_respond(n, id, value, 0, 0);
}

bool notify_is_valid(struct notify *n, uint64_t id) {
        return n->fd >= 0 && ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static int notify_add_fd(struct notify *n, struct seccomp_notif_addfd *a) {
        if (n->fd < 0)
                return -ENOENT;
        return ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ADDFD, a) < 0 ? -errno : 0;
}

int notify_return_fd(struct notify *n, uint64_t id, int fd, bool close_on_exec) {
        struct seccomp_notif_addfd a = {
                .id = id,
                .flags = SECCOMP_ADDFD_FLAG_SEND,
                .srcfd = (uint32_t)fd,
                .newfd_flags = close_on_exec ? O_CLOEXEC : 0,
        };

        return notify_add_fd(n, &a);
}

int notify_replace_fd(struct notify *n, uint64_t id, int fd, int number, bool close_on_exec) {
        struct seccomp_notif_addfd a = {
                .id = id,
                .flags = SECCOMP_ADDFD_FLAG_SETFD,
                .srcfd = (uint32_t)fd,
                .newfd = (uint32_t)number,
                .newfd_flags = close_on_exec ? O_CLOEXEC : 0,
        };

        return notify_add_fd(n, &a);
}
