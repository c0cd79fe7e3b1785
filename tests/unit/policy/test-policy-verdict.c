/*
 * Verdicts: the facts, then random plans against a slow model that looks at every rule for every path.
 */
#include "daemon/policy/plan.h"
#include "tests/unit/policy/policy-test.h"

static int setup_plan(void **state) {
        *state = policy_plan_new();
        return *state ? 0 : -1;
}

static int teardown_plan(void **state) {
        policy_plan_free(*state);
        return 0;
}

static void test_nothing_said_is_asked(void **state) {
        assert_answer(*state, "/", POLICY_READ, ASK);
        assert_answer(*state, "/etc/passwd", POLICY_READ, ASK);
}

static void test_allow_covers_its_tree(void **state) {
        test_rule(*state, POLICY_ALLOW, POLICY_READ, "/a/b");
        assert_answer(*state, "/a/b", POLICY_READ, GRANT);
        assert_answer(*state, "/a/b/c/d", POLICY_READ, GRANT);
        assert_answer(*state, "/a/bc", POLICY_READ, ASK);
        assert_answer(*state, "/a/b/c", POLICY_WRITE, ASK);
        assert_answer(*state, "/a/b/c", RW, ASK);
}

static void test_ancestor_of_an_allow_is_a_level(void **state) {
        test_rule(*state, POLICY_ALLOW, POLICY_READ, "/a/b/c");
        assert_answer(*state, "/", POLICY_READ, DESCEND);
        assert_answer(*state, "/a", POLICY_READ, DESCEND);
        assert_answer(*state, "/a/b", RW, DESCEND);
        assert_answer(*state, "/a/x", POLICY_READ, ASK);
        assert_null(policy_verdict(*state, "/a", POLICY_READ).rule);
}

static void test_deny_wins_over_allow(void **state) {
        test_rule(*state, POLICY_ALLOW, RW, "/home/u");
        test_rule(*state, POLICY_DENY, RW, "/home/u/.ssh");
        test_rule(*state, POLICY_ALLOW, RW, "/home/u/.ssh/known_hosts");
        assert_answer(*state, "/home/u/.ssh", POLICY_READ, DENY);
        assert_answer(*state, "/home/u/.ssh/known_hosts", POLICY_READ, DENY);
        assert_answer(*state, "/home/u/x", RW, GRANT);
        assert_true(policy_verdict(*state, "/home/u", POLICY_READ).deny_below);
        assert_false(policy_verdict(*state, "/home/u/x", POLICY_READ).deny_below);
}

static void test_write_deny_leaves_reading(void **state) {
        struct policy_verdict v;

        test_rule(*state, POLICY_ALLOW, RW, "/p");
        test_rule(*state, POLICY_DENY, POLICY_WRITE, "/**/.git");
        assert_answer(*state, "/p/.git/config", POLICY_READ, GRANT);
        assert_answer(*state, "/p/.git/config", POLICY_WRITE, DENY);
        assert_answer(*state, "/p/.git/config", RW, DENY);
        v = policy_verdict(*state, "/p/.git", POLICY_READ);
        assert_int_equal(v.granted, POLICY_READ);
        assert_true(policy_verdict(*state, "/p", POLICY_READ).deny_below);
}

static void test_write_deny_below_a_read_grant_needs_no_mask(void **state) {
        test_rule(*state, POLICY_ALLOW, POLICY_READ, "/p");
        test_rule(*state, POLICY_DENY, POLICY_WRITE, "/p/.git");
        assert_false(policy_verdict(*state, "/p", POLICY_READ).deny_below);
}

static void test_deny_glob_covers_names_created_later(void **state) {
        test_rule(*state, POLICY_ALLOW, RW, "/p");
        test_rule(*state, POLICY_DENY, RW, "**/.env");
        assert_answer(*state, "/p/.env", POLICY_READ, DENY);
        assert_answer(*state, "/p/a/b/.env", POLICY_READ, DENY);
        assert_answer(*state, "/p/.env/below", POLICY_READ, DENY);
        assert_answer(*state, "/p/a/.envrc", POLICY_READ, GRANT);
        assert_true(policy_verdict(*state, "/p/a/b", POLICY_READ).deny_below);
}

static void test_file_rule_is_one_object(void **state) {
        struct policy_rule rule = { .effect = POLICY_ALLOW, .access = RW, .file = true, .path = (char *)"/h/f" };

        assert_int_equal(policy_plan_add(*state, &rule, NULL), 0);
        assert_answer(*state, "/h/f", RW, GRANT);
        assert_answer(*state, "/h/f/below", RW, ASK);
        assert_answer(*state, "/h", RW, DESCEND);
}

