/*
 * Patterns: the facts users rely on, then thousands of random pairs against a slow recursive model.
 */
#include "daemon/policy/glob.h"
#include "tests/unit/policy/policy-test.h"

static void test_star_stops_at_a_slash(void **state) {
        assert_true(policy_glob_match("/a/*.c", "/a/x.c"));
        assert_false(policy_glob_match("/a/*.c", "/a/b/x.c"));
        assert_true(policy_glob_match("/a/*/c", "/a/b/c"));
        assert_false(policy_glob_match("/*", "/"));
}

static void test_star_matches_a_leading_dot(void **state) {
        assert_true(policy_glob_match("/a/*", "/a/.env"));
        assert_true(policy_glob_match("/home/u/.claude.json.tmp.*", "/home/u/.claude.json.tmp.12.ab"));
        assert_false(policy_glob_match("/home/u/.claude.json.tmp.*", "/home/u/.claude.json"));
}

static void test_question_mark_takes_one_character(void **state) {
        assert_true(policy_glob_match("/a?c", "/abc"));
        assert_true(policy_glob_match("/a?c", "/a\xc3\xa4"
                                              "c"));
        assert_true(policy_glob_match("/a?c", "/a\xff"
                                              "c"));
        assert_false(policy_glob_match("/a?c", "/ac"));
        assert_false(policy_glob_match("/a?c", "/a/c"));
}

static void test_double_star_crosses_slashes(void **state) {
        assert_true(policy_glob_match("/a/**/z", "/a/z"));
        assert_true(policy_glob_match("/a/**/z", "/a/b/c/z"));
        assert_false(policy_glob_match("/a/**/z", "/b/z"));
        assert_true(policy_glob_match("/a/**", "/a/b/c"));
        assert_false(policy_glob_match("/a/**", "/a"));
        assert_true(policy_glob_match("/**/a/**/b", "/x/a/y/a/z/b"));
}

static void test_leading_double_star_matches_at_any_depth(void **state) {
        assert_true(policy_glob_match("**/.env", "/.env"));
        assert_true(policy_glob_match("**/.env", "/home/u/p/.env"));
        assert_true(policy_glob_match("/**/.env", "/home/u/p/.env"));
        assert_false(policy_glob_match("**/.env", "/home/u/p/.envrc"));
        assert_false(policy_glob_match("**/.env", "/home/u/.env/x"));
}

static void test_double_star_inside_a_name_is_a_star(void **state) {
        assert_true(policy_glob_match("/a**b", "/axxb"));
        assert_false(policy_glob_match("/a**b", "/a/b"));
}

static void test_relative_pattern_matches_nothing(void **state) {
        assert_false(policy_glob_match(".env", "/.env"));
        assert_false(policy_glob_match("*", "/a"));
}

static void test_many_stars_do_not_explode(void **state) {
        char path[2002];

        memset(path, 'a', sizeof(path) - 1);
        path[0] = '/';
        path[sizeof(path) - 1] = '\0';
        assert_false(policy_glob_match("/a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", path));
        for (size_t i = 0; i < sizeof(path) - 1; i += 2)
                path[i] = '/';
        assert_false(policy_glob_match("/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/b", path));
}

/* The model: recursion over components, and over bytes inside one. */
static bool model_name(const char *p, size_t n_p, const char *s, size_t n_s) {
        if (n_p == 0)
                return n_s == 0;
        if (*p == '*')
                return model_name(p + 1, n_p - 1, s, n_s) || (n_s && model_name(p, n_p, s + 1, n_s - 1));
        return n_s && (*p == '?' || *p == *s) && model_name(p + 1, n_p - 1, s + 1, n_s - 1);
}

/* Both stand on a slash or at the end. */
static bool model_match(const char *p, const char *s) {
        size_t n_p, n_s;

        if (!*p)
                return !*s;
        n_p = strcspn(p + 1, "/");
        if (n_p == 2 && memcmp(p + 1, "**", 2) == 0) {
                const char *rest = p + 3;

                if (!*rest)
                        return *s != '\0';
                for (;;) {
                        if (model_match(rest, s))
                                return true;
                        if (!*s)
                                return false;
                        s += 1 + strcspn(s + 1, "/");
                }
        }
        if (!*s)
                return false;
        n_s = strcspn(s + 1, "/");
        return model_name(p + 1, n_p, s + 1, n_s) && model_match(p + 1 + n_p, s + 1 + n_s);
}

static bool model_covers(const char *pattern, const char *path) {
        char above[64];

        for (size_t n = 1; n <= strlen(path); n++) {
                if (path[n] != '/' && path[n] != '\0')
                        continue;
                memcpy(above, path, n);
                above[n] = '\0';
                if (model_match(pattern, above))
                        return true;
        }
        return false;
}

/* Is there anything below, three levels deep, of the few names there are? */
static bool model_reaches_below(const char *pattern, const char *path, int depth) {
        static const char *const names[] = { "a", "b", "ab", "aba" };

        for (size_t i = 0; depth < 4 && i < 4; i++) {
                char longer[64];

                (void)snprintf(longer, sizeof(longer), "%s/%s", path, names[i]);
                if (model_match(pattern, longer) || model_reaches_below(pattern, longer, depth + 1))
                        return true;
        }
        return false;
}

static void test_random_globs_equal_the_model(void **state) {
        static const char *const patterns[] = { "a", "b", "ab", "*", "?", "a*", "*b", "**", "*a*", "??", "a*a" };
        static const char *const names[] = { "a", "b", "ab", "aba" };
        uint64_t seed = 1;

        for (int round = 0; round < 20000; round++) {
                char pattern[64] = "", path[64] = "";
                uint32_t n_p = 1 + test_random(&seed, 4), n_s = 1 + test_random(&seed, 4);

                for (uint32_t i = 0; i < n_p; i++) {
                        strcat(pattern, "/");
                        strcat(pattern, patterns[test_random(&seed, 11)]);
                }
                for (uint32_t i = 0; i < n_s; i++) {
                        strcat(path, "/");
                        strcat(path, names[test_random(&seed, 4)]);
                }
                if (policy_glob_match(pattern, path) != model_match(pattern, path) ||
                    policy_glob_covers(pattern, path) != model_covers(pattern, path) ||
                    policy_glob_reaches_below(pattern, path) != model_reaches_below(pattern, path, 0))
                        fail_msg("round %d: pattern %s, path %s", round, pattern, path);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_star_stops_at_a_slash),
                cmocka_unit_test(test_star_matches_a_leading_dot),
                cmocka_unit_test(test_question_mark_takes_one_character),
                cmocka_unit_test(test_double_star_crosses_slashes),
                cmocka_unit_test(test_leading_double_star_matches_at_any_depth),
                cmocka_unit_test(test_double_star_inside_a_name_is_a_star),
                cmocka_unit_test(test_relative_pattern_matches_nothing),
                cmocka_unit_test(test_many_stars_do_not_explode),
                cmocka_unit_test(test_random_globs_equal_the_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
