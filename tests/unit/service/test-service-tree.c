/*
 * The nodes that stand, and the text operations on their paths.
 */
#include "tests/unit/service/service-test.h"

#include <stdio.h>

#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/pathname.h"
#include "daemon/service/tree.h"

static struct tree_node *add(struct tree *t, uint32_t parent, uint32_t kind, const char *path) {
        struct tree_node *n = NULL;

        assert_int_equal(tree_add(t, parent, kind, 0, path, &n), 0);
        return n;
}

static void count_gone(void *arg, struct tree_node *n) {
        ++*(int *)arg;
}

static void test_nodes_are_found_by_id_path_and_level_name(void **state) {
        _cleanup_(tree_freep) struct tree *t = tree_new();
        struct tree_node *home, *u, *n;

        add(t, 0, VIEW_LEVEL, "/");
        home = add(t, 1, VIEW_LEVEL, "/home");
        u = add(t, home->id, VIEW_DIR, "/home/u");
        assert_int_equal(home->id, 2);
        assert_ptr_equal(tree_by_id(t, 3), u);
        assert_ptr_equal(tree_by_path(t, "/home/u"), u);
        assert_ptr_equal(tree_child(t, 2, "u"), u);
        assert_ptr_equal(tree_child(t, 1, "home"), home);
        assert_null(tree_child(t, 1, "u"));
        assert_null(tree_child(t, 99, "u"));
        assert_null(tree_by_id(t, 0));
        assert_null(tree_by_id(t, UINT32_MAX));
        assert_int_equal(tree_add(t, 2, VIEW_DIR, 0, "/home/u", &n), TREE_E_EXISTS);
        assert_int_equal(tree_add(t, 77, VIEW_DIR, 0, "/x", &n), -ENOENT);
}

static void test_the_covering_grant_is_the_closest(void **state) {
        _cleanup_(tree_freep) struct tree *t = tree_new();
        struct tree_node *p, *w, *m;

        add(t, 0, VIEW_LEVEL, "/");
        p = add(t, 1, VIEW_DIR, "/p");
        w = add(t, p->id, VIEW_DIR, "/p/w");
        m = add(t, p->id, VIEW_MASK, "/p/secret");
        assert_ptr_equal(tree_covering(t, "/p/x/y"), p);
        assert_ptr_equal(tree_covering(t, "/p/w/x"), w);
        assert_ptr_equal(tree_covering(t, "/p/w"), p);
        assert_null(tree_covering(t, "/p"));
        assert_null(tree_covering(t, "/q/r"));
        assert_null(tree_covering(t, "/p/secret/key"));
        assert_ptr_equal(tree_covering(t, m->path), p);
        assert_ptr_equal(tree_parent_of(t, "/p"), tree_by_id(t, TREE_ROOT));
}

static void test_a_node_goes_with_all_below_it(void **state) {
        _cleanup_(tree_freep) struct tree *t = tree_new();
        struct tree_node *a, *b;
        int gone = 0;

        add(t, 0, VIEW_LEVEL, "/");
        a = add(t, 1, VIEW_LEVEL, "/a");
        b = add(t, a->id, VIEW_LEVEL, "/a/b");
        add(t, b->id, VIEW_DIR, "/a/b/c");
        add(t, a->id, VIEW_FILE, "/a/d");
        add(t, 1, VIEW_DIR, "/e");
        tree_remove(t, a, count_gone, &gone);
        assert_int_equal(gone, 4);
        assert_null(tree_by_path(t, "/a/b/c"));
        assert_null(tree_by_id(t, 3));
        assert_non_null(tree_by_path(t, "/e"));
        assert_string_equal(tree_next(t, 1)->path, "/e");
        assert_null(tree_next(t, 6));
}

static void test_ids_rise_and_come_back_only_when_all_are_used(void **state) {
        _cleanup_(tree_freep) struct tree *t = tree_new();
        struct tree_node *n = NULL;
        char path[32];

        add(t, 0, VIEW_LEVEL, "/");
        n = add(t, 1, VIEW_DIR, "/x");
        tree_remove(t, n, NULL, NULL);
        n = add(t, 1, VIEW_DIR, "/x");
        assert_int_equal(n->id, 3);
        for (uint32_t i = 4; i <= MONITOR_NODES_MAX; i++) {
                snprintf(path, sizeof(path), "/n%u", i);
                add(t, 1, VIEW_DIR, path);
        }
        n = add(t, 1, VIEW_DIR, "/again");
        assert_int_equal(n->id, 2);
        assert_int_equal(tree_add(t, 1, VIEW_DIR, 0, "/full", &n), TREE_E_FULL);
        /* a child's id is above its parent's */
        tree_remove(t, tree_by_id(t, 100), NULL, NULL);
        assert_int_equal(tree_add(t, 200, VIEW_DIR, 0, "/n200/x", &n), TREE_E_FULL);
        assert_int_equal(tree_add(t, 99, VIEW_DIR, 0, "/n99/x", &n), 0);
        assert_int_equal(n->id, 100);
}

