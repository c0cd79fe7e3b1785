/*
 * Lexical paths and the table of grants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/broker/grants.h"
#include "daemon/broker/path.h"

static void test_normalising_removes_dots_and_slashes(void **state) {
        static const char *const rows[][2] = {
                { "/", "/" },
                { "//", "/" },
                { "/a", "/a" },
                { "/a/", "/a" },
                { "/a//b///c", "/a/b/c" },
                { "/./a/./b/.", "/a/b" },
                { "/a/../b", "/b" },
                { "/../../a", "/a" },
                { "/a/b/../..", "/" },
                { "/a/b/../../..", "/" },
                { "/...", "/..." },
                { "/..a/.b", "/..a/.b" },
                { "/a/b/..", "/a" },
        };
        char out[PATH_BYTES];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                assert_int_equal(path_normalise(rows[i][0], out), 0);
                assert_string_equal(out, rows[i][1]);
        }
        assert_int_equal(path_normalise("a/b", out), PATH_E_INVALID);
        assert_int_equal(path_normalise("", out), PATH_E_INVALID);
}

static void test_too_long_paths_are_refused_not_cut(void **state) {
        char text[3 * PATH_BYTES], out[PATH_BYTES];

        memset(text, 'a', sizeof(text));
        text[0] = '/';
        text[PATH_BYTES - 1] = '\0'; /* exactly fits */
        assert_int_equal(path_normalise(text, out), 0);
        assert_int_equal(strlen(out), PATH_BYTES - 1);
        assert_int_equal(path_join("/", text, out), 0);
        text[PATH_BYTES - 1] = 'a';
        text[PATH_BYTES] = '\0';
        assert_int_equal(path_normalise(text, out), PATH_E_INVALID);
        assert_int_equal(path_join("/", text, out), PATH_E_INVALID);
        text[PATH_BYTES - 2] = '\0';
        assert_int_equal(path_join("/b", text + 1, out), PATH_E_INVALID);
        /* long as text, short in the end */
        for (size_t i = 0; i + 2 < sizeof(text); i += 2)
                memcpy(text + i, "/.", 2);
        text[sizeof(text) - 2] = '\0';
        assert_int_equal(path_normalise(text, out), 0);
        assert_string_equal(out, "/");
}

static void test_joining_keeps_absolute_paths(void **state) {
        char out[PATH_BYTES];

        assert_int_equal(path_join("/base", "/abs", out), 0);
        assert_string_equal(out, "/abs");
        assert_int_equal(path_join("/base", "rel/../x", out), 0);
        assert_string_equal(out, "/base/rel/../x");
        assert_int_equal(path_join("/base", "", out), PATH_E_INVALID);
        assert_int_equal(path_join("pipe:[1]", "x", out), PATH_E_INVALID);
        assert_int_equal(path_join("", "x", out), PATH_E_INVALID);
}

static void test_below_respects_components(void **state) {
        assert_true(path_is_below("/a/b", "/a"));
        assert_true(path_is_below("/a", "/a"));
        assert_true(path_is_below("/a", "/"));
        assert_false(path_is_below("/ab", "/a"));
        assert_false(path_is_below("/", "/a"));
        assert_true(path_is_private("/tmp"));
        assert_true(path_is_private("/tmp/x"));
        assert_false(path_is_private("/tmpx"));
        assert_false(path_is_private("/var/tmp"));
}

static void test_split_takes_the_last_name(void **state) {
        char parent[PATH_BYTES], long_name[300];
        const char *name;
        bool directory;
        size_t n;

        assert_int_equal(path_split("/a/b", parent, &name, &n, &directory), 0);
        assert_string_equal(parent, "/a/");
        assert_int_equal(n, 1);
        assert_memory_equal(name, "b", 1);
        assert_false(directory);
        assert_int_equal(path_split("/a/../b//", parent, &name, &n, &directory), 0);
        assert_string_equal(parent, "/a/../");
        assert_true(directory);
        assert_int_equal(path_split("/a", parent, &name, &n, &directory), 0);
        assert_string_equal(parent, "/");
        assert_int_equal(path_split("/", parent, &name, &n, &directory), PATH_E_INVALID);
        assert_int_equal(path_split("", parent, &name, &n, &directory), PATH_E_INVALID);
        assert_int_equal(path_split("a", parent, &name, &n, &directory), PATH_E_INVALID);
        assert_int_equal(path_split("/a/.", parent, &name, &n, &directory), PATH_E_INVALID);
        assert_int_equal(path_split("/a/..", parent, &name, &n, &directory), PATH_E_INVALID);
        assert_int_equal(path_split("/a/../", parent, &name, &n, &directory), PATH_E_INVALID);
        memset(long_name, 'x', sizeof(long_name));
        long_name[0] = '/';
        long_name[256] = '\0';
        assert_int_equal(path_split(long_name, parent, &name, &n, &directory), 0);
        long_name[256] = 'x';
        long_name[257] = '\0';
        assert_int_equal(path_split(long_name, parent, &name, &n, &directory), PATH_E_INVALID);
}

