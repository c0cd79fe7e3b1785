/*
 * Runs as: user nono.   Input: see pending.h.
 */
#include "daemon/service/pending.h"

#include <stdlib.h>

#include "common/error.h"

enum { PENDING_BUCKETS = 1024 };

struct pending {
        struct pending *next;
        uint64_t tag;
        struct run *owner;
        pending_fn fn;
        void *arg;
};

struct pending_table {
        struct pending *buckets[PENDING_BUCKETS];
        size_t n;
        uint64_t last_tag;
};

struct pending_table *pending_new(void) {
        return calloc(1, sizeof(struct pending_table));
}

struct pending_table *pending_free(struct pending_table *t) {
        if (!t)
                return NULL;
        pending_give_up(t, NULL);
        free(t);
        return NULL;
}

int pending_add(struct pending_table *t, struct run *owner, pending_fn fn, void *arg, uint64_t *ret_tag) {
        struct pending *p, **bucket;

        if (t->n >= PENDING_MAX)
                return err_raise(-ENOBUFS);
        p = calloc(1, sizeof(*p));
        if (!p)
                return err_raise(-ENOMEM);
        p->tag = ++t->last_tag;
        p->owner = owner;
        p->fn = fn;
        p->arg = arg;
        bucket = &t->buckets[p->tag % PENDING_BUCKETS];
        p->next = *bucket;
        *bucket = p;
        t->n++;
        *ret_tag = p->tag;
        return 0;
}

int pending_answer(struct pending_table *t, uint64_t tag, struct run *owner, const void *answer, const char *text,
                   size_t n_text, int *fds, size_t n_fds) {
        for (struct pending **p = &t->buckets[tag % PENDING_BUCKETS]; *p; p = &(*p)->next)
                if ((*p)->tag == tag && (!owner || (*p)->owner == owner)) {
                        struct pending found = **p, *memory = *p;

                        *p = found.next;
                        free(memory);
                        t->n--;
                        found.fn(found.owner, found.arg, answer, text, n_text, fds, n_fds);
                        return 0;
                }
        return -ENOENT;
}

void pending_forget(struct pending_table *t, uint64_t tag) {
        for (struct pending **p = &t->buckets[tag % PENDING_BUCKETS]; *p; p = &(*p)->next)
                if ((*p)->tag == tag) {
                        struct pending *memory = *p;

                        *p = memory->next;
                        free(memory);
                        t->n--;
                        return;
                }
}

bool pending_has(const struct pending_table *t, const struct run *owner) {
        for (size_t i = 0; i < PENDING_BUCKETS; i++)
                for (const struct pending *p = t->buckets[i]; p; p = p->next)
                        if (p->owner == owner)
                                return true;
        return false;
}

void pending_give_up(struct pending_table *t, struct run *owner) {
        for (size_t i = 0; i < PENDING_BUCKETS; i++)
                for (struct pending **p = &t->buckets[i]; *p;) {
                        struct pending found = **p, *memory = *p;

                        if (owner && found.owner != owner) {
                                p = &memory->next;
                                continue;
                        }
                        *p = found.next;
                        free(memory);
                        t->n--;
                        found.fn(found.owner, found.arg, NULL, NULL, 0, NULL, 0);
                        p = &t->buckets[i]; /* the call may have changed the list */
                }
}
