/*
 * What cannot be seen here: memory that is mapped from a closed file, and mounts of an inner namespace that has another root.
 *
 * Runs as: the user, in the broker, parent of the session's init.   Input: /proc of hostile processes, numbers only.
 */
#include "daemon/broker/holders.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/error.h"
#include "daemon/broker/caller.h"
#include "daemon/broker/levels.h"
#include "daemon/broker/place.h"

enum {
        HOLDERS_MAX = 1024, /* remembered mounts */
        HOLDERS_PROCESSES_MAX = 65536,
        HOLDERS_ROUNDS = 16, /* what was forked while we looked is found in the next round */
};

struct holder {
        struct holder *next;
        uint32_t node;
        uint64_t mount;
        bool taken;
};

struct holders {
        const struct levels *levels;
        struct holder *list;
        size_t n;
};

struct holders_process {
        pid_t pid, parent;
        bool ended;
};

/* All processes of the machine, sorted; those of the session are below us. */
struct holders_table {
        struct holders_process *items;
        size_t n, cap;
};

int holders_new(const struct levels *levels, struct holders **ret) {
        struct holders *h = calloc(1, sizeof(*h));

        if (!h)
                return err_raise(-ENOMEM);
        h->levels = levels;
        *ret = h;
        return 0;
}

static void holders_forget(struct holders *h) {
        while (h->list) {
                struct holder *next = h->list->next;

                free(h->list);
                h->list = next;
        }
        h->n = 0;
}

struct holders *holders_free(struct holders *h) {
        if (!h)
                return NULL;
        holders_forget(h);
        free(h);
        return NULL;
}

/* --- processes ---------------------------------------------------------------------------------------------------- */

static int holders_process_compare(const void *a, const void *b) {
        const struct holders_process *x = a, *y = b;

        return (x->pid > y->pid) - (x->pid < y->pid);
}

static struct holders_process *holders_process(const struct holders_table *t, pid_t pid) {
        const struct holders_process key = { .pid = pid };

        return t->n ? bsearch(&key, t->items, t->n, sizeof(*t->items), holders_process_compare) : NULL;
}

static pid_t holders_number(const char *name) {
        char *end;
        long n = strtol(name, &end, 10);

        return name[0] >= '0' && name[0] <= '9' && *end == '\0' && n <= INT32_MAX ? (pid_t)n : -1;
}

static int holders_table_read(struct holders_table *t) {
        _cleanup_closedir_ DIR *dir = opendir("/proc");
        struct dirent *d;

        if (!dir)
                return err_raise(-errno);
        t->n = 0;
        while ((d = readdir(dir)) && t->n < HOLDERS_PROCESSES_MAX) {
                pid_t pid = holders_number(d->d_name), parent;

                if (pid <= 1 || caller_parent(pid, &parent) != 0)
                        continue;
                if (t->n == t->cap) {
                        size_t cap = t->cap ? t->cap * 2 : 256;
                        struct holders_process *items = reallocarray(t->items, cap, sizeof(*items));

                        if (!items)
                                return err_raise(-ENOMEM);
                        t->items = items;
                        t->cap = cap;
                }
                t->items[t->n++] = (struct holders_process){ .pid = pid, .parent = parent };
        }
        if (t->n)
                qsort(t->items, t->n, sizeof(*t->items), holders_process_compare);
        return 0;
}

/* Below one of our children, which are the session's init and whoever built its view. */
static bool holders_is_ours(const struct holders_table *t, const struct holders_process *p) {
        pid_t self = getpid();

        if (p->parent == self)
                return false;
        for (size_t depth = 0; p && depth < t->n; depth++) {
                if (p->parent == self)
                        return true;
                p = holders_process(t, p->parent);
        }
        return false;
}

/* --- remembering -------------------------------------------------------------------------------------------------- */

static int holders_add(struct holders *h, uint32_t node, uint64_t mount) {
        struct holder *o;

        for (o = h->list; o; o = o->next)
                if (o->mount == mount)
                        return 0;
        if (h->n >= HOLDERS_MAX)
                return 0;
        o = calloc(1, sizeof(*o));
        if (!o)
                return err_raise(-ENOMEM);
        *o = (struct holder){ .next = h->list, .node = node, .mount = mount };
        h->list = o;
        h->n++;
        return 0;
}

