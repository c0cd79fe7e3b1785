/*
 * The static view: which nodes, in which order, below what.
 */
#include "tests/unit/service/service-test.h"

#include <stdio.h>

#include "daemon/monitor/request.h"
#include "daemon/service/layout.h"

#define DIR_RO(p)                                                                                                      \
        { .what = LAYOUT_GRANT, .path = (p), .directory = true }
#define DIR_RW(p)                                                                                                      \
        { .what = LAYOUT_GRANT, .path = (p), .directory = true, .write = true }
#define FILE_RO(p)                                                                                                     \
        { .what = LAYOUT_GRANT, .path = (p) }
#define FILE_RW(p)                                                                                                     \
        { .what = LAYOUT_GRANT, .path = (p), .write = true }
#define LINK(p, t)                                                                                                     \
        { .what = LAYOUT_LINK, .path = (p), .target = (t) }
#define MASK_DIR(p)                                                                                                    \
        { .what = LAYOUT_MASK, .path = (p), .directory = true }
#define MASK_FILE(p)                                                                                                   \
        { .what = LAYOUT_MASK, .path = (p) }
#define FIXED_DIR(p)                                                                                                   \
        { .what = LAYOUT_FIXED, .path = (p), .directory = true }
#define WALK(p)                                                                                                        \
        { .what = LAYOUT_WALK, .path = (p), .directory = true }

static struct layout *make_tmp(struct layout_entry *entries, size_t n, bool own_tmp) {
        struct layout *p = NULL;

        for (size_t i = 0; i < n; i++)
                entries[i].source = (int)i;
        assert_int_equal(layout_make(entries, n, own_tmp, &p), 0);
        /* what every layout is: rising ids, parents before children, known parents */
        for (size_t i = 0; i < p->n_nodes; i++) {
                assert_int_equal(p->nodes[i].id, i + 1);
                assert_true(p->nodes[i].parent < p->nodes[i].id);
        }
        assert_int_equal(p->nodes[0].kind, VIEW_LEVEL);
        assert_string_equal(p->nodes[0].path, "/");
        return p;
}

#define MAKE(...)                                                                                                      \
        ({                                                                                                             \
                struct layout_entry entries_[] = { __VA_ARGS__ };                                                      \
                make_tmp(entries_, ELEMENTSOF(entries_), true);                                                        \
        })
#define MAKE_HOST_TMP(...)                                                                                             \
        ({                                                                                                             \
                struct layout_entry entries_[] = { __VA_ARGS__ };                                                      \
                make_tmp(entries_, ELEMENTSOF(entries_), false);                                                       \
        })

static const struct layout_node *find(const struct layout *p, const char *path) {
        const struct layout_node *found = NULL;

        for (size_t i = 0; i < p->n_nodes; i++)
                if (strcmp(p->nodes[i].path, path) == 0) {
                        assert_null(found);
                        found = &p->nodes[i];
                }
        return found;
}

static const struct layout_node *must(const struct layout *p, const char *path, uint32_t kind, uint32_t flags,
                                      const char *parent, const char *name) {
        const struct layout_node *n = find(p, path);

        assert_non_null(n);
        assert_int_equal(n->kind, kind);
        assert_int_equal(n->flags, flags);
        if (parent)
                assert_int_equal(n->parent, find(p, parent)->id);
        if (name)
                assert_string_equal(n->name, name);
        return n;
}

static void test_empty_view_has_root_proc_dev_and_tmp(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(WALK("/"));

        assert_int_equal(p->n_nodes, 4);
        must(p, "/proc", VIEW_PROC, 0, "/", "proc");
        must(p, "/dev", VIEW_DEV, 0, "/", "dev");
        must(p, "/tmp", VIEW_TMP, 0, "/", "tmp");
}

static void test_ancestors_of_a_grant_are_levels(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RW("/home/u/proj"));

        must(p, "/home", VIEW_LEVEL, 0, "/", "home");
        must(p, "/home/u", VIEW_LEVEL, 0, "/home", "u");
        must(p, "/home/u/proj", VIEW_DIR, VIEW_WRITE, "/home/u", "proj");
        assert_int_equal(find(p, "/home/u/proj")->source, 0);
        assert_int_equal(p->n_nodes, 7);
}

