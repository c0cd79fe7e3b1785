/*
 * Places.
 *
 * The walk into the view follows the session's own links (RESOLVE_IN_ROOT), never a magic one, and asks nobody: we
 * are of the autofs daemon's process group, so a name that is not granted is simply not there for us.
 *
 * Runs as: the user, in the broker.   Input: paths copied from hostile processes. Two looks at one path may differ; what is
 * acted on is always a descriptor, and compared by device and inode.
 */
#include "daemon/broker/place.h"

#include <fcntl.h>
#include <linux/auto_fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "daemon/broker/grants.h"
#include "daemon/broker/levels.h"
#include "daemon/broker/resolve.h"

int place_root(pid_t tid) {
        char link[64];

        snprintf(link, sizeof(link), "/proc/%d/root", (int)tid);
        return open(link, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int place_open(int fd_root, const char *path, uint64_t flags) {
        struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
        int fd = (int)syscall(SYS_openat2, fd_root, path, &how, sizeof(how));

        return fd >= 0 ? fd : -errno;
}

static bool same_object(const struct stat *a, const struct stat *b) {
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino && (a->st_mode & S_IFMT) == (b->st_mode & S_IFMT);
}

int place_find(const struct levels *levels, int fd_root, const char *path, struct place *ret) {
        _cleanup_close_ int fd = -1;
        char parent[PATH_BYTES];
        const char *name;
        struct statfs sf;
        size_t n_name, n;

        memset(ret, 0, sizeof(*ret));
        if (path_split(path, parent, &name, &n_name, &ret->directory) != 0)
                return PLACE_E_ELSEWHERE;
        memcpy(ret->name, name, n_name);
        fd = place_open(fd_root, parent, O_PATH | O_DIRECTORY);
        if (fd < 0)
                return PLACE_E_ELSEWHERE;
        if (fstatfs(fd, &sf) < 0 || fstat(fd, &ret->parent) < 0 || resolve_fd_path(fd, ret->path) != 0)
                return PLACE_E_ELSEWHERE;
        n = strlen(ret->path);
        if (n == 1)
                n = 0;
        if (n + 1 + n_name >= sizeof(ret->path))
                return PLACE_E_ELSEWHERE;
        ret->path[n] = '/';
        memcpy(ret->path + n + 1, ret->name, n_name + 1);
        ret->read_only = sf.f_flags & ST_RDONLY;
        if (sf.f_type == AUTOFS_SUPER_MAGIC) {
                const char *level = levels_by_stat_dev(levels, ret->parent.st_dev, &ret->node);
                size_t n_level = level ? strlen(level) : 0;

                if (!level)
                        return PLACE_E_ELSEWHERE;
                ret->level = true;
                /* the level's own path, whatever an inner namespace calls it */
                if (n_level + 1 + n_name >= sizeof(ret->path))
                        return PLACE_E_ELSEWHERE;
                snprintf(ret->path, sizeof(ret->path), "%s/%s", n_level == 1 ? "" : level, ret->name);
                ret->planted = levels_is_planted(levels, ret->node, ret->name);
        }
        ret->exists = fstatat(fd, ret->name, &ret->object, AT_SYMLINK_NOFOLLOW) == 0;
        /* planted is what we asked for; somebody may have put something real there since */
        ret->planted = ret->planted && ret->exists && S_ISLNK(ret->object.st_mode);
        ret->exists = ret->exists && !ret->planted;
        return 0;
}

static void side_look(const char *name, struct side *ret) {
        ret->exists = fstatat(ret->fd_dir, name, &ret->object, AT_SYMLINK_NOFOLLOW) == 0;
        ret->kind = ret->exists ? resolve_kind(ret->object.st_mode) : OBJECT_MISSING;
        ret->writable = resolve_may(ret->fd_dir, W_OK | X_OK);
}

void side_of_level(const struct place *place, const char *level_path, struct side *ret) {
        memset(ret, 0, sizeof(*ret));
        ret->fd_dir = level_path ? resolve_exact_directory(level_path) : -1;
        if (ret->fd_dir < 0)
                ret->fd_dir = -1;
        else
                side_look(place->name, ret);
}

bool side_of_tree(const struct place *place, const struct grants *grants, struct side *ret) {
        char parent[PATH_BYTES];
        const char *name;
        struct stat st;
        size_t n;
        bool directory;

        memset(ret, 0, sizeof(*ret));
        ret->fd_dir = -1;
        if (path_is_private(place->path) && !grants_cover(grants, place->path))
                return false;
        if (path_split(place->path, parent, &name, &n, &directory) != 0)
                return false;
        n = strlen(parent);
        if (n > 1)
                parent[n - 1] = '\0'; /* its trailing slash */
        ret->fd_dir = resolve_exact_directory(parent);
        if (ret->fd_dir < 0) {
                ret->fd_dir = -1;
                return false;
        }
        if (fstat(ret->fd_dir, &st) < 0 || !same_object(&st, &place->parent))
                return false;
        side_look(place->name, ret);
        return ret->exists == place->exists && (!ret->exists || same_object(&ret->object, &place->object));
}

void side_done(struct side *s) {
        fd_close(&s->fd_dir);
}
