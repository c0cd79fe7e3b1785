/*
 * What a session's programs may ask the kernel for.
 *
 * Not a list of harmless calls but the floor's complement: names (mounts, descriptors by handle), other processes'
 * memory, kernel attack surface that no development tool needs, and the calls that the broker must see because the view
 * alone cannot turn them into a question (creating names in a level, writing through a read-only grant, connecting).
 * Numbers libseccomp does not know get ENOSYS: new calls are unknown territory until somebody has looked at them.
 *
 * Runs as: root, once (filter_build); the user, per session (filter_install).   Input: none.
 */
#include "daemon/target/filter.h"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#else
#error "no audit architecture is named here for this machine"
#endif

enum { FILTER_SYSCALLS_MAX = 600 };

#define NAMESPACE_FLAGS                                                                                                \
        (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |      \
         CLONE_NEWTIME)

/* Refused outright. ENOSYS where programs then fall back to something we do understand. */
static const struct {
        const char *name;
        int error;
} refused[] = {
        { "clone3", ENOSYS }, /* flags lie behind a pointer; libc falls back to clone(2) */
        { "io_uring_setup", ENOSYS },
        { "io_uring_enter", ENOSYS },
        { "io_uring_register", ENOSYS },
        /* names and mounts */
        { "mount", EPERM },
        { "umount", EPERM },
        { "umount2", EPERM },
        { "pivot_root", EPERM },
        { "chroot", EPERM },
        { "open_tree", EPERM },
        { "move_mount", EPERM },
        { "fsopen", EPERM },
        { "fsconfig", EPERM },
        { "fsmount", EPERM },
        { "fspick", EPERM },
        { "mount_setattr", EPERM },
        { "open_by_handle_at", EPERM },
        { "name_to_handle_at", EOPNOTSUPP },
        { "setns", EPERM },
        { "quotactl", EPERM },
        { "quotactl_fd", EPERM },
        { "fanotify_init", EPERM },
        /* other processes */
        { "process_vm_readv", EPERM },
        { "process_vm_writev", EPERM },
        { "process_madvise", EPERM },
        { "pidfd_getfd", EPERM },
        { "kcmp", EPERM },
        /* keys outlive the session and are shared with the user's other programs */
        { "add_key", EPERM },
        { "request_key", EPERM },
        { "keyctl", EPERM },
        /* kernel surface */
        { "bpf", EPERM },
        { "perf_event_open", EPERM },
        { "userfaultfd", EPERM },
        { "lookup_dcookie", EPERM },
        { "acct", EPERM },
        { "swapon", EPERM },
        { "swapoff", EPERM },
        { "reboot", EPERM },
        { "kexec_load", EPERM },
        { "kexec_file_load", EPERM },
        { "init_module", EPERM },
        { "finit_module", EPERM },
        { "delete_module", EPERM },
        { "create_module", ENOSYS },
        { "iopl", EPERM },
        { "ioperm", EPERM },
        { "modify_ldt", EPERM },
        { "vm86", ENOSYS },
        { "vm86old", ENOSYS },
        { "nfsservctl", ENOSYS },
        { "uselib", ENOSYS },
        { "sysfs", ENOSYS },
        { "_sysctl", ENOSYS },
        { "settimeofday", EPERM },
        { "clock_settime", EPERM },
        { "adjtimex", EPERM },
        { "clock_adjtime", EPERM },
        { "syslog", EPERM },
        { "vhangup", EPERM },
};

/* The broker sees every use: their effect in a level cannot be had any other way. */
static const char *const brokered[] = {
        "creat",  "openat2", "mkdir",   "mkdirat",   "mknod",  "mknodat",  "rename", "renameat", "renameat2",
        "link",   "linkat",  "symlink", "symlinkat", "unlink", "unlinkat", "rmdir",  "connect",
};

static int filter_one(scmp_filter_ctx ctx, uint32_t action, int nr, struct scmp_arg_cmp cmp) {
        return seccomp_rule_add_exact_array(ctx, action, nr, 1, &cmp);
}

/* open and openat: only what creates or writes is brokered; plain reading never leaves the kernel. */
static int filter_open(scmp_filter_ctx ctx, int nr, unsigned arg) {
        static const uint64_t mask = O_ACCMODE | O_CREAT;
        int r;

        r = filter_one(ctx, SCMP_ACT_ALLOW, nr, SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, O_RDONLY));
        for (unsigned access = 0; r == 0 && access <= O_ACCMODE; access++) {
                if (access != O_RDONLY)
                        r = filter_one(ctx, SCMP_ACT_NOTIFY, nr, SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, access));
                if (r == 0)
                        r = filter_one(ctx, SCMP_ACT_NOTIFY, nr, SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, access | O_CREAT));
        }
        return r;
}

static int filter_namespaces(scmp_filter_ctx ctx, int nr) {
        int r = filter_one(ctx, SCMP_ACT_ALLOW, nr, SCMP_CMP(0, SCMP_CMP_MASKED_EQ, NAMESPACE_FLAGS, 0));

        for (unsigned bit = 0; r == 0 && bit < 32; bit++)
                if (NAMESPACE_FLAGS & BIT(bit))
                        r = filter_one(ctx, SCMP_ACT_ERRNO(EPERM), nr, SCMP_CMP(0, SCMP_CMP_MASKED_EQ, BIT(bit), BIT(bit)));
        return r;
}

