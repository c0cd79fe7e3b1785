/*
 * The kernel's own checks are the caller's: the directories are descriptors of the view's mounts, we have the caller's
 * ids and no capability. Two things are not the same for us and are checked here: a name that is a mount point in the view
 * is none in our namespace, and a path of /proc/self is not the caller's.
 *
 * Runs as: see names.h.   Input: see names.h.
 */
#include "daemon/broker/names.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/auto_fs.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "daemon/broker/grants.h"
#include "daemon/broker/path.h"
#include "daemon/broker/patterns.h"
#include "daemon/broker/place.h"
#include "daemon/broker/resolve.h"

enum { NAMES_WALK_ENTRIES = 100000, NAMES_WALK_MS = 300 };

/* Where a name stands: its directory in the view, and the path that follows from it. */
struct name {
        int fd_dir;
        char last[NAME_MAX + 2]; /* with one slash when slashes followed */
        char path[PATH_BYTES];
};

/* Return: 0; errno, positive. */
static int name_find(int fd_root, const char *path, struct name *ret) {
        char parent[PATH_BYTES];
        const char *name;
        bool directory;
        size_t n;

        if (path_split(path, parent, &name, &n, &directory) != 0) /* as the kernel says of "/", "." and ".." */
                return strlen(strrchr(path, '/') ? strrchr(path, '/') : path) > NAME_MAX + 1 ? ENAMETOOLONG : EBUSY;
        ret->fd_dir = place_open(fd_root, parent, O_PATH | O_DIRECTORY);
        if (ret->fd_dir < 0)
                return -ret->fd_dir;
        if (resolve_fd_path(ret->fd_dir, ret->path) != 0)
                return ENAMETOOLONG;
        memcpy(ret->last, name, n);
        ret->last[n] = directory ? '/' : '\0';
        ret->last[n + 1] = '\0';
        if (strcmp(ret->path, "/") == 0)
                ret->path[0] = '\0';
        if (strlen(ret->path) + 1 + n >= sizeof(ret->path))
                return ENAMETOOLONG;
        strcat(ret->path, "/");
        strncat(ret->path, name, n);
        return 0;
}

static void name_done(struct name *n) {
        if (n->fd_dir >= 0)
                fd_close(&n->fd_dir);
}

static bool names_match(const struct patterns *p, const struct grants *g, const char *path) {
        return grants_cover(g, path) && patterns_match(p, path);
}

static bool names_deny_path(const struct patterns *p, const struct grants *g, int fd_root, const char *path) {
        _cleanup_(name_done) struct name n = { .fd_dir = -1 };

        return name_find(fd_root, path, &n) == 0 && names_match(p, g, n.path);
}

bool names_deny(const struct patterns *p, const struct grants *g, const struct plan_call *call) {
        _cleanup_close_ int fd_root = -1;

        if (p->n == 0)
                return false;
        fd_root = place_root(call->tid);
        return fd_root < 0 || names_deny_path(p, g, fd_root, call->path) ||
               (call->path2 && call->call != CALL_SYMLINK && names_deny_path(p, g, fd_root, call->path2));
}

bool names_own(const struct patterns *p, enum call call) {
        return p->n > 0 && (call == CALL_RENAME || call == CALL_LINK);
}

/* The object of a name, without going through a mount of the view. Return: descriptor, -errno. */
static int name_object(const struct name *n) {
        struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                                .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV };
        char name[NAME_MAX + 1];
        int fd;

        snprintf(name, sizeof(name), "%.*s", (int)strcspn(n->last, "/"), n->last);
        fd = (int)syscall(SYS_openat2, n->fd_dir, name, &how, sizeof(how));
        return fd >= 0 ? fd : -errno;
}

static bool name_is_in_level(const struct name *n) {
        struct statfs sf;

        return fstatfs(n->fd_dir, &sf) < 0 || sf.f_type == AUTOFS_SUPER_MAGIC;
}

struct moved {
        const struct patterns *patterns;
        const char *from, *to;
};

