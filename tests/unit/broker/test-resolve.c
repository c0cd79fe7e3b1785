/*
 * Host paths, in a directory of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "daemon/broker/resolve.h"

static char base[PATH_BYTES]; /* canonical */

static const char *in_base(const char *name) {
        static char path[4][2 * PATH_BYTES];
        static unsigned turn;

        turn = (turn + 1) % 4;
        snprintf(path[turn], sizeof(path[turn]), "%s%s", base, name);
        return path[turn];
}

static int set_up(void **state) {
        char made[] = "/tmp/broker-test-XXXXXX", *real;
        int fd;

        if (!mkdtemp(made) || !(real = realpath(made, NULL)))
                return -1;
        snprintf(base, sizeof(base), "%s", real);
        free(real);
        fd = open(in_base("/file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
        close(fd);
        return mkdir(in_base("/dir"), 0755) || mkdir(in_base("/dir/sub"), 0755) || symlink("dir", in_base("/link")) ||
               symlink("../file", in_base("/dir/up")) || symlink(in_base("/dir/sub"), in_base("/absolute")) ||
               symlink("loop", in_base("/loop")) || symlink("nowhere", in_base("/dangling")) ||
               mkfifo(in_base("/fifo"), 0600);
}

static int tear_down(void **state) {
        char command[PATH_BYTES + 16];

        snprintf(command, sizeof(command), "rm -rf %s", base);
        return system(command);
}

static void expect(const char *path, unsigned flags, int error, const char *canonical, unsigned n_links) {
        struct resolved r;

        assert_int_equal(resolve_path(in_base(path), flags, NULL, NULL, &r), 0);
        assert_int_equal(r.error, error);
        assert_string_equal(r.path, in_base(canonical));
        assert_int_equal(r.n_links, n_links);
        assert_true((r.fd >= 0) == (error == 0));
        resolved_done(&r);
}

static void test_canonical_paths_and_links(void **state) {
        struct resolved r;

        expect("/file", 0, 0, "/file", 0);
        expect("//dir/./sub/..//", 0, 0, "/dir", 0);
        expect("/link/up", 0, 0, "/file", 2);
        expect("/link/up", RESOLVE_F_NO_FOLLOW, 0, "/dir/up", 1);
        expect("/absolute/..", 0, 0, "/dir", 1);
        expect("/nothing/below", 0, ENOENT, "/nothing/below", 0);
        expect("/link/nothing/../x", 0, ENOENT, "/dir/x", 1);
        expect("/file/below", 0, ENOTDIR, "/file/below", 0);
        expect("/dangling", 0, ENOENT, "/nowhere", 1);

        assert_int_equal(resolve_path(in_base("/link/up"), 0, NULL, NULL, &r), 0);
        assert_string_equal(r.links, in_base("/link"));
        assert_string_equal(r.links + strlen(r.links) + 1, "dir");
        assert_true(r.kind == OBJECT_FILE && r.executable);
        resolved_done(&r);
}

static void test_loops_and_magic_end_with_eloop(void **state) {
        struct resolved r;

        assert_int_equal(resolve_path(in_base("/loop"), 0, NULL, NULL, &r), 0);
        assert_true(r.error == ELOOP && r.n_links == RESOLVE_LINKS_MAX);
        resolved_done(&r);
        assert_int_equal(resolve_path("/proc/self/fd/0", 0, NULL, NULL, &r), 0);
        assert_int_equal(r.error, ELOOP);
        resolved_done(&r);
}

static void test_kinds_are_told_without_opening(void **state) {
        struct resolved r;

        assert_int_equal(resolve_path(in_base("/fifo"), 0, NULL, NULL, &r), 0); /* an open would block */
        assert_true(r.error == 0 && r.kind == OBJECT_FIFO);
        resolved_done(&r);
        assert_int_equal(resolve_path("/dev/null", 0, NULL, NULL, &r), 0);
        assert_true(r.error == 0 && r.kind == OBJECT_DEVICE && !r.executable);
        resolved_done(&r);
        assert_int_equal(resolve_path("/", 0, NULL, NULL, &r), 0);
        assert_true(r.error == 0 && r.kind == OBJECT_DIR);
        assert_string_equal(r.path, "/");
        resolved_done(&r);
}

static void test_passing_through_is_noticed(void **state) {
        struct resolved r;
        char via[PATH_BYTES];

        snprintf(via, sizeof(via), "%s", in_base("/dir"));
        assert_int_equal(resolve_path(in_base("/link/sub/x/../y"), 0, NULL, via, &r), 0);
        assert_true(r.passed && r.error == ENOENT);
        assert_string_equal(r.rest, in_base("/dir/sub/y"));
        resolved_done(&r);
        assert_int_equal(resolve_path(in_base("/file"), 0, NULL, via, &r), 0);
        assert_false(r.passed);
        resolved_done(&r);
}

static void test_directories_are_made_below_the_home_only(void **state) {
        char home[PATH_BYTES];
        struct resolved r;
        struct stat st;

        snprintf(home, sizeof(home), "%s", in_base("/dir"));
        assert_int_equal(resolve_path(in_base("/link/a/b"), RESOLVE_F_CREATE_DIR, home, NULL, &r), 0);
        assert_int_equal(r.error, 0);
        assert_string_equal(r.path, in_base("/dir/a/b"));
        assert_true(fstat(r.fd, &st) == 0 && (st.st_mode & 07777) == 0700);
        resolved_done(&r);
        assert_int_equal(resolve_path(in_base("/dirx/a"), RESOLVE_F_CREATE_DIR, home, NULL, &r), 0);
        assert_int_equal(r.error, ENOENT);
        resolved_done(&r);
        /* out of the home by "..", and by a link */
        assert_int_equal(resolve_path(in_base("/dir/../outside"), RESOLVE_F_CREATE_DIR, home, NULL, &r), 0);
        assert_int_equal(r.error, ENOENT);
        resolved_done(&r);
        assert_int_equal(symlink("../outside", in_base("/dir/out")), 0);
        assert_int_equal(resolve_path(in_base("/dir/out/a"), RESOLVE_F_CREATE_DIR, home, NULL, &r), 0);
        assert_int_equal(r.error, ENOENT);
        resolved_done(&r);
        assert_int_equal(stat(in_base("/outside"), &st), -1);
        assert_int_equal(resolve_path(in_base("/dir/none"), RESOLVE_F_CREATE_DIR, NULL, NULL, &r), 0);
        assert_int_equal(r.error, ENOENT);
        resolved_done(&r);
}

static void test_hostile_strings(void **state) {
        char text[2 * PATH_BYTES];
        struct resolved r;

        assert_int_equal(resolve_path("", 0, NULL, NULL, &r), 0);
        assert_int_equal(r.error, EINVAL);
        resolved_done(&r);
        assert_int_equal(resolve_path("relative", 0, NULL, NULL, &r), 0);
        assert_int_equal(r.error, EINVAL);
        resolved_done(&r);
        memset(text, 'a', sizeof(text));
        text[0] = '/';
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(resolve_path(text, 0, NULL, NULL, &r), 0);
        assert_int_equal(r.error, ENAMETOOLONG);
        resolved_done(&r);
        text[PATH_BYTES - 1] = '\0'; /* one name of 4094 bytes */
        assert_int_equal(resolve_path(text, 0, NULL, NULL, &r), 0);
        assert_int_equal(r.error, ENAMETOOLONG);
        resolved_done(&r);
}

static void test_name_that_looks_deleted(void **state) {
        char path[PATH_BYTES];
        int fd = open(in_base("/x (deleted)"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

        assert_int_equal(resolve_fd_path(fd, path), 0);
        assert_string_equal(path, in_base("/x (deleted)"));
        unlink(path);
        assert_int_equal(resolve_fd_path(fd, path), PATH_E_INVALID);
        close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_canonical_paths_and_links),
                cmocka_unit_test(test_loops_and_magic_end_with_eloop),
                cmocka_unit_test(test_kinds_are_told_without_opening),
                cmocka_unit_test(test_passing_through_is_noticed),
                cmocka_unit_test(test_directories_are_made_below_the_home_only),
                cmocka_unit_test(test_hostile_strings),
                cmocka_unit_test(test_name_that_looks_deleted),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