/* Unix, IPv4, IPv6 and route queries. The namespace has no way out, so this only removes kernel surface. */
static int filter_socket(scmp_filter_ctx ctx) {
        static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };
        const uint32_t refuse = SCMP_ACT_ERRNO(EAFNOSUPPORT);
        int nr = SCMP_SYS(socket), r = 0;

        for (int family = 0; r == 0 && family <= AF_MAX; family++) {
                bool allowed = false;

                for (size_t i = 0; i < ELEMENTSOF(families); i++)
                        allowed |= families[i] == family;
                if (family == AF_NETLINK) {
                        struct scmp_arg_cmp route[] = { SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_EQ, 0) };
                        struct scmp_arg_cmp other[] = { SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_NE, 0) };

                        r = seccomp_rule_add_exact_array(ctx, SCMP_ACT_ALLOW, nr, 2, route);
                        if (r == 0)
                                r = seccomp_rule_add_exact_array(ctx, refuse, nr, 2, other);
                } else
                        r = filter_one(ctx, allowed ? SCMP_ACT_ALLOW : refuse, nr,
                                       SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family));
        }
        if (r == 0)
                r = filter_one(ctx, refuse, nr, SCMP_A0(SCMP_CMP_GT, AF_MAX));
        return r;
}

/*
 * A terminal's input queue is the person's: nothing is pushed into it. The kernel looks at the low half of ioctl(2)'s
 * command only, and libseccomp cannot say "any but these two" about half an argument, so these few instructions stand
 * before its program. For every other system call they are constant, and the kernel's action cache sees that.
 */
static const struct sock_filter filter_prefix[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 0, 6),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])), /* little endian: the low half */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
};

/* Everything else that libseccomp knows by name is allowed, except the conditions added above. */
static int filter_rules(scmp_filter_ctx ctx) {
        int r = 0;

        for (int nr = 0; r == 0 && nr < FILTER_SYSCALLS_MAX; nr++) {
                char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
                bool done = false;

                if (!name)
                        continue;
                for (size_t i = 0; !done && r == 0 && i < ELEMENTSOF(refused); i++)
                        if (strcmp(name, refused[i].name) == 0) {
                                done = true;
                                if (refused[i].error != ENOSYS) /* the default; libseccomp refuses to hear it twice */
                                        r = seccomp_rule_add_exact(ctx, SCMP_ACT_ERRNO((uint32_t)refused[i].error), nr, 0);
                        }
                for (size_t i = 0; !done && r == 0 && i < ELEMENTSOF(brokered); i++)
                        if (strcmp(name, brokered[i]) == 0) {
                                r = seccomp_rule_add_exact(ctx, SCMP_ACT_NOTIFY, nr, 0);
                                done = true;
                        }
                if (!done && r == 0) {
                        if (strcmp(name, "open") == 0)
                                r = filter_open(ctx, nr, 1);
                        else if (strcmp(name, "openat") == 0)
                                r = filter_open(ctx, nr, 2);
                        else if (strcmp(name, "clone") == 0 || strcmp(name, "unshare") == 0)
                                r = filter_namespaces(ctx, nr);
                        else if (strcmp(name, "socket") == 0)
                                r = filter_socket(ctx);
                        else
                                r = seccomp_rule_add_exact(ctx, SCMP_ACT_ALLOW, nr, 0);
                }
                free(name);
        }
        return r;
}

int filter_build(struct sock_fprog *ret) {
        _cleanup_close_ int fd = -1;
        scmp_filter_ctx ctx;
        struct stat st;
        char *bytes;
        int r;

        ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
        if (!ctx)
                return err_raise(-ENOMEM);
        r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
        if (r == 0)
                r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        if (r == 0)
                r = filter_rules(ctx);
        if (r == 0) {
                fd = memfd_create("nono-filter", MFD_CLOEXEC);
                r = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);
        }
        seccomp_release(ctx);
        if (r < 0)
                return err_raise(r);
        if (fstat(fd, &st) < 0)
                return err_raise(-errno);
        bytes = malloc(sizeof(filter_prefix) + (size_t)st.st_size);
        if (!bytes)
                return err_raise(-ENOMEM);
        memcpy(bytes, filter_prefix, sizeof(filter_prefix));
        if (pread(fd, bytes + sizeof(filter_prefix), (size_t)st.st_size, 0) != st.st_size) {
                free(bytes);
                return err_raise(-EIO);
        }
        ret->len = (unsigned short)((sizeof(filter_prefix) + (size_t)st.st_size) / sizeof(struct sock_filter));
        ret->filter = (struct sock_filter *)bytes;
        return 0;
}

int filter_install(const struct sock_fprog *filter) {
        int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                              SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, filter);

        return fd >= 0 ? fd : err_raise(-errno);
}
