/*
 * The table of path calls. Legacy forms exist on x86_64 only; musl and Bun use them.
 * Runs as: anyone.   Input: none.
 */
#include "daemon/broker/syscalls.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "common/cleanup.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#define CWD      CALL_CWD
#define NONE     CALL_NONE
#define NOFOLLOW CALL_NO_FOLLOW

static const struct call_shape shapes[] = {
        /* nr               call          dir   path  dir2  path2 flags mode */
        { SYS_openat, CALL_OPEN, 0, 1, NONE, NONE, 2, 3 },
        { SYS_openat2, CALL_OPENAT2, 0, 1, NONE, NONE, NONE, NONE },
        { SYS_newfstatat, CALL_LOOK, 0, 1, NONE, NONE, 3, NONE },
        { SYS_statx, CALL_LOOK, 0, 1, NONE, NONE, 2, NONE },
        { SYS_faccessat, CALL_LOOK, 0, 1, NONE, NONE, NONE, NONE },
        { SYS_faccessat2, CALL_LOOK, 0, 1, NONE, NONE, 3, NONE },
        { SYS_readlinkat, CALL_LOOK, 0, 1, NONE, NONE, NOFOLLOW, NONE },
        { SYS_chdir, CALL_LOOK, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_statfs, CALL_LOOK, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_inotify_add_watch, CALL_LOOK, CWD, 1, NONE, NONE, NONE, NONE },
        { SYS_getxattr, CALL_LOOK, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_lgetxattr, CALL_LOOK, CWD, 0, NONE, NONE, NOFOLLOW, NONE },
        { SYS_listxattr, CALL_LOOK, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_llistxattr, CALL_LOOK, CWD, 0, NONE, NONE, NOFOLLOW, NONE },
        { SYS_execve, CALL_EXECUTE, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_execveat, CALL_EXECUTE, 0, 1, NONE, NONE, 4, NONE },
        { SYS_truncate, CALL_META, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_fchmodat, CALL_META, 0, 1, NONE, NONE, NONE, NONE },
        { SYS_fchmodat2, CALL_META, 0, 1, NONE, NONE, 3, NONE },
        { SYS_fchownat, CALL_META, 0, 1, NONE, NONE, 4, NONE },
        { SYS_utimensat, CALL_META, 0, 1, NONE, NONE, 3, NONE },
        { SYS_setxattr, CALL_META, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_lsetxattr, CALL_META, CWD, 0, NONE, NONE, NOFOLLOW, NONE },
        { SYS_removexattr, CALL_META, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_mkdirat, CALL_MKDIR, 0, 1, NONE, NONE, NOFOLLOW, 2 },
        { SYS_mknodat, CALL_MKNOD, 0, 1, NONE, NONE, NOFOLLOW, 2 },
        { SYS_renameat2, CALL_RENAME, 0, 1, 2, 3, 4, NONE },
        { SYS_linkat, CALL_LINK, 2, 3, 0, 1, 4, NONE },
        { SYS_symlinkat, CALL_SYMLINK, 1, 2, NONE, 0, NOFOLLOW, NONE },
        { SYS_unlinkat, CALL_UNLINK, 0, 1, NONE, NONE, 2, NONE },
        { SYS_connect, CALL_CONNECT, NONE, NONE, NONE, NONE, NONE, NONE },
#ifdef SYS_renameat
        { SYS_renameat, CALL_RENAME, 0, 1, 2, 3, NONE, NONE },
#endif
#ifdef SYS_open
        { SYS_open, CALL_OPEN, CWD, 0, NONE, NONE, 1, 2 },
        { SYS_creat, CALL_CREAT, CWD, 0, NONE, NONE, NONE, 1 },
        { SYS_stat, CALL_LOOK, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_lstat, CALL_LOOK, CWD, 0, NONE, NONE, NOFOLLOW, NONE },
        { SYS_access, CALL_LOOK, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_readlink, CALL_LOOK, CWD, 0, NONE, NONE, NOFOLLOW, NONE },
        { SYS_chmod, CALL_META, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_chown, CALL_META, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_lchown, CALL_META, CWD, 0, NONE, NONE, NOFOLLOW, NONE },
        { SYS_utime, CALL_META, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_utimes, CALL_META, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_futimesat, CALL_META, 0, 1, NONE, NONE, NONE, NONE },
        { SYS_mkdir, CALL_MKDIR, CWD, 0, NONE, NONE, NOFOLLOW, 1 },
        { SYS_mknod, CALL_MKNOD, CWD, 0, NONE, NONE, NOFOLLOW, 1 },
        { SYS_rename, CALL_RENAME, CWD, 0, CWD, 1, NONE, NONE },
        { SYS_link, CALL_LINK, CWD, 1, CWD, 0, NONE, NONE },
        { SYS_symlink, CALL_SYMLINK, CWD, 1, NONE, 0, NOFOLLOW, NONE },
        { SYS_unlink, CALL_UNLINK, CWD, 0, NONE, NONE, NONE, NONE },
        { SYS_rmdir, CALL_RMDIR, CWD, 0, NONE, NONE, NOFOLLOW, NONE },
#endif
};

#if defined(__x86_64__)
static const uint32_t native_arch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
static const uint32_t native_arch = AUDIT_ARCH_AARCH64;
#else
#error "no syscall table for this architecture"
#endif

const struct call_shape *call_shape(int nr) {
        for (size_t i = 0; i < ELEMENTSOF(shapes); i++)
                if (shapes[i].nr == nr)
                        return &shapes[i];
        return NULL;
}

uint32_t call_audit_arch(void) {
        return native_arch;
}

enum operation call_operation(const struct call_shape *shape, uint64_t flags) {
        switch (shape->call) {
        case CALL_OPEN:
        case CALL_OPENAT2:
                if (flags & O_PATH)
                        return OPERATION_LOOK;
                if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC)
                        return OPERATION_WRITE;
                return OPERATION_READ;
        case CALL_CREAT:
        case CALL_META:
                return OPERATION_WRITE;
        case CALL_EXECUTE:
                return OPERATION_EXECUTE;
        case CALL_MKDIR:
                return OPERATION_MKDIR;
        case CALL_MKNOD:
                return OPERATION_CREATE;
        case CALL_RENAME:
                return OPERATION_RENAME;
        case CALL_LINK:
                return OPERATION_LINK;
        case CALL_SYMLINK:
                return OPERATION_SYMLINK;
        case CALL_UNLINK:
        case CALL_RMDIR:
                return OPERATION_DELETE;
        case CALL_CONNECT:
                return OPERATION_CONNECT;
        case CALL_LOOK:
                break;
        }
        return OPERATION_LOOK;
}
