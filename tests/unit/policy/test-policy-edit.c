/*
 * Edits: comments, order and layout survive, and what was added can be taken out again.
 */
#include "daemon/policy/edit.h"
#include "tests/unit/policy/policy-test.h"

static void assert_added(const char *text, const char *list, const char *value, const char *want) {
        _cleanup_free_ char *out = NULL;
        struct policy_error err = { .line = 0 };
        size_t n;
        int r = edit_add(text, strlen(text), "s", list, value, &out, &n, &err);

        if (r)
                fail_msg("%u:%u: %s", err.line, err.column, err.message);
        assert_string_equal(out, want);
        assert_int_equal(n, strlen(want));
}

static void assert_removed(const char *text, const char *list, const char *value, const char *want) {
        _cleanup_free_ char *out = NULL;
        struct policy_error err = { .line = 0 };
        size_t n;
        int r = edit_remove(text, strlen(text), "s", list, value, &out, &n, &err);

        if (r)
                fail_msg("%d %u:%u: %s", r, err.line, err.column, err.message);
        assert_string_equal(out, want);
}

static void test_item_goes_to_the_end_of_its_list(void **state) {
        assert_added("{ \"filesystem\": { \"read\": [\"/a\"] } }", "filesystem.read", "/b",
                     "{ \"filesystem\": { \"read\": [\"/a\", \"/b\"] } }");
        assert_added("{ \"filesystem\": { \"read\": [ ] } }", "filesystem.read", "/b",
                     "{ \"filesystem\": { \"read\": [ \"/b\"] } }");
}

static void test_comments_stay_where_they_were(void **state) {
        assert_added("// top\n{\n    \"filesystem\": {\n        \"read\": [\n            // why a\n            \"/a\" // a\n            /* end */\n        ]\n    }\n}\n",
                     "filesystem.read", "/b",
                     "// top\n{\n    \"filesystem\": {\n        \"read\": [\n            // why a\n            \"/a\", // a\n            \"/b\"\n            /* end */\n        ]\n    }\n}\n");
}

static void test_missing_list_and_section_are_made(void **state) {
        assert_added("{}", "filesystem.read", "/b", "{\"filesystem\": { \"read\": [\"/b\"] }}");
        assert_added("{\n    \"binary\": \"x\" // the program\n}\n", "filesystem.allow", "~/b",
                     "{\n    \"binary\": \"x\", // the program\n    \"filesystem\": { \"allow\": [\"~/b\"] }\n}\n");
        assert_added("{ \"filesystem\": { \"read\": [\"/a\"] } }", "filesystem.allow", "~/b",
                     "{ \"filesystem\": { \"read\": [\"/a\"], \"allow\": [\"~/b\"] } }");
}

static void test_adding_twice_changes_nothing(void **state) {
        const char *text = "{ \"filesystem\": { \"read\": [\"/a\"] } } // end";

        assert_added(text, "filesystem.read", "/a", text);
}

static void test_quotes_and_backslashes_are_escaped(void **state) {
        assert_added("{}", "packs", "a\"b\\c", "{\"packs\": [\"a\\\"b\\\\c\"]}");
}

static void test_control_characters_and_broken_texts_are_refused(void **state) {
        struct policy_error err;
        char *out = NULL;
        size_t n;

        assert_int_equal(edit_add("{}", 2, "s", "filesystem.read", "/a\nb", &out, &n, &err), POLICY_E_INVALID);
        assert_int_equal(edit_add("{", 1, "s", "filesystem.read", "/a", &out, &n, &err), POLICY_E_INVALID);
        assert_int_equal(edit_add("{}", 2, "s", "filesystem.nothing", "/a", &out, &n, &err), POLICY_E_INVALID);
        assert_int_equal(edit_add("{}", 2, "s", "filesystem.read", "/\xff", &out, &n, &err), POLICY_E_INVALID);
        assert_int_equal(edit_add("{ \"filesystem\": 1 }", 19, "s", "filesystem.read", "/a", &out, &n, &err),
                         POLICY_E_INVALID);
        assert_int_equal(edit_remove("{}", 2, "s", "filesystem.read", "/a", &out, &n, &err), POLICY_E_NOT_FOUND);
        assert_null(out);
}

