/*
 * Random profiles, thousands of them: whatever they say, the ceiling and the required groups hold, a
 * profile's deny wins, a project's profile only takes away, and revoking leaves nothing behind.
 */
#include "tests/unit/policy/policy-test.h"

static const char *const universe[] = {
        "/", "/a", "/b", "/.e", "/a/a", "/a/b", "/a/.e", "/b/a", "/b/.e", "/a/a/b", "/a/b/.e", "/b/a/a", "/a/a/b/.e",
};

struct text {
        char s[4096];
        size_t n;
};

static void put(struct text *t, const char *format, ...) _printf_(2, 3);
static void put(struct text *t, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        t->n += (size_t)vsnprintf(t->s + t->n, sizeof(t->s) - t->n, format, ap);
        va_end(ap);
        assert_true(t->n < sizeof(t->s));
}

static void put_path(struct text *t, uint64_t *seed, bool patterns) {
        static const char *const names[] = { "a", "b", ".e", "*", "**", "?" };
        uint32_t n = 1 + test_random(seed, 3);

        put(t, "\"");
        if (patterns && test_random(seed, 6) == 0)
                put(t, "**/.e");
        else
                for (uint32_t i = 0; i < n; i++)
                        put(t, "/%s", names[test_random(seed, patterns && test_random(seed, 3) == 0 ? 6 : 3)]);
        put(t, "\"");
}

static void put_paths(struct text *t, uint64_t *seed, const char *key, uint32_t most, bool patterns) {
        uint32_t n = test_random(seed, most + 1);

        put(t, "%s\"%s\": [", t->s[t->n - 1] == '{' ? "" : ", ", key);
        for (uint32_t i = 0; i < n; i++) {
                if (i)
                        put(t, ", ");
                put_path(t, seed, patterns);
        }
        put(t, "]");
}

static void put_profile(struct text *t, uint64_t *seed, const char *extends) {
        static const char *const allows[] = { "allow", "read", "write", "allow_file", "read_file", "unix_socket_dir" };

        *t = (struct text){ .n = 0 };
        put(t, "{ \"extends\": [%s], \"filesystem\": {", extends);
        for (size_t i = 0; i < ELEMENTSOF(allows); i++)
                if (test_random(seed, 3) == 0)
                        put_paths(t, seed, allows[i], 2, true);
        if (test_random(seed, 2))
                put_paths(t, seed, "deny", 1, true);
        if (test_random(seed, 3) == 0)
                put_paths(t, seed, "deny_write", 1, true);
        if (test_random(seed, 3) == 0)
                put_paths(t, seed, "revoke", 2, true);
        if (test_random(seed, 3) == 0)
                put_paths(t, seed, "bypass_protection", 2, true);
        put(t, "}, \"groups\": { \"include\": [%s], \"exclude\": [%s] } }", test_random(seed, 2) ? "\"grants\"" : "",
            test_random(seed, 3) ? "" : "\"denies\"");
}

static struct policy_store *random_store(uint64_t *seed, bool user) {
        static const struct {
                const char *name, *extends;
        } profiles[] = { { "default", "" }, { "base", "" }, { "other", "" }, { "child", "\"base\", \"other\"" } };
        struct policy_store *s = policy_store_new();
        struct text t = { .n = 0 };

        put(&t, "{ \"required\": true, \"deny\": {");
        put_paths(&t, seed, "access", 2, true);
        put(&t, "} }");
        test_must_add(s, POLICY_GROUP, "required", t.s);
        t = (struct text){ .n = 0 };
        put(&t, "{ \"deny\": {");
        put_paths(&t, seed, "access", 2, true);
        put(&t, "} }");
        test_must_add(s, POLICY_GROUP, "denies", t.s);
        t = (struct text){ .n = 0 };
        put(&t, "{ \"allow\": {");
        put_paths(&t, seed, "read", 2, true);
        put_paths(&t, seed, "readwrite", 2, true);
        put(&t, "} }");
        test_must_add(s, POLICY_GROUP, "grants", t.s);
        t = (struct text){ .n = 0 };
        put(&t, "{");
        put_paths(&t, seed, "deny", 2, true);
        put_paths(&t, seed, "deny_write", 1, true);
        put(&t, "}");
        test_must_add(s, POLICY_CEILING, "ceiling", t.s);
        for (size_t i = 0; i < ELEMENTSOF(profiles); i++) {
                put_profile(&t, seed, profiles[i].extends);
                assert_int_equal(test_add(s, POLICY_PROFILE, profiles[i].name, t.s, user), 0);
        }
        return s;
}

static bool rule_covers(const struct policy_rule *r, const char *path) {
        struct policy_plan *p = policy_plan_new();
        struct policy_rule allow = *r;
        bool covers;

        allow.effect = POLICY_ALLOW;
        allow.access = RW;
        assert_int_equal(policy_plan_add(p, &allow, NULL), 0);
        covers = policy_verdict(p, path, POLICY_READ).answer == POLICY_ANSWER_GRANT;
        policy_plan_free(p);
        return covers;
}

/* Which denies may never be overridden: ceiling and profile always, required groups when the profiles are a user's. */
static bool rule_holds(const struct policy_rule *r, bool user) {
        return r->effect == POLICY_DENY && !r->revoke &&
               (r->origin == POLICY_FROM_CEILING || r->origin == POLICY_FROM_PROFILE ||
                (user && r->origin == POLICY_FROM_REQUIRED_GROUP));
}