static void test_planted_names_are_counted(void **state) {
        _cleanup_(tree_freep) struct tree *t = tree_new();
        struct tree_node *n;

        add(t, 0, VIEW_LEVEL, "/");
        n = add(t, 1, VIEW_SYMLINK, "/missing");
        tree_mark_planted(t, n);
        assert_int_equal(tree_count_planted(t), 1);
        tree_remove(t, n, NULL, NULL);
        assert_int_equal(tree_count_planted(t), 0);
}

static void test_names_are_single_components(void **state) {
        char longest[300];

        memset(longest, 'a', sizeof(longest));
        longest[256] = '\0';
        assert_false(pathname_is_component(longest));
        longest[255] = '\0';
        assert_true(pathname_is_component(longest));
        assert_true(pathname_is_component("..."));
        assert_true(pathname_is_component(".ssh"));
        assert_false(pathname_is_component(""));
        assert_false(pathname_is_component("."));
        assert_false(pathname_is_component(".."));
        assert_false(pathname_is_component("a/b"));
}

static void test_below_compares_components_not_bytes(void **state) {
        assert_true(pathname_is_below("/a/b", "/a"));
        assert_true(pathname_is_below("/a", "/a"));
        assert_false(pathname_is_strictly_below("/a", "/a"));
        assert_false(pathname_is_below("/ab", "/a"));
        assert_false(pathname_is_below("/a", "/a/b"));
        assert_true(pathname_is_strictly_below("/a", "/"));
        assert_false(pathname_is_strictly_below("/", "/"));
        assert_string_equal(pathname_relative("/a/b/c", "/a"), "b/c");
        assert_string_equal(pathname_relative("/a", "/"), "a");
}

static void normal(const char *dir, const char *path, const char *want) {
        char ret[POLICY_PATH_MAX];

        assert_int_equal(pathname_normalise(dir, path, ret), 0);
        assert_string_equal(ret, want);
}

static void test_text_is_normalised_within_the_root(void **state) {
        char ret[POLICY_PATH_MAX], big[2 * POLICY_PATH_MAX];

        normal("/a/b", "c", "/a/b/c");
        normal("/a/b", "../c/./d//e", "/a/c/d/e");
        normal("/a/b", "/x/../../../etc", "/etc");
        normal("/", "..", "/");
        normal("/a", ".", "/a");
        assert_int_equal(pathname_normalise("/", "", ret), -EINVAL);
        memset(big, 'a', sizeof(big));
        big[sizeof(big) - 1] = '\0';
        assert_int_equal(pathname_normalise("/", big, ret), -ENAMETOOLONG);
        for (size_t i = 0; i < sizeof(big) - 1; i++)
                big[i] = i % 2 ? 'a' : '/';
        assert_int_equal(pathname_normalise("/", big, ret), -ENAMETOOLONG);
}

static void test_parents_end_at_the_root(void **state) {
        char path[POLICY_PATH_MAX] = "/a/b";

        assert_int_equal(pathname_parent(path, path), 0);
        assert_string_equal(path, "/a");
        assert_int_equal(pathname_parent(path, path), 0);
        assert_string_equal(path, "/");
        assert_int_equal(pathname_parent(path, path), -ENOENT);
        assert_int_equal(pathname_join("/", "x", path), 0);
        assert_string_equal(path, "/x");
        assert_string_equal(pathname_last("/a/b"), "b");
        assert_string_equal(pathname_last("/"), "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nodes_are_found_by_id_path_and_level_name),
                cmocka_unit_test(test_the_covering_grant_is_the_closest),
                cmocka_unit_test(test_a_node_goes_with_all_below_it),
                cmocka_unit_test(test_ids_rise_and_come_back_only_when_all_are_used),
                cmocka_unit_test(test_planted_names_are_counted),
                cmocka_unit_test(test_names_are_single_components),
                cmocka_unit_test(test_below_compares_components_not_bytes),
                cmocka_unit_test(test_text_is_normalised_within_the_root),
                cmocka_unit_test(test_parents_end_at_the_root),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
