/*
 * Stand-in sockets.
 *
 * A socket of ours inside the session is a way out of its empty network namespace for as long as it lives: a thread
 * could disconnect it (AF_UNSPEC) and connect it elsewhere. connect.c answers every such call itself. What is left is a call
 * that has to be continued, for a Unix socket, while a sibling swaps descriptor and address. Against that the kernel
 * itself holds the socket: bound to the loopback device (only CAP_NET_RAW undoes that), and with a locked filter
 * that drops whatever does not come from the peer's address and port (only CAP_NET_ADMIN unlocks it): without a
 * SYN-ACK there is no other connection. Some kernels let only root attach a filter; then Landlock's TCP rules of the session
 * are what keeps it from other ports of the host's loopback.
 *
 * Send and receive buffer sizes are never copied: setting them switches the kernel's tuning off (a factor of 1000).
 *
 * Runs as: the user, in the broker.   Input: descriptors of hostile processes; duplicated, asked for facts, never read from.
 */
#include "daemon/broker/socket.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "daemon/broker/caller.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum {
        SOCKET_EPOLLS_MAX = 16, /* epoll sets of one process that are looked at */
        SOCKET_FDS_MAX = 4096,  /* descriptors of one process that are looked through */
        SOCKET_INFO_BYTES = 65536,
        SOCKET_STACK = 64 * 1024,
};

int socket_take(pid_t tid, int number) {
        _cleanup_close_ int fd_pid = -1;
        mode_t unused;
        pid_t tgid;
        int fd;

        fd_pid = (int)syscall(SYS_pidfd_open, tid, 0);
        if (fd_pid < 0) { /* not the first thread of its process */
                if (caller_status(tid, &tgid, &unused) != 0)
                        return -ESRCH;
                fd_pid = (int)syscall(SYS_pidfd_open, tgid, 0);
        }
        if (fd_pid < 0)
                return -errno;
        fd = (int)syscall(SYS_pidfd_getfd, fd_pid, number, 0);
        return fd >= 0 ? fd : -errno;
}

static int socket_int(int fd, int level, int name, int *ret) {
        socklen_t n = sizeof(*ret);

        *ret = 0;
        return getsockopt(fd, level, name, ret, &n) < 0 ? -errno : 0;
}

static uint64_t socket_namespace(int fd) {
        uint64_t cookie = 0;
        socklen_t n = sizeof(cookie);

        return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &n) < 0 ? 0 : cookie;
}

int socket_facts(const struct socket_template *t, int fd, struct socket_facts *ret) {
        struct sockaddr_storage peer;
        socklen_t n = sizeof(peer);
        int flags, r;

        memset(ret, 0, sizeof(*ret));
        r = socket_int(fd, SOL_SOCKET, SO_DOMAIN, &ret->domain);
        if (r == 0)
                r = socket_int(fd, SOL_SOCKET, SO_TYPE, &ret->type);
        if (r == 0)
                r = socket_int(fd, SOL_SOCKET, SO_PROTOCOL, &ret->protocol);
        flags = fcntl(fd, F_GETFL);
        if (r || flags < 0)
                return r ? r : -errno;
        ret->nonblock = flags & O_NONBLOCK;
        ret->connected = getpeername(fd, (struct sockaddr *)&peer, &n) == 0;
        ret->outside = t->namespace == 0 || t->namespace == socket_namespace(fd); /* cannot tell: treat as if */
        return 0;
}

bool socket_closes_on_exec(pid_t tid, int number) {
        _cleanup_close_ int fd = -1;
        char path[64], text[256];
        const char *s;
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)tid, number);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
        if (n <= 0)
                return true;
        text[n] = '\0';
        s = strstr(text, "flags:");
        return !s || strtoul(s + 6, NULL, 8) & O_CLOEXEC;
}