static void test_denies_hold_in_random_profiles(void **state) {
        uint64_t seed = 7;

        for (int round = 0; round < 3000; round++) {
                bool user = round % 2;
                _cleanup_(policy_store_freep) struct policy_store *s = random_store(&seed, user);
                _cleanup_(policy_plan_freep) struct policy_plan *p = test_compile(s, "child");
                const struct policy_rule *rules;
                size_t n;

                rules = policy_plan_rules(p, &n);
                for (size_t i = 0; i < n; i++)
                        for (size_t k = 0; rule_holds(&rules[i], user) && k < ELEMENTSOF(universe); k++) {
                                struct policy_verdict v;

                                if (!rule_covers(&rules[i], universe[k]))
                                        continue;
                                v = policy_verdict(p, universe[k], rules[i].access);
                                if (v.answer != POLICY_ANSWER_DENY || (v.granted & rules[i].access))
                                        fail_msg("round %d: %s in spite of %s", round, universe[k], rules[i].path);
                        }
        }
}

static void test_required_denies_are_present_in_random_profiles(void **state) {
        uint64_t seed = 11;

        for (int round = 0; round < 500; round++) {
                _cleanup_(policy_store_freep) struct policy_store *s = random_store(&seed, true);
                _cleanup_(policy_plan_freep) struct policy_plan *child = test_compile(s, "child"), *bare = NULL;
                const struct policy_rule *rules;
                size_t n;

                test_must_add(s, POLICY_PROFILE, "default", "{}");
                bare = test_compile(s, "default");
                rules = policy_plan_rules(bare, &n);
                for (size_t i = 0; i < n; i++)
                        for (size_t k = 0; k < ELEMENTSOF(universe); k++)
                                if (rule_covers(&rules[i], universe[k]))
                                        assert_int_equal(policy_verdict(child, universe[k], rules[i].access).answer,
                                                         POLICY_ANSWER_DENY);
        }
}

static void test_project_profile_never_widens(void **state) {
        uint64_t seed = 13;

        for (int round = 0; round < 1000; round++) {
                _cleanup_(policy_store_freep) struct policy_store *s = random_store(&seed, true);
                _cleanup_(policy_plan_freep) struct policy_plan *without = test_compile(s, "child"), *with = NULL;
                struct text t = { .n = 0 };

                put(&t, "{ \"filesystem\": {");
                put_paths(&t, &seed, "deny", 1, true);
                put_paths(&t, &seed, "deny_write", 1, true);
                put_paths(&t, &seed, "revoke", 2, true);
                put(&t, "} }");
                assert_int_equal(test_add(s, POLICY_PROJECT, "project", t.s, true), 0);
                with = test_compile(s, "child");
                for (size_t k = 0; k < ELEMENTSOF(universe); k++) {
                        unsigned before = policy_verdict(without, universe[k], POLICY_READ).granted;
                        unsigned after = policy_verdict(with, universe[k], POLICY_READ).granted;

                        if (after & ~before)
                                fail_msg("round %d: %s went from %u to %u by %s", round, universe[k], before, after, t.s);
                }
        }
}

static void test_nothing_is_left_of_what_was_revoked(void **state) {
        uint64_t seed = 17;

        for (int round = 0; round < 2000; round++) {
                _cleanup_(policy_store_freep) struct policy_store *s = random_store(&seed, false);
                _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;
                struct policy_rule revoked = { .effect = POLICY_DENY, .access = RW };
                struct text t = { .n = 0 }, path = { .n = 0 };

                put_path(&path, &seed, true);
                put(&t, "{ \"extends\": \"child\", \"filesystem\": { \"revoke\": [%s] } }", path.s);
                test_must_add(s, POLICY_PROFILE, "last", t.s);
                p = test_compile(s, "last");
                path.s[path.n - 1] = '\0';
                revoked.path = path.s + 1;
                revoked.pattern = strpbrk(path.s, "*?") != NULL;
                for (size_t k = 0; k < ELEMENTSOF(universe); k++)
                        if (rule_covers(&revoked, universe[k]) && policy_verdict(p, universe[k], POLICY_READ).granted)
                                fail_msg("round %d: %s is still granted after revoking %s", round, universe[k], path.s);
        }
}

static void test_excluding_and_bypassing_never_touch_the_ceiling(void **state) {
        _cleanup_(policy_store_freep) struct policy_store *s = policy_store_new();
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(s, POLICY_CEILING, "c", "{ \"deny\": [\"/a\"] }");
        test_must_add(s, POLICY_GROUP, "g", "{ \"deny\": { \"access\": [\"/a\"] } }");
        test_must_add(s, POLICY_PROFILE, "default",
                      "{ \"groups\": { \"include\": [\"g\"] }, \"filesystem\": { \"allow\": [\"/a\"], \"bypass_protection\": [\"/a\"] } }");
        p = test_compile(s, "default");
        assert_answer(p, "/a", POLICY_READ, DENY);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_denies_hold_in_random_profiles),
                cmocka_unit_test(test_required_denies_are_present_in_random_profiles),
                cmocka_unit_test(test_project_profile_never_widens),
                cmocka_unit_test(test_nothing_is_left_of_what_was_revoked),
                cmocka_unit_test(test_excluding_and_bypassing_never_touch_the_ceiling),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
