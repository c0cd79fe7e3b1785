/*
 * Extends — a profile with everything it inherits, as one tree.
 * Runs as: anyone.   Input: a store.
 */
#pragma once

#include <stdbool.h>

#include "daemon/policy/policy.h"

struct arena;
struct node;
struct store_object;

enum { EXTENDS_FILES_MAX = 64 };

struct extends_chain {
        const struct store_object *files[EXTENDS_FILES_MAX + 1]; /* by rank; the first is files[1], the base of all */
        unsigned n_files;
        struct node *merged;
        const struct node *workdir; /* workdir.access before projects had their say; may be NULL */
};

/**
 * extends_resolve() - fold a profile's bases, left to right, and the profile itself
 * @macos: whose platform_overrides apply
 * Every profile inherits from "default", named or not. A project's profile in the store comes last.
 * Return: 0; POLICY_E_NOT_FOUND, POLICY_E_INVALID (cycle, missing base) or POLICY_E_LIMIT with @err set; -ENOMEM.
 */
int extends_resolve(const struct policy_store *s, const char *profile, bool macos, struct arena *a,
                    struct extends_chain *ret, struct policy_error *err);
