/*
 * Runs as: see patterns.h.   Input: see patterns.h.
 */
#include "daemon/broker/patterns.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "daemon/broker/message.h"
#include "daemon/broker/path.h"
#include "daemon/policy/glob.h"
#include "daemon/policy/policy.h"

struct pattern {
        char *text;
        uint32_t flags, lift;
        bool anywhere; /* "**" and one name: whatever the directories above are called */
};

int patterns_add(struct patterns *p, const char *text, uint32_t flags, uint32_t lift) {
        struct pattern *list;
        const char *rest;

        if ((text[0] != '/' && strncmp(text, "**/", 3) != 0) || strlen(text) >= PATH_BYTES)
                return err_raise(-EINVAL);
        if (p->n_all >= PATTERNS_MAX)
                return err_raise(-ENOSPC);
        list = reallocarray(p->list, p->n_all + 1, sizeof(*list));
        if (!list)
                return err_raise(-ENOMEM);
        p->list = list;
        rest = text[0] == '/' ? text + 1 : text;
        list[p->n_all] = (struct pattern){ .text = strdup(text), .flags = flags, .lift = lift };
        if (!list[p->n_all].text)
                return err_raise(-ENOMEM);
        list[p->n_all].anywhere = strncmp(rest, "**/", 3) == 0 && !strchr(rest + 3, '/');
        p->n += !(flags & BROKER_F_LIFTS);
        p->n_all++;
        return 0;
}

static bool pattern_covers(const struct pattern *t, const char *path) {
        if (t->flags & BROKER_F_LITERAL)
                return t->flags & BROKER_F_FILE ? strcmp(t->text, path) == 0 : path_is_below(path, t->text);
        return t->flags & BROKER_F_FILE ? policy_glob_match(t->text, path) : policy_glob_covers(t->text, path);
}

static bool patterns_lift(const struct patterns *p, const struct pattern *deny, const char *path) {
        for (size_t i = 0; deny->lift && i < p->n_all; i++)
                if (p->list[i].flags & BROKER_F_LIFTS && p->list[i].lift & deny->lift &&
                    pattern_covers(&p->list[i], path))
                        return true;
        return false;
}

void patterns_done(struct patterns *p) {
        for (size_t i = 0; i < p->n_all; i++)
                free(p->list[i].text);
        free(p->list);
        *p = (struct patterns){ 0 };
}

bool patterns_match(const struct patterns *p, const char *path) {
        for (size_t i = 0; i < p->n_all; i++)
                if (!(p->list[i].flags & BROKER_F_LIFTS) && pattern_covers(&p->list[i], path) &&
                    !patterns_lift(p, &p->list[i], path))
                        return true;
        return false;
}

bool patterns_need_place(const struct patterns *p, const char *path) {
        for (size_t i = 0; i < p->n_all; i++) {
                const struct pattern *t = &p->list[i];

                if (t->anywhere && !(t->flags & (BROKER_F_LIFTS | BROKER_F_LITERAL)))
                        continue;
                if (t->flags & BROKER_F_LITERAL ? path_is_below(t->text, path) || path_is_below(path, t->text)
                                                : policy_glob_reaches_below(t->text, path))
                        return true;
        }
        return false;
}

bool patterns_match_shown(const struct patterns *p, const char *path) {
        static const char gone[] = " (deleted)";
        char name[PATH_BYTES];
        size_t n = strlen(path);

        if (patterns_match(p, path))
                return true;
        if (n < sizeof(gone) || n >= sizeof(name) || strcmp(path + n - (sizeof(gone) - 1), gone) != 0)
                return false;
        memcpy(name, path, n - (sizeof(gone) - 1));
        name[n - (sizeof(gone) - 1)] = '\0';
        return patterns_match(p, name);
}

static int64_t walk_now_ms(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int patterns_walk(const struct patterns *p, int fd_dir, const char *path, size_t max_entries, int max_ms,
                  patterns_found_fn fn, void *arg) {
        char root[64], shown[2 * PATH_BYTES], *roots[] = { root, NULL };
        size_t n_root = (size_t)snprintf(root, sizeof(root), "/proc/self/fd/%d/.", fd_dir), n = 0;
        int64_t end = walk_now_ms() + max_ms;
        FTSENT *e;
        FTS *fts;
        int r = 0;

        fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT | FTS_XDEV, NULL);
        if (!fts)
                return err_raise(-errno);
        while (r == 0 && (e = fts_read(fts))) {
                if (e->fts_info == FTS_DP)
                        continue;
                if (++n > max_entries || (n % 256 == 0 && walk_now_ms() > end))
                        r = 1;
                else if ((size_t)snprintf(shown, sizeof(shown), "%s%s", strcmp(path, "/") == 0 ? "" : path,
                                          e->fts_path + n_root) < PATH_BYTES &&
                         shown[0] && patterns_match(p, shown))
                        r = fn(arg, shown, e->fts_accpath);
        }
        (void)fts_close(fts);
        return r;
}