static void test_file_pattern_grants_names_in_a_level(void **state) {
        struct policy_rule rule = {
                .effect = POLICY_ALLOW, .access = RW, .file = true, .pattern = true, .path = (char *)"/h/.c.json*"
        };

        assert_int_equal(policy_plan_add(*state, &rule, NULL), 0);
        assert_answer(*state, "/h", POLICY_READ, DESCEND);
        assert_answer(*state, "/h/.c.json.tmp.1", RW, GRANT);
        assert_answer(*state, "/h/.c.json.tmp.1/x", RW, ASK);
        assert_answer(*state, "/h/.d", RW, ASK);
}

static void test_rights_of_several_rules_add_up(void **state) {
        test_rule(*state, POLICY_ALLOW, POLICY_READ, "/a");
        test_rule(*state, POLICY_ALLOW, POLICY_WRITE, "/a/b");
        assert_answer(*state, "/a/b/c", RW, GRANT);
        assert_string_equal(policy_verdict(*state, "/a/b/c", RW).rule->path, "/a/b");
        assert_answer(*state, "/a/c", POLICY_WRITE, ASK);
        assert_answer(*state, "/a", POLICY_WRITE, ASK); /* something covers it: no level */
}

static void test_stronger_origin_is_named(void **state) {
        struct policy_rule rule = { .effect = POLICY_DENY, .access = RW, .path = (char *)"/a/b/c" };

        rule.origin = POLICY_FROM_PROFILE;
        assert_int_equal(policy_plan_add(*state, &rule, NULL), 0);
        rule.origin = POLICY_FROM_CEILING;
        rule.path = (char *)"/a";
        assert_int_equal(policy_plan_add(*state, &rule, NULL), 0);
        assert_int_equal(policy_verdict(*state, "/a/b/c", POLICY_READ).rule->origin, POLICY_FROM_CEILING);
}

static void test_lift_opens_a_path_inside_a_group_deny(void **state) {
        struct policy_rule rule = {
                .effect = POLICY_DENY, .origin = POLICY_FROM_REQUIRED_GROUP, .access = RW, .path = (char *)"/h/.docker"
        };

        assert_int_equal(policy_plan_add(*state, &rule, NULL), 0);
        rule = (struct policy_rule){ .effect = POLICY_ALLOW, .origin = POLICY_FROM_PROFILE, .access = POLICY_READ,
                                     .path = (char *)"/h/.docker/config.json", .lift = POLICY_LIFT_GROUP };
        assert_int_equal(policy_plan_add(*state, &rule, NULL), 0);
        assert_answer(*state, "/h/.docker/config.json", POLICY_READ, DENY); /* a group's, not a required group's lift */
        rule.lift |= POLICY_LIFT_REQUIRED_GROUP;
        assert_int_equal(policy_plan_add(*state, &rule, NULL), 0);
        assert_answer(*state, "/h/.docker/config.json", POLICY_READ, GRANT);
        assert_answer(*state, "/h/.docker/config.json", POLICY_WRITE, DENY);
        assert_answer(*state, "/h/.docker", POLICY_READ, DESCEND);
        assert_answer(*state, "/h/.docker/other", POLICY_READ, DENY);
}

static void test_lift_never_opens_ceiling_or_profile_denies(void **state) {
        struct policy_rule rule = { .effect = POLICY_ALLOW, .origin = POLICY_FROM_PROFILE, .access = RW,
                                    .path = (char *)"/h/x", .lift = 7 };

        assert_int_equal(policy_plan_add(*state, &rule, NULL), 0);
        rule = (struct policy_rule){ .effect = POLICY_DENY, .origin = POLICY_FROM_CEILING, .access = RW,
                                     .path = (char *)"/h/x" };
        assert_int_equal(policy_plan_add(*state, &rule, NULL), 0);
        assert_answer(*state, "/h/x/y", POLICY_READ, DENY);
        assert_int_equal(policy_plan_remove(*state, 2), 0);
        assert_answer(*state, "/h/x/y", POLICY_READ, GRANT);
        test_rule(*state, POLICY_DENY, RW, "/h/x");
        assert_answer(*state, "/h/x/y", POLICY_READ, DENY);
}

static void test_bad_paths_are_refused(void **state) {
        static const char *const bad[] = { "", "a", "//", "/a//b", "/a/", "/a/.", "/./a", "/a/../b", "/.." };
        struct policy_rule rule = { .effect = POLICY_ALLOW, .access = RW };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                rule.path = (char *)bad[i];
                assert_int_equal(policy_plan_add(*state, &rule, NULL), POLICY_E_INVALID);
        }
        rule.path = (char *)"/a";
        rule.access = 0;
        assert_int_equal(policy_plan_add(*state, &rule, NULL), POLICY_E_INVALID);
        rule.access = 4;
        assert_int_equal(policy_plan_add(*state, &rule, NULL), POLICY_E_INVALID);
}

