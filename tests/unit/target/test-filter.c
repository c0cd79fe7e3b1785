/*
 * The filter: what is refused and how, what the broker sees, and what never leaves the kernel.
 * Runs as: anyone (no_new_privs is enough).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/target/filter.h"

static struct sock_fprog filter;

/* Answers everything with CONTINUE and counts. */
struct answers {
        int fd;
        volatile int n;
};

static void *answer(void *arg) {
        struct answers *a = arg;

        for (;;) {
                struct seccomp_notif req = { 0 };
                struct seccomp_notif_resp resp = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

                if (ioctl(a->fd, SECCOMP_IOCTL_NOTIF_RECV, &req) < 0)
                        continue;
                a->n++;
                resp.id = req.id;
                (void)ioctl(a->fd, SECCOMP_IOCTL_NOTIF_SEND, &resp);
        }
        return NULL;
}

/* Runs @fn in a child under the filter; a thread that was there before answers. Return: what @fn returned. */
static int under_filter(int (*fn)(struct answers *a)) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                struct answers a = { .fd = -1 };
                pthread_t thread;
                int fd;

                alarm(10);
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                pthread_create(&thread, NULL, answer, &a);
                fd = filter_install(&filter);
                if (fd < 0)
                        _exit(99);
                a.fd = fd;
                _exit(fn(&a));
        }
        waitpid(pid, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const struct {
        const char *what;
        long nr;
        long args[3];
        int error;
} refused[] = {
        { "io_uring", SYS_io_uring_setup, { 1, 0 }, ENOSYS },
        { "clone3", SYS_clone3, { 0, 0 }, ENOSYS },
        { "unshare user namespace", SYS_unshare, { CLONE_NEWUSER }, EPERM },
        { "unshare mount namespace", SYS_unshare, { CLONE_NEWNS }, EPERM },
        { "clone with a user namespace", SYS_clone, { CLONE_NEWUSER | SIGCHLD, 0, 0 }, EPERM },
        { "setns", SYS_setns, { 0, 0 }, EPERM },
        { "mount", SYS_mount, { 0, 0, 0 }, EPERM },
        { "umount2", SYS_umount2, { 0, 0 }, EPERM },
        { "open_tree", SYS_open_tree, { AT_FDCWD, 0, 0 }, EPERM },
        { "move_mount", SYS_move_mount, { 0, 0, 0 }, EPERM },
        { "fsopen", SYS_fsopen, { 0, 0 }, EPERM },
        { "mount_setattr", SYS_mount_setattr, { 0, 0, 0 }, EPERM },
        { "pivot_root", SYS_pivot_root, { 0, 0 }, EPERM },
        { "chroot", SYS_chroot, { 0 }, EPERM },
        { "open_by_handle_at", SYS_open_by_handle_at, { 0, 0, 0 }, EPERM },
        { "keyctl", SYS_keyctl, { 0, 0, 0 }, EPERM },
        { "add_key", SYS_add_key, { 0, 0, 0 }, EPERM },
        { "bpf", SYS_bpf, { 0, 0, 0 }, EPERM },
        { "perf_event_open", SYS_perf_event_open, { 0, 0, 0 }, EPERM },
        { "userfaultfd", SYS_userfaultfd, { 0 }, EPERM },
        { "process_vm_readv", SYS_process_vm_readv, { 1, 0, 0 }, EPERM },
        { "process_vm_writev", SYS_process_vm_writev, { 1, 0, 0 }, EPERM },
        { "pidfd_getfd", SYS_pidfd_getfd, { 0, 0, 0 }, EPERM },
        { "kexec_load", SYS_kexec_load, { 0, 0, 0 }, EPERM },
        { "init_module", SYS_init_module, { 0, 0, 0 }, EPERM },
        { "fanotify_init", SYS_fanotify_init, { 0, 0 }, EPERM },
        { "a number nobody knows", 1000, { 0 }, ENOSYS },
        { "packet socket", SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, EAFNOSUPPORT },
        { "vsock", SYS_socket, { AF_VSOCK, SOCK_STREAM, 0 }, EAFNOSUPPORT },
        { "crypto socket", SYS_socket, { AF_ALG, SOCK_SEQPACKET, 0 }, EAFNOSUPPORT },
        { "audit netlink", SYS_socket, { AF_NETLINK, SOCK_RAW, 9 }, EAFNOSUPPORT },
        { "a family far beyond", SYS_socket, { 1000, SOCK_STREAM, 0 }, EAFNOSUPPORT },
        { "pushing terminal input", SYS_ioctl, { 0, 0x5412, 0 }, EPERM },
        { "pushing terminal input, dirty high bits", SYS_ioctl, { 0, 0x100005412, 0 }, EPERM },
        { "console control", SYS_ioctl, { 0, 0x541c, 0 }, EPERM },
};

static int try_refused(struct answers *a) {
        int bad = 0;

        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
                errno = 0;
                if (syscall(refused[i].nr, refused[i].args[0], refused[i].args[1], refused[i].args[2], 0, 0, 0) >= 0 ||
                    errno != refused[i].error) {
                        fprintf(stderr, "# %s: %s\n", refused[i].what, strerror(errno));
                        bad++;
                }
        }
        return bad;
}