static const struct socket_option {
        int level, name;
        bool keepalive; /* means something only with SO_KEEPALIVE, which comes first */
} socket_options[SOCKET_OPTIONS] = {
        { SOL_SOCKET, SO_KEEPALIVE },       { IPPROTO_TCP, TCP_KEEPIDLE, true }, { IPPROTO_TCP, TCP_KEEPINTVL, true },
        { IPPROTO_TCP, TCP_KEEPCNT, true }, { IPPROTO_TCP, TCP_NODELAY },        { IPPROTO_TCP, TCP_USER_TIMEOUT },
        { SOL_SOCKET, SO_OOBINLINE },       { SOL_SOCKET, SO_LINGER },           { SOL_SOCKET, SO_RCVTIMEO },
        { SOL_SOCKET, SO_SNDTIMEO },        { SOL_SOCKET, SO_RCVLOWAT },
};

void socket_template_init(struct socket_template *ret) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

        memset(ret, 0, sizeof(*ret));
        if (fd < 0)
                return;
        ret->namespace = socket_namespace(fd);
        for (size_t i = 0; i < SOCKET_OPTIONS; i++) {
                socklen_t n = sizeof(ret->fresh[i].value);

                if (getsockopt(fd, socket_options[i].level, socket_options[i].name, ret->fresh[i].value, &n) == 0)
                        ret->fresh[i].n = n;
        }
}

/* Only what differs from a new socket: setting is not always free of side effects. */
static void socket_copy_options(const struct socket_template *t, int fd_old, int fd_new) {
        bool keepalive = false;

        for (size_t i = 0; i < SOCKET_OPTIONS; i++) {
                const struct socket_option *o = &socket_options[i];
                _Alignas(16) char value[16];
                socklen_t n = sizeof(value);

                if ((o->keepalive && !keepalive) || getsockopt(fd_old, o->level, o->name, value, &n) < 0)
                        continue;
                if (n == t->fresh[i].n && memcmp(value, t->fresh[i].value, n) == 0)
                        continue;
                keepalive |= o->name == SO_KEEPALIVE && o->level == SOL_SOCKET;
                (void)setsockopt(fd_new, o->level, o->name, value, n);
        }
}

/* A connected socket's filter sees a packet from its TCP header on; the IP header is at SKF_NET_OFF. */
static int socket_hold(struct socket_template *t, int fd, const struct sockaddr *peer) {
        const struct sockaddr_in *sin = (const struct sockaddr_in *)peer;
        const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)peer;
        bool v6 = peer->sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr);
        uint16_t port = ntohs(peer->sa_family == AF_INET6 ? sin6->sin6_port : sin->sin_port);
        uint32_t address[4] = { 0 };
        unsigned words = v6 ? 4 : 1, offset = v6 ? 8 : 12, n = 0;
        struct sock_filter f[16];
        struct sock_fprog prog = { .filter = f };
        int one = 1;

        if (peer->sa_family == AF_INET)
                address[0] = sin->sin_addr.s_addr;
        else if (v6)
                memcpy(address, &sin6->sin6_addr, sizeof(address));
        else
                memcpy(address, (const char *)&sin6->sin6_addr + 12, sizeof(address[0]));
        f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0); /* source port */
        f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, (unsigned char)(2 * words + 1));
        for (unsigned i = 0; i < words; i++) {
                f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + offset + 4 * i);
                f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(address[i]), 0,
                                                      (unsigned char)(2 * (words - i) - 1));
        }
        f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
        f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
        prog.len = (unsigned short)n;
        if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0)
                return err_raise(-errno);
        if (t->no_filter)
                return 0;
        if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0) {
                t->no_filter = errno == EPERM;
                return t->no_filter ? 0 : err_raise(-errno);
        }
        return setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof(one)) < 0 ? err_raise(-errno) : 0;
}