static void test_rules_are_counted(void **state) {
        char path[32];
        struct policy_rule rule = { .effect = POLICY_ALLOW, .access = RW, .path = path };

        for (int i = 0; i < POLICY_RULES_MAX; i++) {
                (void)snprintf(path, sizeof(path), "/a/%d", i);
                assert_int_equal(policy_plan_add(*state, &rule, NULL), 0);
        }
        assert_int_equal(policy_plan_add(*state, &rule, NULL), POLICY_E_LIMIT);
        assert_answer(*state, "/a/4095/x", RW, GRANT);
        assert_int_equal(policy_plan_remove(*state, 4096), 0);
        assert_answer(*state, "/a/4095/x", RW, ASK);
        assert_int_equal(policy_plan_remove(*state, 4096), POLICY_E_NOT_FOUND);
}

/* The model. Rules as they are, no index; patterns and "below" by trying all paths there are. */
enum { MODEL_DEPTH = 4, MODEL_NAMES = 3, MODEL_PATHS = 1 + 3 + 9 + 27 + 81 };

static char model_paths[MODEL_PATHS][24];
static size_t n_model_paths;

static void model_make_paths(const char *at, int depth) {
        static const char *const names[] = { "a", "b", ".e" };

        strcpy(model_paths[n_model_paths++], *at ? at : "/");
        for (size_t i = 0; depth < MODEL_DEPTH && i < MODEL_NAMES; i++) {
                char path[24];

                (void)snprintf(path, sizeof(path), "%.18s/%s", at, names[i]);
                model_make_paths(path, depth + 1);
        }
}

static bool model_within(const char *path, const char *tree) {
        size_t n = strlen(tree);

        return n == 1 || (strncmp(path, tree, n) == 0 && (!path[n] || path[n] == '/'));
}

static bool model_covers(const struct policy_rule *r, const char *path) {
        if (!r->pattern)
                return r->file ? strcmp(path, r->path) == 0 : model_within(path, r->path);
        if (r->file)
                return policy_glob_match(r->path, path);
        for (size_t i = 0; i < n_model_paths; i++)
                if (model_within(path, model_paths[i]) && policy_glob_match(r->path, model_paths[i]))
                        return true;
        return false;
}

static bool model_is_below(const struct policy_rule *r, const char *path) {
        if (!r->pattern)
                return strcmp(r->path, path) != 0 && model_within(r->path, path);
        for (size_t i = 0; i < n_model_paths; i++)
                if (strcmp(model_paths[i], path) != 0 && model_within(model_paths[i], path) &&
                    policy_glob_match(r->path, model_paths[i]))
                        return true;
        return false;
}

static size_t model_level(const char *path) {
        size_t n = 0;

        for (; *path; path++)
                n += *path == '/' && path[1];
        return n;
}

static bool model_is_lifted(const struct policy_rule *rules, size_t n, const struct policy_rule *deny, unsigned bit,
                            const char *path) {
        for (size_t i = 0; i < n; i++) {
                const struct policy_rule *r = &rules[i];

                if (r->effect != POLICY_ALLOW || !(r->access & bit) || !(r->lift & plan_deny_class(deny)) ||
                    !model_covers(r, path))
                        continue;
                if (r->pattern ? r->file : (deny->pattern || model_level(r->path) >= model_level(deny->path)))
                        return true;
        }
        return false;
}

static enum policy_answer model_verdict(const struct policy_rule *rules, size_t n, const char *path, unsigned access,
                                        unsigned *ret_granted, bool *ret_deny_below) {
        unsigned allowed = 0, denied = 0, cured = 0;
        bool allow_below = false;

        *ret_deny_below = false;
        for (size_t i = 0; i < n; i++) {
                const struct policy_rule *r = &rules[i];

                if (r->effect == POLICY_ALLOW) {
                        allowed |= model_covers(r, path) ? r->access : 0;
                        allow_below |= model_is_below(r, path);
                        continue;
                }
                for (unsigned bit = 1; bit <= 2 && model_covers(r, path); bit <<= 1) {
                        bool lift_below = false;

                        if (!(r->access & bit) || model_is_lifted(rules, n, r, bit, path))
                                continue;
                        denied |= bit;
                        for (size_t k = 0; k < n; k++)
                                lift_below |= !rules[k].pattern && (rules[k].lift & plan_deny_class(r)) &&
                                              model_is_below(&rules[k], path);
                        if ((access & bit) && !lift_below)
                                cured |= 4;
                }
        }
        *ret_granted = allowed & ~denied;
        for (size_t i = 0; i < n; i++)
                *ret_deny_below |= rules[i].effect == POLICY_DENY && (rules[i].access & *ret_granted) &&
                                   model_is_below(&rules[i], path);
        if (denied & access)
                return cured ? POLICY_ANSWER_DENY : POLICY_ANSWER_DESCEND;
        if ((*ret_granted & access) == access)
                return POLICY_ANSWER_GRANT;
        return !allowed && allow_below ? POLICY_ANSWER_DESCEND : POLICY_ANSWER_ASK;
}

