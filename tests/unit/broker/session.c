/*
 * Programs of the miniature session; each act is one system call under test.
 * Runs as: TEST_UID, inside the view.   Input: commands of the test.
 */
#include "session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "view.h"

#define BPF_LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))

static int install_filter(void) {
        static const int trapped[] = {
                SYS_openat2,  SYS_mkdirat,   SYS_mknodat,  SYS_renameat2,
                SYS_linkat,   SYS_symlinkat, SYS_unlinkat, SYS_connect,
#ifdef SYS_renameat
                SYS_renameat,
#endif
#ifdef SYS_open
                SYS_creat,    SYS_mkdir,     SYS_mknod,    SYS_rename,
                SYS_link,     SYS_symlink,   SYS_unlink,   SYS_rmdir,
#endif
        };
        static const struct {
                int nr;
                unsigned offset;
        } opens[] = {
                { SYS_openat, offsetof(struct seccomp_data, args[2]) },
#ifdef SYS_open
                { SYS_open, offsetof(struct seccomp_data, args[1]) },
#endif
        };
        struct sock_filter f[128];
        struct sock_fprog prog = { .filter = f };
        unsigned n = 0;

        f[n++] = (struct sock_filter)BPF_LOAD(nr);
        for (size_t i = 0; i < ELEMENTSOF(trapped); i++) {
                f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)trapped[i], 0, 1);
                f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
        }
        for (size_t i = 0; i < ELEMENTSOF(opens); i++) {
                f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)opens[i].nr, 0, 5);
                f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, opens[i].offset);
                f[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, O_ACCMODE | O_CREAT);
                f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
                f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
                f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
        }
        f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        prog.len = (unsigned short)n;
        return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                            SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &prog);
}

/* No TCP connect of the session's own, to anywhere: what works under this works by the broker alone. */
static void forbid_tcp(void) {
        struct {
                uint64_t fs, net;
        } rules = { .net = 2 /* LANDLOCK_ACCESS_NET_CONNECT_TCP, Linux 6.7 */ };
        int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);

        if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                return;
        close(fd);
}

static int64_t now_us(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

struct burst {
        const struct command *c;
        int number, failed;
};

static void *run_burst(void *arg) {
        struct burst *b = arg;

        for (int i = 0; i < b->c->mode; i++) {
                char path[600];
                struct stat st;

                snprintf(path, sizeof(path), "%s%d", b->c->path, b->number * b->c->mode + i);
                if (stat(path, &st) < 0 && errno == ENOENT)
                        b->failed++;
        }
        return NULL;
}

static int act_burst(const struct command *c) {
        struct burst *b = calloc((size_t)c->flags, sizeof(*b));
        pthread_t *t = calloc((size_t)c->flags, sizeof(*t));
        pthread_attr_t attr;
        int total = 0, made;

        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, 64 * 1024);
        for (made = 0; made < c->flags; made++) {
                b[made].c = c;
                b[made].number = made;
                if (pthread_create(&t[made], &attr, run_burst, &b[made]) != 0)
                        break;
        }
        for (int i = 0; i < made; i++) {
                pthread_join(t[i], NULL);
                total += b[i].failed;
        }
        free(b);
        free(t);
        return total;
}

static int act_open(const struct command *c, struct result *r) {
        int fd = open(c->path, c->flags, c->mode);

        if (fd < 0)
                return -1;
        if ((c->flags & O_ACCMODE) != O_RDONLY && write(fd, "text", 4) != 4)
                return -1;
        r->extra = fcntl(fd, F_GETFD);
        return 0;
}

/* Says 4 bytes and hears them again. */
static int echo(int fd, struct result *r) {
        char buf[4];

        if (send(fd, "ping", 4, 0) != 4 || recv(fd, buf, 4, MSG_WAITALL) != 4)
                return -1;
        r->extra = memcmp(buf, "ping", 4) == 0 ? 4 : 0;
        return 0;
}

static int connect_wait(int fd, int fd_epoll) {
        int error = 0;
        socklen_t n = sizeof(error);

        if (fd_epoll >= 0) {
                struct epoll_event e;

                if (epoll_wait(fd_epoll, &e, 1, 2000) != 1 || e.data.u64 != 0x1234567890ULL || !(e.events & EPOLLOUT)) {
                        errno = ETIME;
                        return -1;
                }
        } else {
                struct pollfd p = { .fd = fd, .events = POLLOUT };

                if (poll(&p, 1, 2000) != 1) {
                        errno = ETIME;
                        return -1;
                }
        }
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error) {
                errno = error;
                return -1;
        }
        return 0;
}

