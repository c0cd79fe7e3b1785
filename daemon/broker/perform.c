/*
 * Performing a plan: one system call on the host, relative to descriptors that the plan has checked.
 * Runs as: the user, in the broker: with the user's rights, nobody else's.   Input: a plan and its call, our own copies.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "daemon/broker/plan.h"
#include "daemon/broker/resolve.h"

/* Flags of an open that mean the same to the file we hand over. */
#define PERFORM_OPEN_FLAGS                                                                                             \
        (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_SYNC | O_DSYNC | O_DIRECT | O_NOATIME | O_LARGEFILE)

static int perform_open(const struct plan_call *call, const struct plan *plan, struct performed *ret) {
        struct open_how how = {
                /* a fifo put there in the meantime must not block us, nor a terminal become ours */
                .flags = (call->flags & PERFORM_OPEN_FLAGS) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
                .mode = call->flags & O_CREAT ? call->mode & 07777 : 0,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        struct stat st, object;

        if (plan->operation == OPERATION_CREATE)
                how.flags |= O_EXCL; /* what was asked for is a new file */
        else
                how.flags &= ~(uint64_t)(O_CREAT | O_EXCL);
        if (!(how.flags & O_CREAT))
                how.mode = 0;
        ret->fd = (int)syscall(SYS_openat2, plan->side.fd_dir, plan->place.name, &how, sizeof(how));
        if (ret->fd < 0)
                return errno == EEXIST && !(call->flags & O_EXCL) ? EACCES : errno;
        ret->created = plan->operation == OPERATION_CREATE;
        ret->fd_object = openat(plan->side.fd_dir, plan->place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (ret->fd_object < 0 || fstat(ret->fd, &st) < 0 || fstat(ret->fd_object, &object) < 0)
                return EACCES;
        if (!S_ISREG(st.st_mode) || st.st_dev != object.st_dev || st.st_ino != object.st_ino)
                return EACCES;
        if (!(call->flags & O_NONBLOCK) && fd_set_nonblock(ret->fd, false) != 0)
                return EACCES;
        ret->kind = OBJECT_FILE;
        return 0;
}

static int perform_link(const struct plan *plan) {
        char source[64];

        snprintf(source, sizeof(source), "/proc/self/fd/%d", plan->fd_source);
        return linkat(AT_FDCWD, source, plan->side.fd_dir, plan->place.name, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
}

static int perform_rename(const struct plan_call *call, const struct plan *plan) {
        long r = syscall(SYS_renameat2, plan->side.fd_dir, plan->place.name, plan->side2.fd_dir, plan->place2.name,
                         (unsigned)call->flags);

        return r < 0 ? errno : 0;
}

static int perform_call(const struct plan_call *call, const struct plan *plan, struct performed *ret) {
        int fd = plan->side.fd_dir, r;
        const char *name = plan->place.name;

        switch (call->call) {
        case CALL_OPEN:
                return perform_open(call, plan, ret);
        case CALL_MKDIR:
                r = mkdirat(fd, name, call->mode & 07777);
                break;
        case CALL_MKNOD:
                r = mknodat(fd, name, call->mode & (S_IFMT | 07777), 0);
                break;
        case CALL_SYMLINK:
                r = symlinkat(call->path2, fd, name);
                break;
        case CALL_LINK:
                return perform_link(plan);
        case CALL_UNLINK:
                r = unlinkat(fd, name, 0);
                break;
        case CALL_RMDIR:
                r = unlinkat(fd, name, AT_REMOVEDIR);
                break;
        case CALL_RENAME:
                return perform_rename(call, plan);
        default:
                return ENOSYS;
        }
        return r < 0 ? errno : 0;
}

int plan_perform(const struct plan_call *call, const struct plan *plan, mode_t caller_umask, struct performed *ret) {
        bool rename = call->call == CALL_RENAME;
        struct stat st;
        mode_t own;
        int r;

        *ret = (struct performed){ .fd = -1, .fd_object = -1 };
        own = umask(caller_umask);
        r = perform_call(call, plan, ret);
        umask(own);
        if (r || ret->fd_object >= 0 || call->call == CALL_UNLINK || call->call == CALL_RMDIR)
                return r;
        ret->fd_object = openat(rename ? plan->side2.fd_dir : plan->side.fd_dir,
                                rename ? plan->place2.name : plan->place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (ret->fd_object >= 0 && fstat(ret->fd_object, &st) == 0)
                ret->kind = resolve_kind(st.st_mode);
        return 0;
}

void performed_done(struct performed *p) {
        fd_close(&p->fd);
        fd_close(&p->fd_object);
}