/* At most two levels, so that everything a pattern can reach is among the model's paths. */
static void random_rule(uint64_t *seed, struct policy_rule *r, char *path) {
        static const char *const names[] = { "a", "b", ".e", "*", "?", "**", ".*" };
        uint32_t n = 1 + test_random(seed, 2);

        *r = (struct policy_rule){
                .effect = test_random(seed, 3) ? POLICY_ALLOW : POLICY_DENY,
                .origin = (enum policy_origin)test_random(seed, 6),
                .access = 1 + test_random(seed, 3),
                .file = test_random(seed, 4) == 0,
                .pattern = test_random(seed, 4) == 0,
                .path = path,
        };
        if (r->effect == POLICY_ALLOW && test_random(seed, 3) == 0)
                r->lift = test_random(seed, 8);
        if (r->effect == POLICY_DENY)
                r->revoke = test_random(seed, 6) == 0;
        *path = '\0';
        for (uint32_t i = 0; i < n; i++) {
                strcat(path, "/");
                strcat(path, names[test_random(seed, r->pattern ? 7 : 3)]);
        }
        if (!r->pattern && test_random(seed, 20) == 0)
                strcpy(path, "/");
}

static void model_compare(const struct policy_plan *p, int round) {
        size_t n;
        const struct policy_rule *rules = policy_plan_rules(p, &n);

        for (size_t i = 0; i < n_model_paths; i++) {
                const char *path = model_paths[i];

                if (model_level(path) > 2)
                        continue;
                for (unsigned access = 1; access <= 3; access++) {
                        struct policy_verdict v = policy_verdict(p, path, access);
                        bool deny_below;
                        unsigned granted;
                        enum policy_answer want = model_verdict(rules, n, path, access, &granted, &deny_below);

                        if (v.answer != want || v.granted != granted ||
                            (want == POLICY_ANSWER_GRANT && v.deny_below != deny_below)) {
                                for (size_t k = 0; k < n; k++)
                                        print_message("%s %u %s%s%s lift %u\n", rules[k].effect ? "deny" : "allow",
                                                      rules[k].access, rules[k].path, rules[k].file ? " file" : "",
                                                      rules[k].pattern ? " pattern" : "", rules[k].lift);
                                fail_msg("round %d, %s, access %u: %d, expected %d", round, path, access, v.answer, want);
                        }
                        assert_int_equal(!!v.rule, v.answer == POLICY_ANSWER_GRANT || v.answer == POLICY_ANSWER_DENY);
                        if (v.rule) {
                                assert_true(model_covers(v.rule, path));
                                assert_true(v.rule->access & access);
                                assert_int_equal(v.rule->effect,
                                                 v.answer == POLICY_ANSWER_DENY ? POLICY_DENY : POLICY_ALLOW);
                        }
                }
        }
}

static void test_random_plans_equal_the_model(void **state) {
        uint64_t seed = 42;

        model_make_paths("", 0);
        assert_int_equal(n_model_paths, MODEL_PATHS);
        for (int round = 0; round < 4000; round++) {
                _cleanup_(policy_plan_freep) struct policy_plan *p = policy_plan_new();
                uint32_t n = 1 + test_random(&seed, 8);

                for (uint32_t i = 0; i < n; i++) {
                        struct policy_rule r;
                        char path[24];

                        random_rule(&seed, &r, path);
                        assert_int_equal(policy_plan_add(p, &r, NULL), 0);
                }
                model_compare(p, round);
                for (uint32_t i = 0; i < n / 2; i++)
                        (void)policy_plan_remove(p, 1 + test_random(&seed, n));
                model_compare(p, round);
        }
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup_plan, teardown_plan)
        const struct CMUnitTest tests[] = {
                T(test_nothing_said_is_asked),
                T(test_allow_covers_its_tree),
                T(test_ancestor_of_an_allow_is_a_level),
                T(test_deny_wins_over_allow),
                T(test_write_deny_leaves_reading),
                T(test_write_deny_below_a_read_grant_needs_no_mask),
                T(test_deny_glob_covers_names_created_later),
                T(test_file_rule_is_one_object),
                T(test_file_pattern_grants_names_in_a_level),
                T(test_rights_of_several_rules_add_up),
                T(test_stronger_origin_is_named),
                T(test_lift_opens_a_path_inside_a_group_deny),
                T(test_lift_never_opens_ceiling_or_profile_denies),
                T(test_bad_paths_are_refused),
                T(test_rules_are_counted),
                cmocka_unit_test(test_random_plans_equal_the_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
