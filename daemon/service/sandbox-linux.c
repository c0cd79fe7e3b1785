/*
 * What the service does after its start: waits, reads and writes descriptors it was given, passes them on, writes below its
 * state directory. Everything else is refused with EPERM, not answered with a signal: a library that tries something new
 * must not become a way to end every session.
 *
 * Runs as: user nono.   Input: none.
 */
#include "daemon/service/sandbox-linux.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"

/* linux/landlock.h, as far as it is used; Debian 12's copy ends before ABI 6. */
#define LANDLOCK_VERSION_FLAG 1U
enum { LANDLOCK_PATH_BENEATH = 1 };
enum {
        LANDLOCK_FS_EXECUTE = 1 << 0,
        LANDLOCK_FS_WRITE_FILE = 1 << 1,
        LANDLOCK_FS_READ_FILE = 1 << 2,
        LANDLOCK_FS_READ_DIR = 1 << 3,
        LANDLOCK_FS_REMOVE_FILE = 1 << 5,
        LANDLOCK_FS_MAKE_REG = 1 << 8,
        LANDLOCK_FS_REFER = 1 << 13,     /* ABI 2 */
        LANDLOCK_FS_TRUNCATE = 1 << 14,  /* ABI 3 */
        LANDLOCK_NET_BOTH = 3,           /* ABI 4: bind, connect */
        LANDLOCK_FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
        LANDLOCK_SCOPE_BOTH = 3,         /* ABI 6: abstract sockets, signals */
        LANDLOCK_FS_ABI1 = (1 << 13) - 1,
};
struct landlock_ruleset {
        uint64_t fs, net, scoped;
};
struct landlock_beneath {
        uint64_t allowed;
        int32_t fd;
} __attribute__((packed));

static const char *const sandbox_calls[] = {
        "read",
        "readv",
        "pread64",
        "preadv",
        "write",
        "writev",
        "pwrite64",
        "pwritev",
        "close",
        "close_range",
        "lseek",
        "fstat",
        "newfstatat",
        "statx",
        "fstatfs",
        "fcntl",
        "fsync",
        "fdatasync",
        "ftruncate",
        "dup",
        "dup3",
        "openat",
        "unlinkat",
        "renameat",
        "renameat2", /* Landlock says where; without it, user nono's rights do */
        "recvmsg",
        "recvfrom",
        "sendmsg",
        "sendto",
        "getsockname",
        "getsockopt",
        "setsockopt",
        "shutdown",
        "epoll_wait",
        "epoll_pwait",
        "epoll_pwait2",
        "epoll_ctl",
        "epoll_create1",
        "poll",
        "ppoll",
        "eventfd2",
        "timerfd_create",
        "timerfd_settime",
        "timerfd_gettime",
        "signalfd4",
        "mmap",
        "munmap",
        "mremap",
        "madvise",
        "brk",
        "memfd_create",
        "clock_gettime",
        "clock_getres",
        "gettimeofday",
        "time",
        "nanosleep",
        "clock_nanosleep",
        "getrandom",
        "futex",
        "sched_yield",
        "restart_syscall",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "sigaltstack",
        "getpid",
        "gettid",
        "getuid",
        "geteuid",
        "getgid",
        "getegid",
        "uname",
        "sysinfo",
        "prlimit64",
        "getrlimit",
        "exit",
        "exit_group",
};

static int sandbox_add(scmp_filter_ctx f, const char *name) {
        int nr = seccomp_syscall_resolve_name(name);

        if (nr == __NR_SCMP_ERROR)
                return 0;              /* not known to this libseccomp, so it is refused */
        if (strcmp(name, "mmap") == 0) /* no memory becomes code */
                return seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        return seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0);
}

static int sandbox_seccomp(void) {
        scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        int r = f ? 0 : -ENOMEM;

        for (size_t i = 0; i < ELEMENTSOF(sandbox_calls) && r == 0; i++)
                r = sandbox_add(f, sandbox_calls[i]);
        if (r == 0)
                r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        if (r == 0) /* assert(3) ends us, and nobody else */
                r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
        if (r == 0) /* the log asks whether it writes to a terminal */
                r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, TCGETS));
        if (r == 0)
                r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONREAD));
        if (r == 0)
                r = seccomp_load(f);
        seccomp_release(f);
        return r < 0 ? err_raise(r) : 0;
}

static uint64_t sandbox_rights(long abi) {
        uint64_t rights = LANDLOCK_FS_ABI1;

        if (abi >= 2)
                rights |= LANDLOCK_FS_REFER;
        if (abi >= 3)
                rights |= LANDLOCK_FS_TRUNCATE;
        if (abi >= 5)
                rights |= LANDLOCK_FS_IOCTL_DEV;
        return rights;
}

/* Return: the ABI in force; 0 when there is none; -errno. */
static int sandbox_landlock(int fd_state) {
        struct landlock_ruleset set = { 0 };
        struct landlock_beneath state = {
                .allowed = LANDLOCK_FS_WRITE_FILE | LANDLOCK_FS_READ_FILE | LANDLOCK_FS_READ_DIR |
                           LANDLOCK_FS_REMOVE_FILE | LANDLOCK_FS_MAKE_REG | LANDLOCK_FS_TRUNCATE,
                .fd = fd_state,
        };
        _cleanup_close_ int fd = -1;
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION_FLAG);

        if (abi < 0)
                return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : err_raise(-errno);
        set.fs = sandbox_rights(abi);
        set.net = abi >= 4 ? LANDLOCK_NET_BOTH : 0;
        set.scoped = abi >= 6 ? LANDLOCK_SCOPE_BOTH : 0;
        fd = (int)syscall(SYS_landlock_create_ruleset, &set, abi >= 6 ? sizeof(set) : abi >= 4 ? 16 : 8, 0);
        if (fd < 0)
                return err_raise(-errno);
        state.allowed &= set.fs;
        if (fd_state >= 0 && syscall(SYS_landlock_add_rule, fd, LANDLOCK_PATH_BENEATH, &state, 0) < 0)
                return err_raise(-errno);
        if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                return err_raise(-errno);
        return (int)abi;
}

int sandbox_apply(int fd_state) {
        struct rlimit none = { 0, 0 };
        int abi, r;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return err_raise(-errno);
        (void)setrlimit(RLIMIT_CORE, &none);
        abi = sandbox_landlock(fd_state);
        if (abi < 0)
                return err_pass(abi);
        r = sandbox_seccomp();
        if (r)
                return err_pass(r);
        if (abi)
                log_info("service: confined by seccomp and Landlock (ABI %d)", abi);
        else
                log_warning("service: confined by seccomp; this kernel has no Landlock");
        return 0;
}
