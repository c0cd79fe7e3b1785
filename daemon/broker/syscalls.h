/*
 * Syscalls — which arguments of which call name a path. One table, for what a walk waits for and for what seccomp traps.
 */
#pragma once

#include <stdint.h>

#include "daemon/broker/message.h"

enum call {
        CALL_LOOK, /* stat, access, readlink, chdir … */
        CALL_OPEN,
        CALL_OPENAT2,
        CALL_CREAT,
        CALL_EXECUTE,
        CALL_META, /* chmod, chown, utimes, setxattr, truncate */
        CALL_MKDIR,
        CALL_MKNOD,
        CALL_RENAME,
        CALL_LINK,
        CALL_SYMLINK,
        CALL_UNLINK,
        CALL_RMDIR,
        CALL_CONNECT,
};

enum { CALL_NONE = -1, CALL_CWD = -2, CALL_NO_FOLLOW = -3 };

/* Argument indices; CALL_NONE where there is no such argument, CALL_CWD for a path relative to the working directory. */
struct call_shape {
        int nr;
        enum call call;
        int8_t dir, path;   /* the object; the new name for link and symlink */
        int8_t dir2, path2; /* rename: the new name; link: the old one; symlink: path2 is the target text */
        int8_t flags; /* open, *at flags, mknod's and mkdir's none; CALL_NO_FOLLOW: a final link is never followed */
        int8_t mode;
};

/* Return: the row of @nr, or NULL: it names no path. */
const struct call_shape *call_shape(int nr);
/* What the kernel does with a process of this machine's own architecture: seccomp_data.arch. */
uint32_t call_audit_arch(void);

/* What a call with these flags is going to do. */
enum operation call_operation(const struct call_shape *shape, uint64_t flags);
