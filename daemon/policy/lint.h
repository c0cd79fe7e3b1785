/*
 * Lint — what is wrong, dangerous or without effect in a profile, with a line and a way out.
 * Runs as: anyone.   Input: a profile's text; a store with everything it refers to.
 */
#pragma once

#include <stdbool.h>

#include "daemon/policy/policy.h"

enum lint_severity {
        LINT_ERROR,   /* the profile does not work, or not as it says */
        LINT_WARNING, /* it works, and gives away more than it seems, or does nothing */
        LINT_NOTE,    /* worth knowing */
};

struct lint_finding {
        enum lint_severity severity;
        const char *code; /* "E101"; static */
        unsigned line, column;
        char message[512], fix[256]; /* printable; fix may be empty */
};

struct lint {
        struct lint_finding *findings; /* in line order */
        size_t n_findings, cap_findings;
        size_t n_errors, n_warnings;
        size_t n_groups; /* that apply, defaults included */
};

struct lint_options {
        const struct policy_vars *vars;
        const char *const *path_dirs; /* directories of PATH, NULL-terminated; may be NULL */
        /* Is there anything at the path, or at what the pattern matches? NULL: nobody looks. */
        bool (*exists)(const char *path, bool pattern, void *arg);
        void *arg;
        bool user; /* the file is a user's, not root's */
};

/**
 * lint_profile() - examine one profile
 * @s:   gets the profile added, in place of one of the same name
 * @ret: zeroed; lint_done() it whatever is returned
 * Return: 0, whatever was found; -ENOMEM.
 */
int lint_profile(struct policy_store *s, const char *name, const char *text, size_t n, const char *source,
                 const struct lint_options *options, struct lint *ret);
void lint_done(struct lint *l);