static void test_refused_calls_fail_with_the_documented_error(void **state) {
        assert_int_equal(under_filter(try_refused), 0);
}

static int try_allowed(struct answers *a) {
        int fd = open("/dev/null", O_RDONLY), before = a->n, sock[2];
        pid_t pid;

        for (int i = 0; i < 100; i++)
                if (close(open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
                        return 1;
        if (fd < 0 || a->n != before)
                return 2; /* reading must never reach the broker */
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock) < 0 || socket(AF_INET, SOCK_STREAM, 0) < 0 ||
            socket(AF_INET6, SOCK_DGRAM, 0) < 0 || socket(AF_NETLINK, SOCK_RAW, 0) < 0)
                return 3;
        int one = 1;

        if (ioctl(sock[0], FIONBIO, &one) < 0 || isatty(sock[0]) || errno != ENOTTY)
                return 5; /* every ioctl but two */
        pid = fork();
        if (pid == 0)
                _exit(0);
        return pid > 0 && waitpid(pid, NULL, 0) == pid ? 0 : 4;
}

static void test_ordinary_work_never_reaches_the_broker(void **state) {
        assert_int_equal(under_filter(try_allowed), 0);
}

static int try_brokered(struct answers *a) {
        struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "/nonexistent" };
        struct {
                uint64_t flags, mode, resolve;
        } how = { .flags = O_RDONLY };
        int want = 0, s = socket(AF_UNIX, SOCK_STREAM, 0);

#define CALL(...)                                                                                                      \
        do {                                                                                                           \
                (void)(__VA_ARGS__);                                                                                   \
                want++;                                                                                                \
                if (a->n != want) {                                                                                    \
                        fprintf(stderr, "# not seen: %s\n", #__VA_ARGS__);                                             \
                        return 1;                                                                                      \
                }                                                                                                      \
        } while (0)
        CALL(open("/dev/null", O_WRONLY));
        CALL(open("/dev/null", O_RDWR));
        CALL(open("/nonexistent/x", O_RDONLY | O_CREAT, 0600));
        CALL(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY));
        CALL(syscall(SYS_openat2, AT_FDCWD, "/dev/null", &how, sizeof(how)));
        CALL(syscall(SYS_mkdirat, AT_FDCWD, "/nonexistent/x", 0700));
        CALL(syscall(SYS_renameat2, AT_FDCWD, "/nonexistent/x", AT_FDCWD, "/nonexistent/y", 0));
        CALL(syscall(SYS_linkat, AT_FDCWD, "/nonexistent/x", AT_FDCWD, "/nonexistent/y", 0));
        CALL(syscall(SYS_symlinkat, "x", AT_FDCWD, "/nonexistent/y"));
        CALL(syscall(SYS_unlinkat, AT_FDCWD, "/nonexistent/x", 0));
        CALL(syscall(SYS_mknodat, AT_FDCWD, "/nonexistent/x", 0600, 0));
        CALL(connect(s, (struct sockaddr *)&sun, sizeof(sun)));
#ifdef SYS_open
        CALL(syscall(SYS_open, "/dev/null", O_WRONLY));
        CALL(syscall(SYS_creat, "/nonexistent/x", 0600));
        CALL(syscall(SYS_mkdir, "/nonexistent/x", 0700));
        CALL(syscall(SYS_rename, "/nonexistent/x", "/nonexistent/y"));
        CALL(syscall(SYS_link, "/nonexistent/x", "/nonexistent/y"));
        CALL(syscall(SYS_symlink, "x", "/nonexistent/y"));
        CALL(syscall(SYS_unlink, "/nonexistent/x"));
        CALL(syscall(SYS_rmdir, "/nonexistent/x"));
        CALL(syscall(SYS_mknod, "/nonexistent/x", 0600, 0));
#endif
#undef CALL
        return 0;
}

static void test_creating_writing_and_connecting_reach_the_broker_in_every_form(void **state) {
        assert_int_equal(under_filter(try_brokered), 0);
}

#ifdef __x86_64__
static int try_foreign(struct answers *a) {
        long r;

        /* x32: the same numbers with bit 30 set */
        errno = 0;
        if (syscall(0x40000000 + SYS_getpid) >= 0 || errno != ENOSYS)
                return 1;
        /* i386 entry: 20 is getpid there, and a number of our table here */
        __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
        return (int)r == -ENOSYS ? 0 : 2;
}

static void test_foreign_architectures_are_refused(void **state) {
        assert_int_equal(under_filter(try_foreign), 0);
}
#endif

static int setup(void **state) {
        return filter_build(&filter);
}

static int teardown(void **state) {
        free(filter.filter);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refused_calls_fail_with_the_documented_error),
                cmocka_unit_test(test_ordinary_work_never_reaches_the_broker),
                cmocka_unit_test(test_creating_writing_and_connecting_reach_the_broker_in_every_form),
#ifdef __x86_64__
                cmocka_unit_test(test_foreign_architectures_are_refused),
#endif
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