static void test_removing_takes_the_comma_and_the_line(void **state) {
        assert_removed("{ \"packs\": [\"a\", \"b\", \"c\"] }", "packs", "a", "{ \"packs\": [\"b\", \"c\"] }");
        assert_removed("{ \"packs\": [\"a\", \"b\", \"c\"] }", "packs", "b", "{ \"packs\": [\"a\", \"c\"] }");
        assert_removed("{ \"packs\": [\"a\", \"b\", \"c\"] }", "packs", "c", "{ \"packs\": [\"a\", \"b\"] }");
        assert_removed("{ \"packs\": [\"a\"] }", "packs", "a", "{ \"packs\": [] }");
        assert_removed("{ \"packs\": [\n  \"a\", // A\n  \"b\", // B\n  \"c\" // C\n] }", "packs", "b",
                       "{ \"packs\": [\n  \"a\", // A\n  \"c\" // C\n] }");
        assert_removed("{ \"packs\": [\n  \"a\", // A\n  \"b\", // B\n  \"c\" // C\n] }", "packs", "c",
                       "{ \"packs\": [\n  \"a\", // A\n  \"b\" // B\n] }");
        assert_removed("{ \"packs\": [\n  \"a\" // A\n] }", "packs", "a", "{ \"packs\": [\n] }");
}

/* Any layout: add, then remove, gives a text that loads and lists what it listed. */
static void test_random_layouts_survive(void **state) {
        static const char *const gaps[] = { "", " ", "\n", "\n  ", " // c\n", "/* x */", " /* a\n b */ ", "\t" };
        uint64_t seed = 5;

        for (int round = 0; round < 5000; round++) {
                _cleanup_free_ char *added = NULL, *removed = NULL, *again = NULL;
                uint32_t n_items = test_random(&seed, 4);
                char text[1024] = "{";
                struct policy_error err = { .line = 0 };
                size_t n;

#define GAP() strcat(text, gaps[test_random(&seed, 8)])
                GAP();
                strcat(text, "\"packs\"");
                GAP();
                strcat(text, ":");
                GAP();
                strcat(text, "[");
                for (uint32_t i = 0; i < n_items; i++) {
                        char item[8];

                        GAP();
                        (void)snprintf(item, sizeof(item), "\"i%u\"", i % 10);
                        strcat(text, item);
                        GAP();
                        if (i + 1 < n_items)
                                strcat(text, ",");
                }
                GAP();
                strcat(text, "]");
                GAP();
                strcat(text, "}");
#undef GAP
                if (edit_add(text, strlen(text), "s", "packs", "new", &added, &n, &err))
                        fail_msg("add to %s: %u:%u %s", text, err.line, err.column, err.message);
                if (edit_remove(added, n, "s", "packs", "new", &removed, &n, &err))
                        fail_msg("remove from %s: %u:%u %s", added, err.line, err.column, err.message);
                for (uint32_t i = 0; i < n_items; i++) {
                        char item[8];

                        free(again);
                        again = NULL;
                        (void)snprintf(item, sizeof(item), "i%u", i % 10);
                        if (edit_remove(removed, n, "s", "packs", item, &again, &n, &err))
                                fail_msg("remove %s from %s: %u:%u %s", item, removed, err.line, err.column, err.message);
                        n = strlen(removed);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_item_goes_to_the_end_of_its_list),
                cmocka_unit_test(test_comments_stay_where_they_were),
                cmocka_unit_test(test_missing_list_and_section_are_made),
                cmocka_unit_test(test_adding_twice_changes_nothing),
                cmocka_unit_test(test_quotes_and_backslashes_are_escaped),
                cmocka_unit_test(test_control_characters_and_broken_texts_are_refused),
                cmocka_unit_test(test_removing_takes_the_comma_and_the_line),
                cmocka_unit_test(test_random_layouts_survive),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