static void test_files_are_files_and_read_only_unless_granted(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(FILE_RO("/etc/passwd"), FILE_RW("/home/u/.claude.json"));

        must(p, "/etc", VIEW_LEVEL, 0, "/", "etc");
        must(p, "/etc/passwd", VIEW_FILE, 0, "/etc", "passwd");
        must(p, "/home/u/.claude.json", VIEW_FILE, VIEW_WRITE, "/home/u", ".claude.json");
}

static void test_links_stand_in_levels_with_their_target(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/usr"), LINK("/bin", "usr/bin"),
                                                        LINK("/a/b", "../usr"));

        assert_string_equal(must(p, "/bin", VIEW_SYMLINK, 0, "/", "bin")->target, "usr/bin");
        must(p, "/a", VIEW_LEVEL, 0, "/", "a");
        assert_string_equal(must(p, "/a/b", VIEW_SYMLINK, 0, "/a", "b")->target, "../usr");
}

static void test_links_inside_a_grant_are_there_already(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/usr"), LINK("/usr/bin/vi", "/etc/alternatives/vi"));

        assert_null(find(p, "/usr/bin/vi"));
        assert_null(find(p, "/usr/bin"));
}

static void test_same_or_narrower_inside_a_grant_disappears(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RW("/p"), DIR_RW("/p/a"), DIR_RO("/p/b"),
                                                        FILE_RO("/p/c/d"));

        must(p, "/p", VIEW_DIR, VIEW_WRITE, "/", "p");
        assert_int_equal(p->n_nodes, 5);
}

static void test_wider_inside_a_grant_is_attached_over_it(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/p"), DIR_RW("/p/a/out"), FILE_RW("/p/x"));

        must(p, "/p", VIEW_DIR, 0, "/", "p");
        must(p, "/p/a/out", VIEW_DIR, VIEW_WRITE | VIEW_INSIDE, "/p", "a/out");
        must(p, "/p/x", VIEW_FILE, VIEW_WRITE | VIEW_INSIDE, "/p", "x");
        assert_null(find(p, "/p/a"));
}

static void test_order_of_entries_does_not_matter(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RW("/p/a/out"), DIR_RO("/p"), DIR_RO("/p/a"));

        must(p, "/p", VIEW_DIR, 0, "/", "p");
        must(p, "/p/a/out", VIEW_DIR, VIEW_WRITE | VIEW_INSIDE, "/p", "a/out");
        assert_null(find(p, "/p/a"));
}

static void test_the_same_path_twice_takes_the_wider_access(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/p"), DIR_RW("/p"));

        must(p, "/p", VIEW_DIR, VIEW_WRITE, "/", "p");
        assert_int_equal(p->n_nodes, 5);
}

static void test_deny_inside_a_grant_is_masked(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RW("/home/u"), MASK_DIR("/home/u/.ssh"),
                                                        MASK_FILE("/home/u/a/.env"));

        must(p, "/home/u/.ssh", VIEW_MASK, VIEW_INSIDE | VIEW_MASK_DIR, "/home/u", ".ssh");
        must(p, "/home/u/a/.env", VIEW_MASK, VIEW_INSIDE, "/home/u", "a/.env");
}

static void test_deny_inside_a_deny_needs_nothing_of_its_own(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/h"), MASK_DIR("/h/s"), MASK_FILE("/h/s/key"));

        must(p, "/h/s", VIEW_MASK, VIEW_INSIDE | VIEW_MASK_DIR, "/h", "s");
        assert_null(find(p, "/h/s/key"));
}

static void test_deny_outside_every_grant_leaves_no_trace(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/usr"), MASK_DIR("/home/u/.ssh"));

        assert_null(find(p, "/home"));
        assert_null(find(p, "/home/u/.ssh"));
}

