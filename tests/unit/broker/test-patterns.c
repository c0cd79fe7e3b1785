/*
 * Denied name patterns: what they match, what lifts them, and the walk that looks for them.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/broker/message.h"
#include "daemon/broker/patterns.h"

static void test_pattern_denies_the_name_and_what_lies_below(void **state) {
        struct patterns p = { 0 };

        assert_false(patterns_match(&p, "/a/.env"));
        assert_int_equal(patterns_add(&p, "**/.env", 0, 0), 0);
        assert_int_equal(patterns_add(&p, "/home/*/keys/*.pem", BROKER_F_FILE, 0), 0);
        assert_true(patterns_match(&p, "/.env"));
        assert_true(patterns_match(&p, "/a/b/.env"));
        assert_true(patterns_match(&p, "/a/.env/inner"));
        assert_false(patterns_match(&p, "/a/x.env"));
        assert_false(patterns_match(&p, "/a/.env2"));
        assert_true(patterns_match(&p, "/home/a/keys/b.pem"));
        assert_false(patterns_match(&p, "/home/a/keys/b.pem/c"));
        patterns_done(&p);
}

static void test_unlinked_object_is_judged_by_the_name_it_had(void **state) {
        struct patterns p = { 0 };

        assert_int_equal(patterns_add(&p, "**/.env", 0, 0), 0);
        assert_true(patterns_match_shown(&p, "/a/.env (deleted)"));
        assert_true(patterns_match_shown(&p, "/a/.env"));
        assert_false(patterns_match_shown(&p, "/a/env (deleted)"));
        assert_false(patterns_match_shown(&p, " (deleted)"));
        patterns_done(&p);
}

static void test_a_name_alone_does_not_need_its_place(void **state) {
        struct patterns p = { 0 };

        assert_int_equal(patterns_add(&p, "**/.env", 0, 0), 0);
        assert_false(patterns_need_place(&p, "/a"));
        assert_int_equal(patterns_add(&p, "/p/**/keys/*", 0, 0), 0);
        assert_true(patterns_need_place(&p, "/p/x"));
        assert_false(patterns_need_place(&p, "/q"));
        patterns_done(&p);
}

static void test_lift_takes_back_its_class_and_no_other(void **state) {
        struct patterns p = { 0 };

        assert_int_equal(patterns_add(&p, "**/.env", 0, 1), 0);
        assert_int_equal(patterns_add(&p, "**/.envrc", 0, 0), 0);
        assert_int_equal(patterns_add(&p, "/a/b", BROKER_F_LIFTS | BROKER_F_LITERAL, 1), 0);
        assert_int_equal(p.n, 2);
        assert_false(patterns_match(&p, "/a/b/.env"));
        assert_true(patterns_match(&p, "/a/bb/.env"));
        assert_true(patterns_match(&p, "/a/.env"));
        assert_true(patterns_match(&p, "/a/b/.envrc"));
        assert_true(patterns_need_place(&p, "/a"));
        assert_true(patterns_need_place(&p, "/a/b/c"));
        assert_false(patterns_need_place(&p, "/c"));
        patterns_done(&p);
}

static void test_what_is_no_pattern_is_refused(void **state) {
        struct patterns p = { 0 };

        assert_int_equal(patterns_add(&p, "", 0, 0), -EINVAL);
        assert_int_equal(patterns_add(&p, "relative", 0, 0), -EINVAL);
        for (unsigned i = 0; i < PATTERNS_MAX; i++)
                assert_int_equal(patterns_add(&p, "/x", 0, 0), 0);
        assert_int_equal(patterns_add(&p, "/x", 0, 0), -ENOSPC);
        patterns_done(&p);
}

static int on_found(void *arg, const char *path, const char *access_path) {
        struct stat st;

        assert_int_equal(lstat(access_path, &st), 0);
        strcat(arg, path);
        return 0;
}

static int on_found_stop(void *arg, const char *path, const char *access_path) {
        return 7;
}

static void test_walk_finds_by_the_given_path_and_is_bounded(void **state) {
        char dir[] = "/tmp/test-patterns-XXXXXX", path[256], found[1024] = "";
        _cleanup_close_ int fd = -1;
        struct patterns p = { 0 };

        assert_non_null(mkdtemp(dir));
        for (int i = 0; i < 2; i++) {
                snprintf(path, sizeof(path), "%s/%d", dir, i);
                assert_int_equal(mkdir(path, 0700), 0);
        }
        snprintf(path, sizeof(path), "%s/1/.env", dir);
        assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
        fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(patterns_add(&p, "/view/**/.env", 0, 0), 0);
        assert_int_equal(patterns_walk(&p, fd, "/view/x", 100, 10000, on_found, found), 0);
        assert_string_equal(found, "/view/x/1/.env");
        assert_int_equal(patterns_walk(&p, fd, "/view/x", 100, 10000, on_found_stop, NULL), 7);
        assert_int_equal(patterns_walk(&p, fd, "/view/x", 2, 10000, on_found, found), 1);
        assert_int_equal(patterns_walk(&p, fd, "/else", 100, 10000, on_found_stop, NULL), 0);
        patterns_done(&p);
        assert_int_equal(unlink(path), 0);
        for (int i = 0; i < 2; i++) {
                snprintf(path, sizeof(path), "%s/%d", dir, i);
                assert_int_equal(rmdir(path), 0);
        }
        assert_int_equal(rmdir(dir), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pattern_denies_the_name_and_what_lies_below),
                cmocka_unit_test(test_unlinked_object_is_judged_by_the_name_it_had),
                cmocka_unit_test(test_a_name_alone_does_not_need_its_place),
                cmocka_unit_test(test_lift_takes_back_its_class_and_no_other),
                cmocka_unit_test(test_what_is_no_pattern_is_refused),
                cmocka_unit_test(test_walk_finds_by_the_given_path_and_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
