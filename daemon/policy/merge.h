/*
 * Merge — a profile over its base, by the rules in the schema's tables.
 * Runs as: anyone.   Input: checked, canonical trees.
 */
#pragma once

struct arena;
struct node;
struct schema_key;

/**
 * merge_objects() - make the union
 * @base:  may be NULL
 * @rank:  what the child's values get as their rank; higher than any in @base
 * The result shares strings and deeper values with both; neither is changed.
 * Return: 0; -ENOMEM.
 */
int merge_objects(struct arena *a, const struct schema_key *keys, const struct node *base, const struct node *child,
                  unsigned rank, struct node **ret);