static int act_connect(const struct command *c, struct result *r) {
        struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
                                     .sin6_port = htons((uint16_t)c->flags),
                                     .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        struct sockaddr_in sin = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)c->flags),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_un sun = { .sun_family = AF_UNIX };
        bool nonblock = c->mode == CONNECT_NONBLOCK || c->mode == CONNECT_EPOLL_FIRST;
        int type = c->mode == CONNECT_UDP ? SOCK_DGRAM : SOCK_STREAM, one = 1, fd, fd_epoll = -1, flags;
        socklen_t n = sizeof(one);
        const struct sockaddr *sa = (const struct sockaddr *)&sin;
        socklen_t n_sa = sizeof(sin);

        if (c->mode == CONNECT_IPV6) {
                sa = (const struct sockaddr *)&sin6;
                n_sa = sizeof(sin6);
        } else if (c->mode == CONNECT_UNIX) {
                memcpy(sun.sun_path, c->path, sizeof(sun.sun_path) - 1);
                sa = (const struct sockaddr *)&sun;
                n_sa = sizeof(sun);
        }
        if (c->mode == CONNECT_BAD_FD)
                return connect(999, sa, n_sa);
        fd = socket(sa->sa_family,
                    type | (nonblock ? SOCK_NONBLOCK : 0) | (c->mode == CONNECT_CLOEXEC ? SOCK_CLOEXEC : 0), 0);
        if (fd < 0)
                return -1;
        if (type == SOCK_STREAM && c->mode != CONNECT_UNIX)
                setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
        if (c->mode == CONNECT_EPOLL_FIRST) {
                struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u64 = 0x1234567890ULL };

                fd_epoll = epoll_create1(EPOLL_CLOEXEC);
                if (epoll_ctl(fd_epoll, EPOLL_CTL_ADD, fd, &e) < 0)
                        return -1;
        }
        if (connect(fd, sa, n_sa) < 0) {
                if (!nonblock || errno != EINPROGRESS)
                        return -1;
                if (connect_wait(fd, fd_epoll) < 0)
                        return -1;
        } else if (nonblock) {
                errno = EPROTO; /* must have said EINPROGRESS */
                return -1;
        }
        flags = fcntl(fd, F_GETFL);
        if (!!(flags & O_NONBLOCK) != nonblock || fcntl(fd, F_GETFD) != (c->mode == CONNECT_CLOEXEC ? FD_CLOEXEC : 0)) {
                errno = EBADFD;
                return -1;
        }
        if (c->mode == CONNECT_UDP || c->mode == CONNECT_UNIX)
                return 0;
        one = 0;
        if (getsockopt(fd, IPPROTO_TCP, 1, &one, &n) < 0 || one == 0) {
                errno = ENOPROTOOPT;
                return -1;
        }
        if (c->mode == CONNECT_TWICE)
                return connect(fd, sa, n_sa);
        if (c->mode == CONNECT_DISCONNECT) {
                struct sockaddr unspecified = { .sa_family = AF_UNSPEC };

                return connect(fd, &unspecified, sizeof(unspecified));
        }
        if (c->mode == CONNECT_UNLOCK) {
                struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
                struct sock_fprog prog = { .len = 1, .filter = &all };

                r->extra = setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0) < 0 ? 1 : 0;
                if (getsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &one, &n) == 0 && one &&
                    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
                        r->extra |= 2;
                return 0;
        }
        if (c->mode ==
            CONNECT_EPOLL_FIRST) { /* the registration is the program's own again: it can be changed and removed */
                struct epoll_event e = { .events = EPOLLIN, .data.u64 = 0x1234567890ULL };

                if (epoll_ctl(fd_epoll, EPOLL_CTL_MOD, fd, &e) < 0 || send(fd, "ping", 4, 0) != 4 ||
                    epoll_wait(fd_epoll, &e, 1, 2000) != 1 || !(e.events & EPOLLIN) ||
                    epoll_ctl(fd_epoll, EPOLL_CTL_DEL, fd, NULL) < 0)
                        return -1;
                r->extra = (int32_t)recv(fd, &one, sizeof(one), 0);
                return 0;
        }
        if (nonblock)
                fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
        return echo(fd, r);
}

static int act_own_server(const struct command *c, struct result *r) {
        struct sockaddr_in sin = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)c->flags),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd_listen = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd_peer, one = 1;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (c->mode ? SOCK_NONBLOCK : 0), 0);
        char buf[4];

        setsockopt(fd_listen, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd_listen, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd_listen, 1) < 0)
                return -1;
        if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 &&
            (!c->mode || errno != EINPROGRESS || connect_wait(fd, -1) < 0))
                return -1;
        if (!!(fcntl(fd, F_GETFL) & O_NONBLOCK) != !!c->mode) {
                errno = EBADFD;
                return -1;
        }
        fd_peer = accept(fd_listen, NULL, NULL);
        if (fd_peer < 0 || send(fd, "ping", 4, 0) != 4)
                return -1;
        r->extra = (int32_t)recv(fd_peer, buf, sizeof(buf), MSG_WAITALL);
        return 0;
}

