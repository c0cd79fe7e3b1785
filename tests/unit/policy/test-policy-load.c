/*
 * Loading: every broken file says where and why; odd but good files load; sizes are bounded.
 */
#include <stdlib.h>

#include "daemon/policy/arena.h"
#include "daemon/policy/node.h"
#include "tests/unit/policy/policy-test.h"

static enum policy_kind kind_of(const char *name) {
        static const struct {
                const char *prefix;
                enum policy_kind kind;
        } kinds[] = {
                { "group", POLICY_GROUP },     { "profile", POLICY_PROFILE }, { "network", POLICY_NETWORK },
                { "ceiling", POLICY_CEILING }, { "project", POLICY_PROJECT },
        };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (strncmp(name, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
                        return kinds[i].kind;
        fail_msg("%s", name);
        return POLICY_PROFILE;
}

static char *slurp(const char *directory, const char *name, size_t *ret_n) {
        _cleanup_fclose_ FILE *f = NULL;
        char path[512], *text = calloc(1, POLICY_TEXT_MAX + 1);

        (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "re");
        if (!f)
                fail_msg("%s", path);
        *ret_n = fread(text, 1, POLICY_TEXT_MAX, f);
        return text;
}

static void test_every_broken_file_names_line_and_column(void **state) {
        const char *directory = TEST_SOURCE_ROOT "/tests/data/policy/broken";
        _cleanup_free_ char *list = NULL;
        size_t n_list, n_files = 0;
        char *rest;

        list = slurp(directory, "expected.txt", &n_list);
        rest = list;
        for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
                _cleanup_(policy_store_freep) struct policy_store *s = policy_store_new();
                char file[128], name[128], part[256];
                _cleanup_free_ char *text = NULL;
                struct policy_error err = { .line = 0 };
                unsigned at_line, at_column;
                size_t n;

                if (!*line || *line == '#')
                        continue;
                assert_int_equal(sscanf(line, "%127s %u:%u %255[^\n]", file, &at_line, &at_column, part), 4);
                text = slurp(directory, file, &n);
                (void)snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(".json")), file);
                assert_int_equal(policy_store_add(s, kind_of(file), name, text, n, file, true, &err), POLICY_E_INVALID);
                if (err.line != at_line || err.column != at_column || !strstr(err.message, part) ||
                    strcmp(err.source, file) != 0)
                        fail_msg("%s: got %s:%u:%u: %s", line, err.source, err.line, err.column, err.message);
                n_files++;
        }
        assert_true(n_files > 50);
}

static void test_every_prefix_of_a_file_is_an_error_not_a_crash(void **state) {
        static const char text[] = "// c\n{ \"filesystem\": { \"read\": [\"~/a\", { \"path\": \"/b\", \"when\": [\"linux\"] }], /* x */\n"
                                   "\"deny\": [\"**/.env\"] }, \"network\": { \"open_port\": [1] }, \"interactive\": true }";

        for (size_t n = 0; n < strlen(text); n++) {
                _cleanup_(policy_store_freep) struct policy_store *s = policy_store_new();
                _cleanup_free_ char *copy = malloc(n + 1); /* exact size, for the address sanitizer */
                struct policy_error err = { .line = 0 };

                memcpy(copy, text, n);
                assert_int_equal(policy_store_add(s, POLICY_PROFILE, "p", copy, n, "p", true, &err), POLICY_E_INVALID);
                assert_true(err.line > 0 && err.column > 0 && *err.message);
        }
}

static void test_comments_keep_positions(void **state) {
        static const char text[] = "{ // one \"quote\n  /* two\n lines */ \"meta\": { \"description\": \"/* no // comment */\" },\n"
                                   "\t\"binary\" : \"\xc3\xa4\\\"b\" , \"command_args\": [ ] }";
        _cleanup_(arena_done) struct arena a = { .blocks = NULL };
        const struct node *binary, *args, *description;
        struct node *root = NULL;

        assert_int_equal(node_parse(&a, text, strlen(text), "s", &root, NULL), 0);
        description = node_get_path(root, "meta.description");
        assert_string_equal(description->string, "/* no // comment */");
        assert_int_equal(description->line, 3);
        assert_int_equal(description->column, 36);
        binary = node_get(root, "binary");
        assert_int_equal(binary->line, 4);
        assert_int_equal(binary->key_column, 2);
        assert_int_equal(binary->column, 13);
        assert_int_equal(text[binary->start], '"');
        assert_int_equal(binary->end - binary->start, 7);
        args = node_get(root, "command_args"); /* columns count characters: one a-umlaut is one */
        assert_int_equal(args->column, 38);
        assert_memory_equal(text + args->start, "[ ]", args->end - args->start);
}