static void test_mask_lies_below_the_closest_attached_directory(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/h"), DIR_RW("/h/w"), MASK_FILE("/h/w/x/.env"));

        must(p, "/h/w", VIEW_DIR, VIEW_WRITE | VIEW_INSIDE, "/h", "w");
        must(p, "/h/w/x/.env", VIEW_MASK, VIEW_INSIDE, "/h/w", "x/.env");
}

static void test_a_denied_grant_is_dropped(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RW("/home/u/.ssh"), MASK_DIR("/home/u/.ssh"));

        assert_null(find(p, "/home/u/.ssh"));
        assert_null(find(p, "/home"));
}

static void test_a_grant_inside_a_mask_opens_the_grant_around_it(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RW("/home/u"), MASK_DIR("/home/u/.ssh"),
                                                        FILE_RO("/home/u/.ssh/known_hosts"), DIR_RW("/home/u/w"));

        must(p, "/home/u", VIEW_LEVEL, 0, "/home", "u");
        must(p, "/home/u/.ssh", VIEW_LEVEL, 0, "/home/u", ".ssh");
        must(p, "/home/u/.ssh/known_hosts", VIEW_FILE, 0, "/home/u/.ssh", "known_hosts");
        must(p, "/home/u/w", VIEW_DIR, VIEW_WRITE, "/home/u", "w");
}

static void test_read_only_part_of_a_writable_grant(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RW("/p"), FIXED_DIR("/p/.git/hooks"));

        must(p, "/p/.git/hooks", VIEW_DIR, VIEW_INSIDE, "/p", ".git/hooks");
        assert_int_equal(find(p, "/p/.git/hooks")->source, 1);
}

static void test_read_only_part_of_a_read_only_grant_needs_nothing(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/p"), FIXED_DIR("/p/.git/hooks"));

        assert_null(find(p, "/p/.git/hooks"));
}

static void test_nothing_of_the_host_below_proc_and_dev(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/proc"), FILE_RO("/proc/self/mem"), DIR_RW("/dev"),
                                                        FILE_RW("/dev/kvm"), LINK("/dev/x", "/etc"));

        assert_int_equal(p->n_nodes, 4);
        must(p, "/proc", VIEW_PROC, 0, "/", "proc");
        must(p, "/dev", VIEW_DEV, 0, "/", "dev");
}

static void test_the_root_is_never_granted(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RW("/"));

        assert_int_equal(p->n_nodes, 4);
}

static void test_grants_below_a_private_tmp_stand_in_plain_directories(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RW("/tmp/a/proj"), FILE_RO("/tmp/f"),
                                                        LINK("/tmp/a/l", "proj"));

        must(p, "/tmp", VIEW_TMP, 0, "/", "tmp");
        must(p, "/tmp/a", VIEW_PLAIN, 0, "/tmp", "a");
        must(p, "/tmp/a/proj", VIEW_DIR, VIEW_WRITE, "/tmp/a", "proj");
        must(p, "/tmp/f", VIEW_FILE, 0, "/tmp", "f");
        must(p, "/tmp/a/l", VIEW_SYMLINK, 0, "/tmp/a", "l");
}

static void test_the_private_tmp_wins_over_a_grant_of_it(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RW("/tmp"));

        must(p, "/tmp", VIEW_TMP, 0, "/", "tmp");
}

static void test_the_hosts_tmp_is_a_grant_like_any_other(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE_HOST_TMP(DIR_RW("/tmp"), DIR_RW("/tmp/a"));

        must(p, "/tmp", VIEW_DIR, VIEW_WRITE, "/", "tmp");
        assert_null(find(p, "/tmp/a"));
}

static void test_the_working_directory_is_a_level_with_its_ancestors(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/usr"), WALK("/srv/x/y"));

        must(p, "/srv/x/y", VIEW_LEVEL, 0, "/srv/x", "y");
}

static void test_the_working_directory_inside_a_grant_needs_nothing(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/srv"), WALK("/srv/x/y"));

        assert_null(find(p, "/srv/x"));
}