static int loopback_socket(int port) {
        struct sockaddr_in sin = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd >= 0 && connect(fd, (const struct sockaddr *)&sin, sizeof(sin)) < 0)
                fd_close(&fd);
        return fd;
}

static int act_bulk(const struct command *c) {
        static char buf[65536];
        int fd = loopback_socket(c->flags);
        size_t total = (size_t)c->mode << 20, sent = 0, heard = 0;

        if (fd < 0)
                return -1;
        while (heard < total) {
                struct pollfd p = { .fd = fd, .events = (short)(POLLIN | (sent < total ? POLLOUT : 0)) };

                if (poll(&p, 1, 5000) != 1)
                        return -1;
                if (p.revents & POLLOUT) {
                        ssize_t n = send(fd, buf, sizeof(buf), MSG_DONTWAIT);

                        sent += n > 0 ? (size_t)n : 0;
                }
                if (p.revents & POLLIN) {
                        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

                        if (n <= 0)
                                return -1;
                        heard += (size_t)n;
                }
        }
        close(fd);
        return 0;
}

static int act_writable(const struct command *c) {
        char link[64];
        int fd = open(c->path, c->flags, c->mode);

        if (fd < 0)
                return -1;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        return open(link, O_WRONLY) < 0 ? -1 : 0;
}

static void act(const struct command *c, struct result *r) {
        int64_t begin = now_us();
        struct stat st;

        errno = 0;
        switch ((enum act)c->act) {
        case ACT_STAT:
                r->value = stat(c->path, &st);
                break;
        case ACT_OPEN:
                r->value = act_open(c, r);
                break;
        case ACT_MKDIR:
                r->value = mkdir(c->path, (mode_t)c->mode);
                break;
        case ACT_RENAME:
                r->value = rename(c->path, c->path2);
                break;
        case ACT_LINK:
                r->value = link(c->path, c->path2);
                break;
        case ACT_SYMLINK:
                r->value = symlink(c->path, c->path2);
                break;
        case ACT_UNLINK:
                r->value = unlink(c->path);
                break;
        case ACT_RMDIR:
                r->value = rmdir(c->path);
                break;
        case ACT_MKNOD:
                r->value = mknod(c->path, (mode_t)c->mode, 0);
                break;
        case ACT_EXECUTE:
                r->value = execl(c->path, c->path, NULL);
                break;
        case ACT_STAT_LOOP:
                for (int i = 0; i < c->flags; i++)
                        r->value += stat(c->path, &st) < 0 && errno == ENOENT;
                errno = 0;
                break;
        case ACT_OPEN_LOOP:
                for (int i = 0; i < c->flags; i++) {
                        int fd = open(c->path, O_WRONLY | O_CREAT, 0600);

                        r->value += fd >= 0;
                        close(fd);
                }
                errno = 0;
                break;
        case ACT_BURST:
                r->value = act_burst(c);
                errno = 0;
                break;
        case ACT_CONNECT:
                r->value = act_connect(c, r);
                break;
        case ACT_CONNECT_LOOP:
                for (int i = 0; i < c->mode; i++) {
                        int fd = loopback_socket(c->flags);

                        r->value += fd >= 0;
                        fd_close(&fd);
                }
                errno = 0;
                break;
        case ACT_OWN_SERVER:
                r->value = act_own_server(c, r);
                break;
        case ACT_BULK:
                r->value = act_bulk(c);
                break;
        case ACT_BAD_POINTER:
                r->value = (int32_t)syscall(SYS_openat, AT_FDCWD, 16, O_CREAT | O_WRONLY, 0600);
                break;
        case ACT_HOLD:
                r->value = c->mode ? chdir(c->path) : open(c->path, O_RDONLY);
                break;
        case ACT_WRITABLE:
                r->value = act_writable(c);
                break;
        }
        r->error = r->value < 0 ? errno : 0;
        r->us = now_us() - begin;
}

_Noreturn void session_run(int fd_command) {
        int fd_listener;

        forbid_tcp();
        fd_listener = install_filter();
        signal(SIGCHLD, SIG_IGN);
        prctl(PR_SET_NAME, "test-init");
        if (fd_listener < 0 || fd_send(fd_command, "", 1, &fd_listener, 1) != 0)
                _exit(1);
        fd_close(&fd_listener);
        for (;;) {
                struct command c;
                size_t n, n_fds;

                if (fd_recv(fd_command, &c, sizeof(c), &n, NULL, 0, &n_fds) != 0 || n != sizeof(c))
                        _exit(0);
                if (fork() == 0) {
                        struct result r = { .id = c.id };

                        prctl(PR_SET_NAME, "test-program");
                        act(&c, &r);
                        (void)fd_send(fd_command, &r, sizeof(r), NULL, 0);
                        if (c.act == ACT_HOLD)
                                (void)pause();
                        _exit(0);
                }
        }
}