/* Something denied under the old name: is it denied under the new one? */
static int on_moved(void *arg, const char *path, const char *access_path) {
        const struct moved *m = arg;
        char there[2 * PATH_BYTES];

        snprintf(there, sizeof(there), "%s%s", m->to, path + strlen(m->from));
        return patterns_match(m->patterns, there) ? 0 : 2;
}

/* Would a directory's move take something denied out of its pattern? */
static bool names_escape(const struct patterns *p, const struct name *from, const struct name *to) {
        const struct moved m = { .patterns = p, .from = from->path, .to = to->path };
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (!patterns_need_place(p, from->path))
                return false;
        fd = name_object(from);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
                return false;
        return patterns_walk(p, fd, from->path, NAMES_WALK_ENTRIES, NAMES_WALK_MS, on_moved, (void *)&m) != 0;
}

static int names_rename(const struct patterns *p, const struct grants *g, int fd_root, const struct plan_call *call) {
        _cleanup_(name_done) struct name from = { .fd_dir = -1 }, to = { .fd_dir = -1 };
        struct name *both[] = { &from, &to };
        int e;

        e = name_find(fd_root, call->path, &from);
        if (e == 0)
                e = name_find(fd_root, call->path2, &to);
        if (e)
                return e;
        if (names_match(p, g, from.path) || names_match(p, g, to.path))
                return EACCES;
        for (size_t i = 0; i < ELEMENTSOF(both); i++) {
                int fd;

                if (name_is_in_level(both[i]))
                        return EXDEV; /* levels were the plan's to decide */
                fd = name_object(both[i]);
                if (fd == -EXDEV)
                        return EBUSY;
                fd_close(&fd);
        }
        if (names_escape(p, &from, &to) || (call->flags & RENAME_EXCHANGE && names_escape(p, &to, &from)))
                return EACCES;
        return syscall(SYS_renameat2, from.fd_dir, from.last, to.fd_dir, to.last, (unsigned)call->flags) < 0 ? errno
                                                                                                             : 0;
}

/* "/proc/self/fd/7" and its like, with which a file without a name is given one. Return: descriptor; -1. */
static int names_open_magic(pid_t tid, const char *path) {
        static const char *const forms[] = { "/proc/self/fd/", "/proc/thread-self/fd/" };
        char link[64];

        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                const char *number = path + strlen(forms[i]);

                if (strncmp(path, forms[i], strlen(forms[i])) != 0 || !*number || strlen(number) > 9 ||
                    number[strspn(number, "0123456789")])
                        continue;
                snprintf(link, sizeof(link), "/proc/%d/fd/%s", (int)tid, number);
                return open(link, O_PATH | O_CLOEXEC);
        }
        return -1;
}

static int names_link(const struct patterns *p, const struct grants *g, int fd_root, const struct plan_call *call) {
        _cleanup_(name_done) struct name to = { .fd_dir = -1 };
        _cleanup_close_ int fd = -1;
        char path[PATH_BYTES], link[64];
        ssize_t n;
        int e;

        if (call->flags & ~(uint64_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
                return EINVAL;
        e = name_find(fd_root, call->path, &to);
        if (e)
                return e == EBUSY ? EEXIST : e;
        if (call->flags & AT_SYMLINK_FOLLOW)
                fd = names_open_magic(call->tid, call->path2);
        if (fd < 0)
                fd = place_open(fd_root, call->path2, O_PATH | (call->flags & AT_SYMLINK_FOLLOW ? 0 : O_NOFOLLOW));
        if (fd < 0) {
                e = -fd;
                fd = -1;
                return e;
        }
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path));
        if (n <= 0 || n >= (ssize_t)sizeof(path))
                return EACCES;
        path[n] = '\0';
        if ((grants_cover(g, path) && patterns_match_shown(p, path)) || names_match(p, g, to.path))
                return EACCES;
        if (name_is_in_level(&to))
                return EXDEV;
        return linkat(AT_FDCWD, link, to.fd_dir, to.last, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
}

int names_perform(const struct patterns *p, const struct grants *g, const struct plan_call *call) {
        _cleanup_close_ int fd_root = place_root(call->tid);

        if (fd_root < 0)
                return EACCES;
        return call->call == CALL_RENAME ? names_rename(p, g, fd_root, call) : names_link(p, g, fd_root, call);
}
