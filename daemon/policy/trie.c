/*
 * A tree of path components in one array, with one hash table for all (parent, name) pairs: judging a
 * path costs one look-up per component however many rules there are.
 * Runs as: anyone.   Input: normalised paths; the number of rules is bounded by the plan.
 */
#include "daemon/policy/trie.h"

#include <string.h>

#include "common/error.h"
#include "daemon/policy/policy.h"

void trie_done(struct trie *t) {
        free(t->nodes);
        free(t->buckets);
        free(t->links);
        memset(t, 0, sizeof(*t));
}

void trie_clear(struct trie *t) {
        t->n_nodes = 0;
        if (t->buckets)
                memset(t->buckets, 0xff, t->n_buckets * sizeof(*t->buckets));
}

/* FNV-1a over the parent and the name. */
static uint32_t trie_hash(uint32_t parent, const char *name, size_t n) {
        uint32_t h = (2166136261U ^ parent) * 16777619U;

        for (size_t i = 0; i < n; i++)
                h = (h ^ (unsigned char)name[i]) * 16777619U;
        return h ^ h >> 15;
}

static int trie_reserve_nodes(struct trie *t, size_t want) {
        size_t cap = MAX_OF(t->cap_nodes * 2, (size_t)64);
        struct trie_node *nodes;
        uint32_t *buckets;

        if (want <= t->cap_nodes)
                return 0;
        while (cap < want)
                cap *= 2;
        nodes = reallocarray(t->nodes, cap, sizeof(*nodes));
        if (!nodes)
                return err_raise(-ENOMEM);
        t->nodes = nodes;
        buckets = reallocarray(NULL, cap * 2, sizeof(*buckets));
        if (!buckets)
                return err_raise(-ENOMEM);
        free(t->buckets);
        t->buckets = buckets;
        t->n_buckets = cap * 2;
        t->cap_nodes = cap;
        memset(buckets, 0xff, t->n_buckets * sizeof(*buckets));
        for (uint32_t i = 1; i < t->n_nodes; i++) {
                uint32_t *b = &buckets[trie_hash(nodes[i].parent, nodes[i].name, nodes[i].n_name) & (t->n_buckets - 1)];

                nodes[i].chain = *b;
                *b = i;
        }
        return 0;
}

static uint32_t trie_node_new(struct trie *t, uint32_t parent, const char *name, size_t n) {
        uint32_t i = (uint32_t)t->n_nodes++;
        uint32_t *b = &t->buckets[trie_hash(parent, name, n) & (t->n_buckets - 1)];

        t->nodes[i] = (struct trie_node){
                .parent = parent, .chain = *b, .rules = TRIE_NONE, .n_name = (uint32_t)n, .name = name
        };
        if (i != TRIE_ROOT)
                *b = i;
        return i;
}

uint32_t trie_child(const struct trie *t, uint32_t parent, const char *name, size_t n) {
        uint32_t i;

        if (t->n_nodes == 0)
                return TRIE_NONE;
        i = t->buckets[trie_hash(parent, name, n) & (t->n_buckets - 1)];
        while (i != TRIE_NONE) {
                const struct trie_node *node = &t->nodes[i];

                if (node->parent == parent && node->n_name == n && memcmp(node->name, name, n) == 0)
                        return i;
                i = node->chain;
        }
        return TRIE_NONE;
}

static void trie_count(struct trie_node *node, const struct policy_rule *rule) {
        if (rule->effect == POLICY_DENY) {
                for (unsigned bit = 0; bit < 2; bit++)
                        node->n_deny_below[bit] += !!(rule->access & BIT(bit));
                return;
        }
        node->n_allow_below++;
        for (unsigned bit = 0; bit < 3; bit++)
                node->n_lift_below[bit] += !!(rule->lift & BIT(bit));
}

int trie_add(struct trie *t, const struct policy_rule *rule, uint32_t index) {
        size_t n_components = 1;
        uint32_t at = TRIE_ROOT;
        const char *s = rule->path + 1;
        int r;

        for (const char *c = rule->path; *c; c++)
                n_components += *c == '/';
        r = trie_reserve_nodes(t, t->n_nodes + n_components);
        if (r)
                return err_pass(r);
        if (index >= t->cap_links) {
                size_t cap = MAX_OF(t->cap_links * 2, (size_t)index + 64);
                uint32_t *links = reallocarray(t->links, cap, sizeof(*links));

                if (!links)
                        return err_raise(-ENOMEM);
                t->links = links;
                t->cap_links = cap;
        }
        if (t->n_nodes == 0)
                trie_node_new(t, TRIE_NONE, "", 0);
        while (*s) {
                size_t n = strcspn(s, "/");
                uint32_t next = trie_child(t, at, s, n);

                trie_count(&t->nodes[at], rule);
                if (next == TRIE_NONE)
                        next = trie_node_new(t, at, s, n);
                at = next;
                s += n;
                if (*s == '/')
                        s++;
        }
        t->links[index] = t->nodes[at].rules;
        t->nodes[at].rules = index;
        return 0;
}