static void test_size_is_bounded(void **state) {
        _cleanup_(policy_store_freep) struct policy_store *s = policy_store_new();
        _cleanup_free_ char *text = malloc(POLICY_TEXT_MAX + 1);
        struct policy_error err;

        memset(text, ' ', POLICY_TEXT_MAX + 1);
        text[0] = '{';
        text[POLICY_TEXT_MAX - 1] = '}';
        assert_int_equal(policy_store_add(s, POLICY_PROFILE, "p", text, POLICY_TEXT_MAX, "p", true, &err), 0);
        assert_int_equal(policy_store_add(s, POLICY_PROFILE, "q", text, POLICY_TEXT_MAX + 1, "q", true, &err),
                         POLICY_E_INVALID);
}

static void test_foreign_bytes_in_errors_are_escaped(void **state) {
        _cleanup_(policy_store_freep) struct policy_store *s = policy_store_new();
        const char *text = "{ \"\\u001b[31m\\u202e\": 1 }";
        struct policy_error err;

        assert_int_equal(policy_store_add(s, POLICY_PROFILE, "p", text, strlen(text), "a\nb", true, &err), POLICY_E_INVALID);
        assert_null(strchr(err.source, '\n'));
        assert_null(strchr(err.message, '\033'));
        assert_null(strstr(err.message, "\xe2\x80\xae"));
}

static void test_bad_names_are_refused(void **state) {
        static const char *const bad[] = { "", ".", "..", "a/b", "-a", ".a", "a b", "\xc3\xa4" };
        _cleanup_(policy_store_freep) struct policy_store *s = policy_store_new();

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(policy_store_add(s, POLICY_GROUP, bad[i], "{}", 2, "s", false, NULL), POLICY_E_INVALID);
        assert_int_equal(policy_store_add(s, POLICY_GROUP, "a.b_c-1", "{}", 2, "s", false, NULL), 0);
}

static void test_later_profile_replaces_earlier_one(void **state) {
        _cleanup_(policy_store_freep) struct policy_store *s = policy_store_new();
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;
        _cleanup_free_ const char **names = NULL;
        size_t n;

        test_must_add(s, POLICY_PROFILE, "b", "{ \"binary\": \"one\" }");
        test_must_add(s, POLICY_PROFILE, "a", "{}");
        assert_int_equal(test_add(s, POLICY_PROFILE, "b", "{ \"binary\": \"two\" }", true), 0);
        p = test_compile(s, "b");
        assert_string_equal(policy_plan_settings(p)->program, "two");
        assert_int_equal(policy_store_names(s, POLICY_PROFILE, &names, &n), 0);
        assert_int_equal(n, 2);
        assert_string_equal(names[0], "a");
}

static void test_user_group_never_replaces_a_system_group(void **state) {
        _cleanup_(policy_store_freep) struct policy_store *s = policy_store_new();

        test_must_add(s, POLICY_GROUP, "g", "{ \"required\": true, \"deny\": { \"access\": [\"~/.ssh\"] } }");
        assert_int_equal(test_add(s, POLICY_GROUP, "g", "{}", true), POLICY_E_INVALID);
        assert_int_equal(test_add(s, POLICY_GROUP, "own", "{}", true), 0);
        assert_int_equal(test_add(s, POLICY_GROUP, "own", "{}", true), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_broken_file_names_line_and_column),
                cmocka_unit_test(test_every_prefix_of_a_file_is_an_error_not_a_crash),
                cmocka_unit_test(test_comments_keep_positions),
                cmocka_unit_test(test_size_is_bounded),
                cmocka_unit_test(test_foreign_bytes_in_errors_are_escaped),
                cmocka_unit_test(test_bad_names_are_refused),
                cmocka_unit_test(test_later_profile_replaces_earlier_one),
                cmocka_unit_test(test_user_group_never_replaces_a_system_group),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