static void test_longest_grant_covers(void **state) {
        _cleanup_(grants_freep) struct grants *g = NULL;
        const struct grant *found;

        assert_int_equal(grants_new(&g), 0);
        assert_null(grants_cover(g, "/"));
        assert_int_equal(grants_set(g, 1, "/home/u", false), 0);
        assert_int_equal(grants_set(g, 2, "/home/u/work", true), 0);
        assert_int_equal(grants_set(g, 3, "/home/u/work/.git", false), 0);
        assert_int_equal(grants_set(g, 4, "/usr", false), 0);
        assert_int_equal(grants_cover(g, "/home/u/work/src/a.c")->node, 2);
        assert_int_equal(grants_cover(g, "/home/u/work/.git/config")->node, 3);
        assert_int_equal(grants_cover(g, "/home/u/work/.gitignore")->node, 2);
        assert_int_equal(grants_cover(g, "/home/u/workshop")->node, 1);
        assert_null(grants_cover(g, "/home/user"));
        assert_null(grants_cover(g, "/home"));
        assert_null(grants_cover(g, "/"));
        assert_int_equal(grants_set(g, 4, "/usr", true), 0); /* widened */
        found = grants_cover(g, "/usr/bin/env");
        assert_true(found->node == 4 && found->write);
        assert_true(grants_remove(g, 2));
        assert_false(grants_remove(g, 2));
        assert_int_equal(grants_cover(g, "/home/u/work/src")->node, 1);
        assert_int_equal(grants_set(g, 9, "/", false), 0);
        assert_int_equal(grants_cover(g, "/etc/passwd")->node, 9);
        assert_int_equal(grants_cover(g, "/")->node, 9);
}

static void test_grants_with_bad_paths_are_refused(void **state) {
        static const char *const bad[] = { "", "a", "/a/", "/a//b", "/a/../b", "/." };
        _cleanup_(grants_freep) struct grants *g = NULL;

        assert_int_equal(grants_new(&g), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(grants_set(g, 1, bad[i], true), -EINVAL);
        assert_null(grants_cover(g, "/a"));
}

static void test_many_grants_stay_sorted(void **state) {
        _cleanup_(grants_freep) struct grants *g = NULL;
        char path[64];

        assert_int_equal(grants_new(&g), 0);
        for (uint32_t i = 0; i < 2000; i++) {
                snprintf(path, sizeof(path), "/g/%u/x", (i * 7919U) % 2000U);
                assert_int_equal(grants_set(g, (i * 7919U) % 2000U + 1, path, i % 2), 0);
        }
        for (uint32_t i = 0; i < 2000; i++) {
                snprintf(path, sizeof(path), "/g/%u/x/deep/er", i);
                assert_int_equal(grants_cover(g, path)->node, i + 1);
                snprintf(path, sizeof(path), "/g/%u/y", i);
                assert_null(grants_cover(g, path));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_normalising_removes_dots_and_slashes),
                cmocka_unit_test(test_too_long_paths_are_refused_not_cut),
                cmocka_unit_test(test_joining_keeps_absolute_paths),
                cmocka_unit_test(test_below_respects_components),
                cmocka_unit_test(test_split_takes_the_last_name),
                cmocka_unit_test(test_longest_grant_covers),
                cmocka_unit_test(test_grants_with_bad_paths_are_refused),
                cmocka_unit_test(test_many_grants_stay_sorted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