/* In the root of @pid, if that is our view. Return: true and the mount whose root @path is. */
static bool holders_mount_at(const struct holders *h, pid_t pid, const char *path, uint64_t *ret) {
        _cleanup_close_ int fd_root = place_root(pid), fd = -1;
        struct statx stx;
        struct stat st;
        uint32_t node;

        if (fd_root < 0 || fstat(fd_root, &st) < 0 || !levels_by_stat_dev(h->levels, st.st_dev, &node))
                return false;
        fd = place_open(fd_root, path, O_PATH);
        if (fd < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) < 0 ||
            !(stx.stx_mask & STATX_MNT_ID) || !(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
                return false;
        *ret = stx.stx_mnt_id;
        return true;
}

int holders_remember(struct holders *h, uint32_t node, const char *path) {
        struct holders_table t = { 0 };
        uint64_t mount;
        int r = holders_table_read(&t);

        for (size_t i = 0; i < t.n && r == 0; i++)
                if (holders_is_ours(&t, &t.items[i]) && holders_mount_at(h, t.items[i].pid, path, &mount))
                        r = holders_add(h, node, mount);
        free(t.items);
        return r;
}

void holders_taken(struct holders *h, uint32_t node) {
        for (struct holder *o = h->list; o; o = o->next)
                if (o->node == node)
                        o->taken = true;
}

/* --- ending ------------------------------------------------------------------------------------------------------- */

static bool holders_has(const struct holders *h, uint64_t mount) {
        for (const struct holder *o = h->list; o; o = o->next)
                if (o->taken && o->mount == mount)
                        return true;
        return false;
}

/* Not stat(2) of what is open: that may wait for a network. */
static bool holders_has_descriptor(const struct holders *h, int fd_dir, const char *name) {
        _cleanup_close_ int fd = openat(fd_dir, name, O_RDONLY | O_CLOEXEC);
        char text[1024];
        const char *s;
        ssize_t n;

        n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
        if (n <= 0)
                return false; /* closed meanwhile */
        text[n] = '\0';
        s = strstr(text, "mnt_id:");
        return s && holders_has(h, strtoull(s + 7, NULL, 10));
}

/* Return: true when something is held, or nobody may look. */
static bool holders_has_descriptors(const struct holders *h, pid_t pid, pid_t tid) {
        _cleanup_closedir_ DIR *dir = NULL;
        char path[64];
        struct dirent *d;
        bool held = false;

        snprintf(path, sizeof(path), "/proc/%d/task/%d/fdinfo", (int)pid, (int)tid);
        dir = opendir(path);
        if (!dir)
                return errno == EACCES || errno == EPERM;
        while (!held && (d = readdir(dir)))
                held = holders_number(d->d_name) >= 0 && holders_has_descriptor(h, dirfd(dir), d->d_name);
        return held;
}

static bool holders_has_place(const struct holders *h, pid_t pid, pid_t tid) {
        static const char *const links[] = { "cwd", "root", "exe" };

        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                struct statx stx;
                char path[64];

                snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)pid, (int)tid, links[i]);
                if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) < 0) {
                        if (errno == EACCES || errno == EPERM)
                                return true;
                        continue;
                }
                if (stx.stx_mask & STATX_MNT_ID && holders_has(h, stx.stx_mnt_id))
                        return true;
        }
        return false;
}

/* Threads share their descriptors unless they chose not to. */
static bool holders_shares_descriptors(pid_t pid, pid_t tid) {
        return pid != tid && syscall(SYS_kcmp, pid, tid, KCMP_FILES, 0, 0) == 0;
}

static bool holders_holds(const struct holders *h, pid_t pid) {
        _cleanup_closedir_ DIR *dir = NULL;
        char path[64];
        struct dirent *d;
        bool held = false;

        snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
        dir = opendir(path);
        if (!dir)
                return false;
        while (!held && (d = readdir(dir))) {
                pid_t tid = holders_number(d->d_name);

                if (tid > 0)
                        held = holders_has_place(h, pid, tid) ||
                               (!holders_shares_descriptors(pid, tid) && holders_has_descriptors(h, pid, tid));
        }
        return held;
}

static bool holders_kill(const struct holders *h, pid_t pid) {
        /* first the descriptor, then the look: the number cannot become another process's in between */
        _cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);

        return fd >= 0 && holders_holds(h, pid) && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
}

static unsigned holders_round(const struct holders *h, struct holders_table *now, const struct holders_table *before) {
        unsigned n = 0;

        for (size_t i = 0; i < now->n; i++) {
                struct holders_process *p = &now->items[i];
                const struct holders_process *known = holders_process(before, p->pid);

                p->ended = known && known->ended;
                if (p->ended || !holders_is_ours(now, p) || !holders_kill(h, p->pid))
                        continue;
                p->ended = true;
                n++;
        }
        return n;
}

unsigned holders_end(struct holders *h) {
        struct holders_table tables[2] = { 0 };
        bool any = false;
        unsigned n = 0;

        for (const struct holder *o = h->list; o; o = o->next)
                any = any || o->taken;
        for (unsigned i = 0; any && i < HOLDERS_ROUNDS; i++) {
                struct holders_table *now = &tables[i % 2];
                unsigned k = 0;

                if (holders_table_read(now) == 0)
                        k = holders_round(h, now, &tables[(i + 1) % 2]);
                n += k;
                any = k > 0;
        }
        free(tables[0].items);
        free(tables[1].items);
        holders_forget(h);
        return n;
}
