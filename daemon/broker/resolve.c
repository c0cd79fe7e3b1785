/*
 * Host paths with the user's rights: the broker has nobody else's.
 *
 * openat2(2) once per component, O_PATH | O_NOFOLLOW: nothing is opened in earnest (no fifo blocks, no device wakes up, no
 * automount is set off by the last component), and no magic link of /proc is followed: ours would lead to ourselves.
 *
 * Runs as: the user, in the broker.   Input: paths of the service and of hostile processes.
 */
#include "daemon/broker/resolve.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/error.h"

struct resolve_walk {
        struct resolved *out;
        char todo[2 * PATH_BYTES]; /* what is left, relative to fd */
        int fd;                    /* directory reached */
        unsigned flags;
        const char *home, *via;
};

static int resolve_openat2(int fd_dir, const char *name, uint64_t flags, uint64_t resolve) {
        struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve };
        int fd = (int)syscall(SYS_openat2, fd_dir, name, &how, sizeof(how));

        return fd >= 0 ? fd : -errno;
}

int resolve_exact(const char *path) {
        return resolve_openat2(AT_FDCWD, path, O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int resolve_exact_directory(const char *path) {
        return resolve_openat2(AT_FDCWD, path, O_PATH | O_NOFOLLOW | O_DIRECTORY,
                               RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

enum object_kind resolve_kind(mode_t mode) {
        switch (mode & S_IFMT) {
        case S_IFDIR:
                return OBJECT_DIR;
        case S_IFREG:
                return OBJECT_FILE;
        case S_IFLNK:
                return OBJECT_SYMLINK;
        case S_IFSOCK:
                return OBJECT_SOCKET;
        case S_IFIFO:
                return OBJECT_FIFO;
        default:
                return OBJECT_DEVICE;
        }
}

int resolve_fd_path(int fd, char *ret) {
        char link[32];
        struct stat st;
        ssize_t n;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, ret, PATH_BYTES);
        if (n <= 0 || n >= PATH_BYTES || ret[0] != '/')
                return PATH_E_INVALID;
        ret[n] = '\0';
        /* "… (deleted)" may also be an honest name: the link count tells, for directories too */
        if (n > 10 && strcmp(ret + n - 10, " (deleted)") == 0 && (fstat(fd, &st) < 0 || st.st_nlink == 0))
                return PATH_E_INVALID;
        return 0;
}

bool resolve_may(int fd, int mode) {
        return syscall(SYS_faccessat2, fd, "", mode, AT_EMPTY_PATH | AT_EACCESS) == 0;
}

/* Appends "path" "target". Return: 0; ELOOP when this walk has crossed too much already. */
static int resolve_add_link(struct resolved *r, const char *path, const char *target) {
        size_t n_path = strlen(path) + 1, n_target = strlen(target) + 1;

        if (r->n_links >= RESOLVE_LINKS_MAX || r->n_links_bytes + n_path + n_target > RESOLVE_LINK_BYTES)
                return ELOOP;
        if (!r->links) {
                r->links = malloc(RESOLVE_LINK_BYTES);
                if (!r->links)
                        return ENOMEM;
        }
        memcpy(r->links + r->n_links_bytes, path, n_path);
        memcpy(r->links + r->n_links_bytes + n_path, target, n_target);
        r->n_links_bytes += n_path + n_target;
        r->n_links++;
        return 0;
}

static bool resolve_is_proc(int fd) {
        struct statfs sf;

        return fstatfs(fd, &sf) == 0 && sf.f_type == PROC_SUPER_MAGIC;
}

/* The walk stands in front of the link @fd at @path: continue with its target. Return: 0 or errno, positive. */
static int resolve_cross(struct resolve_walk *w, int fd, const char *path) {
        char target[PATH_BYTES], *rest = w->todo;
        size_t n_rest = strlen(rest);
        ssize_t n;
        int r;

        if (resolve_is_proc(fd))
                return ELOOP; /* magic, or "self": it would be us */
        n = readlinkat(fd, "", target, sizeof(target) - 1);
        if (n <= 0 || n >= (ssize_t)sizeof(target) - 1)
                return n < 0 ? errno : ENAMETOOLONG;
        target[n] = '\0';
        r = resolve_add_link(w->out, path, target);
        if (r)
                return r;
        if ((size_t)n + 1 + n_rest >= sizeof(w->todo))
                return ENAMETOOLONG;
        memmove(rest + n + 1, rest, n_rest + 1);
        rest[n] = '/';
        memcpy(rest, target, (size_t)n);
        if (n_rest == 0)
                rest[n] = '\0';
        if (target[0] == '/') {
                fd_close(&w->fd);
                w->fd = resolve_openat2(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
                if (w->fd < 0)
                        return -w->fd;
                path_copy(w->out->path, "/");
        }
        return 0;
}

/* Remembers where the walk left @via, with what was still to go. */
static void resolve_note_passed(struct resolve_walk *w, const char *path) {
        char text[3 * PATH_BYTES];

        if (!w->via || w->out->passed || strcmp(path, w->via) != 0)
                return;
        snprintf(text, sizeof(text), "%s/%s", path, w->todo);
        w->out->passed = path_normalise(text, w->out->rest) == 0;
}

/* Takes the next component off the front of @todo. Return: its length; 0: none is left. */
static size_t resolve_next(struct resolve_walk *w, char *name, size_t cap) {
        size_t skip = strspn(w->todo, "/"), n = strcspn(w->todo + skip, "/");

        if (n >= cap)
                return cap;
        memcpy(name, w->todo + skip, n);
        name[n] = '\0';
        skip += n;
        skip += strspn(w->todo + skip, "/");
        memmove(w->todo, w->todo + skip, strlen(w->todo + skip) + 1);
        return n;
}

static int resolve_up(struct resolve_walk *w) {
        char *slash = strrchr(w->out->path, '/');
        int fd = resolve_openat2(w->fd, "..", O_PATH | O_DIRECTORY, 0);

        if (fd < 0)
                return -fd;
        fd_close(&w->fd);
        w->fd = fd;
        if (slash == w->out->path)
                slash++;
        *slash = '\0';
        return 0;
}

static bool resolve_may_create(const struct resolve_walk *w, const char *path) {
        return w->flags & RESOLVE_F_CREATE_DIR && w->home && path_is_below(path, w->home) && strcmp(path, w->home) != 0;
}

/* One component down. Return: 0 or errno, positive; *ret is the object when @todo is used up. */
static int resolve_step(struct resolve_walk *w, const char *name, int *ret) {
        _cleanup_close_ int fd = -1;
        char path[PATH_BYTES];
        size_t n = strlen(w->out->path), n_name = strlen(name);
        bool last = w->todo[0] == '\0';
        struct stat st;

        if (n + 1 + n_name >= sizeof(path))
                return ENAMETOOLONG;
        memcpy(path, w->out->path, n);
        if (n > 1)
                path[n++] = '/';
        memcpy(path + n, name, n_name + 1);
        resolve_note_passed(w, path);

        fd = resolve_openat2(w->fd, name, O_PATH | O_NOFOLLOW, RESOLVE_NO_MAGICLINKS);
        if (fd == -ENOENT && resolve_may_create(w, path)) {
                if (mkdirat(w->fd, name, 0700) < 0 && errno != EEXIST)
                        return errno;
                fd = resolve_openat2(w->fd, name, O_PATH | O_NOFOLLOW, RESOLVE_NO_MAGICLINKS);
        }
        if (fd < 0) {
                int error = -fd;

                fd = -1;
                snprintf(w->out->path, sizeof(w->out->path), "%s", path);
                return error;
        }
        if (fstat(fd, &st) < 0)
                return errno;
        if (S_ISLNK(st.st_mode) && !(last && w->flags & RESOLVE_F_NO_FOLLOW)) {
                int error = resolve_cross(w, fd, path);

                if (error)
                        path_copy(w->out->path, path);
                return error;
        }
        path_copy(w->out->path, path);
        if (!last && !S_ISDIR(st.st_mode))
                return ENOTDIR;
        if (last) {
                *ret = steal_fd(&fd);
                return 0;
        }
        fd_close(&w->fd);
        w->fd = steal_fd(&fd);
        return 0;
}

static int resolve_walk(struct resolve_walk *w, int *ret) {
        char name[NAME_MAX + 1];

        for (;;) {
                size_t n = resolve_next(w, name, sizeof(name));
                int r;

                if (n == sizeof(name))
                        return ENAMETOOLONG;
                if (n == 0) {
                        *ret = steal_fd(&w->fd);
                        return 0;
                }
                if (strcmp(name, ".") == 0)
                        continue;
                r = strcmp(name, "..") == 0 ? resolve_up(w) : resolve_step(w, name, ret);
                if (r || *ret >= 0)
                        return r;
        }
}

/*
 * The kernel's path of the object is the truth: a rename raced with the walk, or the directory folds case. It must lead
 * back to the same object, else nobody can say where that object is.
 */
static int resolve_confirm(struct resolved *r) {
        _cleanup_close_ int fd = -1;
        char path[PATH_BYTES];
        struct stat st;

        if (resolve_fd_path(r->fd, path) != 0)
                return ESTALE;
        if (strcmp(path, r->path) == 0)
                return 0;
        fd = resolve_exact(path);
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != r->stat.st_dev || st.st_ino != r->stat.st_ino)
                return ESTALE;
        path_copy(r->path, path);
        return 0;
}

/*
 * Most paths cross no link: one walk by the kernel instead of one per component. Return: true when the answer is final:
 * the object is in ret->fd, or ret->error says that it does not exist.
 */
static bool resolve_straight(const char *path, unsigned flags, struct resolved *ret) {
        char normal[PATH_BYTES];
        struct stat st;
        int fd;

        if (path_normalise(path, normal) != 0 || strcmp(path, normal) != 0)
                return false;
        fd = resolve_openat2(AT_FDCWD, path, O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
        if (fd == -ENOENT && !(flags & RESOLVE_F_CREATE_DIR)) {
                ret->error = ENOENT;
                path_copy(ret->path, path);
                return true;
        }
        if (fd < 0)
                return false;
        /* openat2(2): with O_PATH | O_NOFOLLOW a link at the very end is opened, not refused */
        if (fstat(fd, &st) < 0 || (S_ISLNK(st.st_mode) && !(flags & RESOLVE_F_NO_FOLLOW))) {
                fd_close(&fd);
                return false;
        }
        ret->fd = fd;
        path_copy(ret->path, path);
        return true;
}

int resolve_path(const char *path, unsigned flags, const char *home, const char *via, struct resolved *ret) {
        struct resolve_walk w = { .out = ret, .fd = -1, .flags = flags, .home = home, .via = via };
        size_t n = strnlen(path, PATH_BYTES);

        memset(ret, 0, sizeof(*ret));
        ret->fd = -1;
        path_copy(ret->path, "/");
        if (n == 0 || path[0] != '/' || n >= PATH_BYTES) {
                ret->error = n >= PATH_BYTES ? ENAMETOOLONG : EINVAL;
                return 0;
        }
        if (via || !resolve_straight(path, flags, ret)) {
                memcpy(w.todo, path, n + 1);
                w.fd = resolve_openat2(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
                if (w.fd < 0)
                        return err_raise(w.fd);
                ret->error = resolve_walk(&w, &ret->fd);
                fd_close(&w.fd);
        }
        if (ret->error == 0) {
                if (fstat(ret->fd, &ret->stat) < 0)
                        ret->error = errno;
                else
                        ret->error = resolve_confirm(ret);
        }
        if (ret->error) {
                char text[3 * PATH_BYTES], normal[PATH_BYTES];

                fd_close(&ret->fd);
                snprintf(text, sizeof(text), "%s/%s", ret->path, w.todo);
                if (path_normalise(text, normal) == 0)
                        path_copy(ret->path, normal);
                return 0;
        }
        ret->kind = resolve_kind(ret->stat.st_mode);
        ret->executable = ret->kind == OBJECT_FILE && resolve_may(ret->fd, X_OK);
        return 0;
}

void resolved_done(struct resolved *r) {
        fd_close(&r->fd);
        free(r->links);
        r->links = NULL;
        r->n_links_bytes = r->n_links = 0;
}

int resolve_home(uid_t uid, char *ret) {
        struct resolved r = { .fd = -1 };
        struct passwd pw, *found = NULL;
        char buf[16 * 1024];
        int bad;

        if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) != 0 || !found || !pw.pw_dir)
                return PATH_E_INVALID;
        bad = resolve_path(pw.pw_dir, 0, NULL, NULL, &r) < 0 || r.error || r.kind != OBJECT_DIR;
        if (!bad)
                path_copy(ret, r.path);
        resolved_done(&r);
        return bad ? PATH_E_INVALID : 0;
}