int socket_stand_in(struct socket_template *t, int fd_old, const struct socket_facts *facts,
                    const struct sockaddr *peer) {
        _cleanup_close_ int fd = -1;
        int r;

        fd = socket(facts->domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
        if (fd < 0)
                return err_raise(-errno);
        socket_copy_options(t, fd_old, fd);
        r = socket_hold(t, fd, peer);
        return r ? err_pass(r) : steal_fd(&fd);
}

/* What the helper does, in a descriptor table of its own that it took over from us. */
struct socket_register {
        int fd_epoll, fd_new, number;
        struct epoll_event event;
};

/* An epoll registration is a file and a number: so the new file has to have the caller's number for a moment. */
static int socket_register(void *arg) {
        struct socket_register *r = arg;
        int fd_epoll = fcntl(r->fd_epoll, F_DUPFD_CLOEXEC, r->number + 1);
        int fd_new = fcntl(r->fd_new, F_DUPFD_CLOEXEC, r->number + 1);

        if (fd_epoll >= 0 && fd_new >= 0 && dup2(fd_new, r->number) == r->number)
                (void)epoll_ctl(fd_epoll, EPOLL_CTL_ADD, r->number, &r->event);
        _exit(0);
}

/* Not a thread: it shares memory but not descriptors, and we stand still until it has ended, as with vfork(2). */
static void socket_register_helper(struct socket_register *r) {
        char *stack = malloc(SOCKET_STACK);
        pid_t pid;

        if (!stack)
                return;
        pid = clone(socket_register, stack + SOCKET_STACK, CLONE_VM | CLONE_VFORK, r);
        if (pid > 0)
                (void)waitpid(pid, NULL, __WALL);
        free(stack);
}

/* Lines of an eventpoll's fdinfo: "tfd: 9 events: 19 data: 9 pos:0 ino:1f sdev:8". */
static bool socket_find_registration(const char *text, int number, const struct stat *old, struct epoll_event *ret) {
        for (const char *s = strstr(text, "tfd:"); s; s = strstr(s + 1, "tfd:")) {
                unsigned events;
                uint64_t data, ino;
                int tfd;

                if (sscanf(s, "tfd: %d events: %x data: %" SCNx64 " pos:%*d ino:%" SCNx64, &tfd, &events, &data,
                           &ino) != 4)
                        continue;
                if (tfd != number || ino != old->st_ino)
                        continue;
                ret->events = events;
                ret->data.u64 = data;
                return true;
        }
        return false;
}

static void socket_repair_one(pid_t tid, int fd_number, int number, const struct stat *old, int fd_new, char *text) {
        _cleanup_close_ int fd_info = -1, fd_epoll = -1;
        struct socket_register r = { .fd_new = fd_new, .number = number };
        char path[64];
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)tid, fd_number);
        fd_info = open(path, O_RDONLY | O_CLOEXEC);
        n = fd_info >= 0 ? fd_read_full(fd_info, text, SOCKET_INFO_BYTES - 1) : -1;
        if (n <= 0)
                return;
        text[n] = '\0';
        if (!socket_find_registration(text, number, old, &r.event))
                return;
        fd_epoll = socket_take(tid, fd_number);
        if (fd_epoll < 0)
                return;
        r.fd_epoll = fd_epoll;
        socket_register_helper(&r);
}

void socket_repair_epoll(pid_t tid, int number, int fd_old, int fd_new) {
        _cleanup_closedir_ DIR *dir = NULL;
        _cleanup_free_ char *text = NULL;
        unsigned n_seen = 0, n_epolls = 0;
        char path[64], target[32];
        struct dirent *d;
        struct stat old;

        snprintf(path, sizeof(path), "/proc/%d/fd", (int)tid);
        dir = opendir(path);
        if (!dir || fstat(fd_old, &old) < 0)
                return;
        while (n_seen++ < SOCKET_FDS_MAX && n_epolls < SOCKET_EPOLLS_MAX && (d = readdir(dir))) {
                ssize_t n = readlinkat(dirfd(dir), d->d_name, target, sizeof(target) - 1);

                if (n <= 0)
                        continue;
                target[n] = '\0';
                if (strcmp(target, "anon_inode:[eventpoll]") != 0)
                        continue;
                if (!text)
                        text = malloc(SOCKET_INFO_BYTES);
                if (!text)
                        return;
                n_epolls++;
                socket_repair_one(tid, atoi(d->d_name), number, &old, fd_new, text);
        }
}
