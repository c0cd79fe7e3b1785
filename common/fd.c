/*
 * Passing descriptors and reading whole things.
 * Runs as: anyone.   Input: messages of the peer process; only counted and bounded here.
 */
#include "common/fd.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "common/error.h"

union control {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int) * FD_PER_MESSAGE_MAX)];
};

int fd_send(int fd, const void *data, size_t n, const int *fds, size_t n_fds) {
        union control control;
        struct iovec iov = { .iov_base = (void *)data, .iov_len = n };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t sent;

        if (n == 0 || n_fds > FD_PER_MESSAGE_MAX)
                return err_raise(-EINVAL);
        if (n_fds > 0) {
                struct cmsghdr *c;

                msg.msg_control = control.buf;
                msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                memset(&control, 0, sizeof(control));
                c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
        }
        do
                sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent < 0)
                return errno == EAGAIN ? FD_E_AGAIN : err_raise(-errno);
        return (size_t)sent == n ? 0 : err_raise(-EIO);
}

static int fd_recv_flags(int fd, void *data, size_t cap, size_t *ret_n, int *fds, size_t cap_fds, size_t *ret_n_fds,
                         int flags) {
        union control control;
        struct iovec iov = { .iov_base = data, .iov_len = cap };
        struct msghdr msg = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.buf,
                              .msg_controllen = sizeof(control.buf) };
        int got[FD_PER_MESSAGE_MAX];
        size_t n_got = 0;
        ssize_t n;

        do
                n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | flags);
        while (n < 0 && errno == EINTR);
        if (n < 0) {
                if (errno == EAGAIN)
                        return FD_E_AGAIN;
                return errno == ECONNRESET ? FD_E_CLOSED : err_raise(-errno);
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
                size_t m;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                m = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < m && n_got < FD_PER_MESSAGE_MAX; i++)
                        memcpy(&got[n_got++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        }
        if (n == 0 && n_got == 0)
                return FD_E_CLOSED;
        if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || n_got > cap_fds) {
                fd_close_many(got, n_got); /* ours already, even in a bad message */
                return FD_E_MALFORMED;
        }
        if (n_got > 0)
                memcpy(fds, got, n_got * sizeof(int));
        *ret_n = (size_t)n;
        *ret_n_fds = n_got;
        return 0;
}

int fd_recv(int fd, void *data, size_t cap, size_t *ret_n, int *fds, size_t cap_fds, size_t *ret_n_fds) {
        return fd_recv_flags(fd, data, cap, ret_n, fds, cap_fds, ret_n_fds, 0);
}

int fd_recv_now(int fd, void *data, size_t cap, size_t *ret_n, int *fds, size_t cap_fds, size_t *ret_n_fds) {
        return fd_recv_flags(fd, data, cap, ret_n, fds, cap_fds, ret_n_fds, MSG_DONTWAIT);
}

void fd_close_many(int *fds, size_t n) {
        for (size_t i = 0; i < n; i++)
                fd_close(&fds[i]);
}

int fd_dup(int fd) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        return copy >= 0 ? copy : err_raise(-errno);
}

int fd_set_nonblock(int fd, bool on) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
                return err_raise(-errno);
        return 0;
}

ssize_t fd_read_full(int fd, void *data, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t m = read(fd, (char *)data + done, n - done);

                if (m < 0 && errno == EINTR)
                        continue;
                if (m < 0)
                        return err_raise(-errno);
                if (m == 0)
                        break;
                done += (size_t)m;
        }
        return (ssize_t)done;
}

int fd_write_full(int fd, const void *data, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t m = write(fd, (const char *)data + done, n - done);

                if (m < 0 && errno == EINTR)
                        continue;
                if (m < 0)
                        return err_raise(-errno);
                done += (size_t)m;
        }
        return 0;
}

void fd_keep_only(int *const *keep, size_t n) {
        unsigned from = 3;

        for (size_t i = 0; i < n; i++)
                if (*keep[i] >= 0 && *keep[i] < 3)
                        *keep[i] = fd_dup(*keep[i]);
        for (;;) {
                int lowest = -1;

                for (size_t i = 0; i < n; i++)
                        if (*keep[i] >= (int)from && (lowest < 0 || *keep[i] < lowest))
                                lowest = *keep[i];
                if (lowest < 0)
                        break;
                if ((unsigned)lowest > from)
                        (void)close_range(from, (unsigned)lowest - 1, 0);
                from = (unsigned)lowest + 1;
        }
        (void)close_range(from, ~0U, 0);
}