static void test_a_link_and_a_grant_of_one_path_is_the_grant(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(LINK("/p", "/q"), DIR_RO("/p"));

        must(p, "/p", VIEW_DIR, 0, "/", "p");
}

static void test_names_that_share_a_beginning_are_different(void **state) {
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO("/home/u"), DIR_RW("/home/u2"), DIR_RO("/homestead"));

        must(p, "/home/u", VIEW_DIR, 0, "/home", "u");
        must(p, "/home/u2", VIEW_DIR, VIEW_WRITE, "/home", "u2");
        must(p, "/homestead", VIEW_DIR, 0, "/", "homestead");
}

static void test_deep_paths_are_walked_without_recursion(void **state) {
        char path[4096];
        size_t n = 0;

        while (n + 3 < sizeof(path))
                n += (size_t)snprintf(path + n, sizeof(path) - n, "/a");
        _cleanup_(layout_freep) struct layout *p = MAKE(DIR_RO(path));

        assert_int_equal(p->nodes[p->n_nodes - 1].kind, VIEW_DIR);
}

static void test_too_many_nodes_are_refused(void **state) {
        struct layout_entry *entries = calloc(LAYOUT_NODES_MAX, sizeof(*entries));
        char(*paths)[16] = calloc(LAYOUT_NODES_MAX, sizeof(*paths));
        struct layout *p = NULL;

        for (int i = 0; i < LAYOUT_NODES_MAX; i++) {
                snprintf(paths[i], sizeof(paths[i]), "/d/%d", i);
                entries[i] = (struct layout_entry){ .what = LAYOUT_GRANT, .path = paths[i] };
        }
        assert_int_equal(layout_make(entries, LAYOUT_NODES_MAX, true, &p), LAYOUT_E_LIMIT);
        assert_null(p);
        free(entries);
        free(paths);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty_view_has_root_proc_dev_and_tmp),
                cmocka_unit_test(test_ancestors_of_a_grant_are_levels),
                cmocka_unit_test(test_files_are_files_and_read_only_unless_granted),
                cmocka_unit_test(test_links_stand_in_levels_with_their_target),
                cmocka_unit_test(test_links_inside_a_grant_are_there_already),
                cmocka_unit_test(test_same_or_narrower_inside_a_grant_disappears),
                cmocka_unit_test(test_wider_inside_a_grant_is_attached_over_it),
                cmocka_unit_test(test_order_of_entries_does_not_matter),
                cmocka_unit_test(test_the_same_path_twice_takes_the_wider_access),
                cmocka_unit_test(test_deny_inside_a_grant_is_masked),
                cmocka_unit_test(test_deny_inside_a_deny_needs_nothing_of_its_own),
                cmocka_unit_test(test_deny_outside_every_grant_leaves_no_trace),
                cmocka_unit_test(test_mask_lies_below_the_closest_attached_directory),
                cmocka_unit_test(test_a_denied_grant_is_dropped),
                cmocka_unit_test(test_a_grant_inside_a_mask_opens_the_grant_around_it),
                cmocka_unit_test(test_read_only_part_of_a_writable_grant),
                cmocka_unit_test(test_read_only_part_of_a_read_only_grant_needs_nothing),
                cmocka_unit_test(test_nothing_of_the_host_below_proc_and_dev),
                cmocka_unit_test(test_the_root_is_never_granted),
                cmocka_unit_test(test_grants_below_a_private_tmp_stand_in_plain_directories),
                cmocka_unit_test(test_the_private_tmp_wins_over_a_grant_of_it),
                cmocka_unit_test(test_the_hosts_tmp_is_a_grant_like_any_other),
                cmocka_unit_test(test_the_working_directory_is_a_level_with_its_ancestors),
                cmocka_unit_test(test_the_working_directory_inside_a_grant_needs_nothing),
                cmocka_unit_test(test_a_link_and_a_grant_of_one_path_is_the_grant),
                cmocka_unit_test(test_names_that_share_a_beginning_are_different),
                cmocka_unit_test(test_deep_paths_are_walked_without_recursion),
                cmocka_unit_test(test_too_many_nodes_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
