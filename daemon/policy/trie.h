/*
 * Trie — finds the rules on the way to a path, and counts those below it.
 * Runs as: anyone.   Input: normalised paths.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy_rule;

enum { TRIE_NONE = UINT32_MAX, TRIE_ROOT = 0 };

/* One path component. Node 0 is "/". */
struct trie_node {
        uint32_t parent, chain; /* chain: next node with the same hash */
        uint32_t rules;         /* first rule that ends here, index into the plan's rules */
        uint32_t n_name;
        const char *name; /* borrowed from a rule that passes through here */
        /* Rules strictly below: allows, allows that lift, denies per access bit. */
        uint32_t n_allow_below, n_lift_below[3], n_deny_below[2];
};

struct trie {
        struct trie_node *nodes;
        uint32_t *buckets; /* power of two */
        uint32_t *links;   /* per rule: the next rule of the same node */
        size_t n_nodes, cap_nodes, n_buckets, cap_links;
};

void trie_done(struct trie *t);
/* Forgets every rule, keeps the memory: refilling with fewer rules than before cannot fail. */
void trie_clear(struct trie *t);
/**
 * trie_add() - insert one literal rule
 * @rule:  borrowed as long as it is in the trie
 * @index: its place in the plan's rules
 * Return: 0 or -ENOMEM.
 */
int trie_add(struct trie *t, const struct policy_rule *rule, uint32_t index);
/* Return: the node of one component, TRIE_NONE when no rule passes through it. */
uint32_t trie_child(const struct trie *t, uint32_t parent, const char *name, size_t n);
