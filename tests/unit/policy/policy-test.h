/*
 * What the policy tests share: texts into a store, names of answers, a small deterministic generator.
 */
#pragma once

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/policy/policy.h"

#define RW (POLICY_READ | POLICY_WRITE)

static const struct policy_vars test_vars = {
        .home = "/home/u",
        .workdir = "/home/u/project",
        .tmpdir = "/tmp",
        .config_home = "/home/u/.config",
        .data_home = "/home/u/.local/share",
        .state_home = "/home/u/.local/state",
        .cache_home = "/home/u/.cache",
        .uid = 1000,
};

static inline int test_add(struct policy_store *s, enum policy_kind kind, const char *name, const char *text, bool user) {
        struct policy_error err = { .line = 0 };
        int r = policy_store_add(s, kind, name, text, strlen(text), name, user, &err);

        if (r)
                print_message("%s:%u:%u: %s\n", err.source, err.line, err.column, err.message);
        return r;
}

static inline void test_must_add(struct policy_store *s, enum policy_kind kind, const char *name, const char *text) {
        assert_int_equal(test_add(s, kind, name, text, false), 0);
}

static inline struct policy_plan *test_compile_for(const struct policy_store *s, const char *name,
                                                   const struct policy_vars *vars) {
        struct policy_plan *plan = NULL;
        struct policy_error err = { .line = 0 };
        int r = policy_compile(s, name, vars, &plan, &err);

        if (r)
                print_message("%s: %s:%u:%u: %s\n", name, err.source, err.line, err.column, err.message);
        assert_int_equal(r, 0);
        return plan;
}

static inline struct policy_plan *test_compile(const struct policy_store *s, const char *name) {
        return test_compile_for(s, name, &test_vars);
}

static inline void test_rule(struct policy_plan *p, enum policy_effect effect, unsigned access, const char *path) {
        struct policy_rule rule = {
                .effect = effect, .origin = POLICY_FROM_PROFILE, .access = access, .path = (char *)path,
                .pattern = strpbrk(path, "*?") != NULL,
        };

        assert_int_equal(policy_plan_add(p, &rule, NULL), 0);
}

#define assert_answer(plan, path, access, want)                                                    \
        assert_int_equal(policy_verdict((plan), (path), (access)).answer, POLICY_ANSWER_##want)

/* xorshift64*: tests own their randomness. */
static inline uint32_t test_random(uint64_t *state, uint32_t below) {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        return (uint32_t)((*state * 2685821657736338717ULL) >> 33) % below;
}
