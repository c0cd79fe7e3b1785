/*
 * Reading other processes: hostile pointers, names and flags. The process read is a child, or this one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "daemon/broker/caller.h"
#include "daemon/broker/syscalls.h"

static uint64_t at(const void *p) {
        return (uint64_t)(uintptr_t)p;
}

/* Two pages, the second of which cannot be read. */
static char *edge(void) {
        long page = sysconf(_SC_PAGESIZE);
        char *p = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        assert_ptr_not_equal(p, MAP_FAILED);
        assert_int_equal(munmap(p + page, (size_t)page), 0);
        return p + page;
}

static void test_string_ending_at_an_unmapped_page_is_read(void **state) {
        char out[PATH_BYTES], *end = edge();

        memcpy(end - 6, "/edge", 6);
        assert_int_equal(caller_read_string(getpid(), at(end - 6), out, sizeof(out)), 0);
        assert_string_equal(out, "/edge");
        memcpy(end - 6, "/edgex", 6); /* no NUL before the hole */
        assert_int_equal(caller_read_string(getpid(), at(end - 6), out, sizeof(out)), CALLER_E_FAULT);
        munmap(end - sysconf(_SC_PAGESIZE), (size_t)sysconf(_SC_PAGESIZE));
}

static void test_bad_pointers_are_faults(void **state) {
        static const uint64_t bad[] = {
                0, 16, 0xfff, UINT64_MAX, UINT64_MAX - 4095, 1ULL << 63, 0xffff800000000000ULL
        };
        char out[PATH_BYTES];

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_not_equal(caller_read_string(getpid(), bad[i], out, sizeof(out)), 0);
        assert_int_equal(caller_read(getpid(), UINT64_MAX - 3, out, 64), CALLER_E_FAULT);
}

static void test_unterminated_string_is_too_long(void **state) {
        char out[PATH_BYTES], *text = malloc(3 * PATH_BYTES);

        memset(text, 'a', 3 * PATH_BYTES);
        assert_int_equal(caller_read_string(getpid(), at(text), out, sizeof(out)), CALLER_E_TOO_LONG);
        text[PATH_BYTES - 1] = '\0';
        assert_int_equal(caller_read_string(getpid(), at(text), out, sizeof(out)), 0);
        free(text);
}

static void test_dead_process_is_gone(void **state) {
        char out[64], chain[64];
        mode_t mask;
        pid_t tgid, pid = fork();

        if (pid == 0)
                _exit(0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(caller_read_string(pid, at(out), out, sizeof(out)), CALLER_E_GONE);
        assert_int_equal(caller_status(pid, &tgid, &mask), CALLER_E_GONE);
        assert_int_equal(caller_absolute(pid, AT_FDCWD, "x", out), CALLER_E_GONE);
        caller_chain(pid, getpid(), chain, sizeof(chain));
        assert_string_equal(chain, "");
        assert_int_equal(caller_call(pid, &(struct caller_call){ 0 }), CALLER_E_GONE);
}

static void test_chain_survives_hostile_names(void **state) {
        int ready[2];
        char chain[CALLER_CHAIN_BYTES];
        pid_t init, inner, own = getpid();

        assert_int_equal(pipe(ready), 0);
        init = fork();
        if (init == 0) {
                if (fork() == 0) {
                        prctl(PR_SET_PDEATHSIG, SIGKILL);
                        prctl(PR_SET_NAME, "a) S 1 (\x1f\n");
                        if (fork() == 0) {
                                prctl(PR_SET_PDEATHSIG, SIGKILL);
                                prctl(PR_SET_NAME, "inner");
                                inner = getpid();
                                (void)!write(ready[1], &inner, sizeof(inner));
                                pause();
                        }
                        pause();
                }
                pause();
        }
        assert_int_equal(read(ready[0], &inner, sizeof(inner)), sizeof(inner));
        caller_chain(inner, own, chain, sizeof(chain));
        assert_string_equal(chain, "a) S 1 (?\n\x1finner"); /* init is not named; the separator cannot be forged */
        caller_chain(inner, own, chain, 4);                 /* cut, terminated */
        assert_int_equal(strlen(chain), 3);
        kill(init, SIGKILL); /* and each child with its parent */
        waitpid(init, NULL, 0);
        close(ready[0]);
        close(ready[1]);
}

static void test_relative_paths_start_at_the_right_directory(void **state) {
        char out[PATH_BYTES], cwd[PATH_BYTES];
        int fd = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC), pipes[2];

        assert_non_null(getcwd(cwd, sizeof(cwd)));
        assert_int_equal(caller_absolute(getpid(), AT_FDCWD, "x/../y", out), 0);
        strcat(cwd, "/x/../y");
        assert_string_equal(out, cwd);
        assert_int_equal(caller_absolute(getpid(), fd, "lib", out), 0);
        assert_string_equal(out, "/usr/lib");
        assert_int_equal(caller_absolute(getpid(), fd, "", out), 0); /* AT_EMPTY_PATH */
        assert_string_equal(out, "/usr");
        assert_int_equal(caller_absolute(getpid(), 9999, "x", out), CALLER_E_GONE);
        assert_int_equal(caller_absolute(getpid(), -7, "x", out), CALLER_E_GONE);
        assert_int_equal(caller_absolute(getpid(), 9999, "/abs", out), 0);
        assert_int_equal(pipe(pipes), 0);
        assert_int_equal(caller_absolute(getpid(), pipes[0], "x", out), CALLER_E_GONE); /* "pipe:[1]" is no directory */
        close(pipes[0]);
        close(pipes[1]);
        close(fd);
}

static struct caller_wish wish_of(int nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3) {
        struct caller_call call = { .nr = nr, .args = { a0, a1, a2, a3 } };
        struct caller_wish w;

        caller_wish(getpid(), &call, &w);
        return w;
}

static void test_wishes(void **state) {
        const char *path = "/etc/x", *other = "/etc/y";
        const uint64_t cwd = (uint64_t)(int64_t)AT_FDCWD;
        struct open_how how = { .flags = O_WRONLY | O_CREAT };
        struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "/run/socket" };
        struct caller_wish w;

        w = wish_of(SYS_openat, cwd, at(path), O_RDONLY, 0);
        assert_true(w.operation == OPERATION_READ && w.access == 1 && !w.creates && w.follow);
        assert_string_equal(w.path, path);
        w = wish_of(SYS_openat, cwd, at(path), O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
        assert_true(w.operation == OPERATION_WRITE && w.access == 3 && w.creates && !w.follow);
        w = wish_of(SYS_openat, cwd, at(path), O_PATH | O_RDWR, 0);
        assert_true(w.operation == OPERATION_LOOK && w.access == 1);
        w = wish_of(SYS_openat2, cwd, at(path), at(&how), sizeof(how));
        assert_true(w.operation == OPERATION_WRITE && w.creates);
        w = wish_of(SYS_newfstatat, cwd, at(path), 0, AT_SYMLINK_NOFOLLOW);
        assert_true(w.operation == OPERATION_LOOK && !w.follow);
        w = wish_of(SYS_execve, at(path), 0, 0, 0);
        assert_true(w.operation == OPERATION_EXECUTE && w.access == 1);
        w = wish_of(SYS_mkdirat, cwd, at(path), 0700, 0);
        assert_true(w.operation == OPERATION_MKDIR && w.creates && w.access == 2);
        w = wish_of(SYS_renameat2, cwd, at(path), cwd, at(other));
        assert_true(w.operation == OPERATION_RENAME);
        assert_string_equal(w.path, path);
        assert_string_equal(w.path2, other);
        w = wish_of(SYS_linkat, cwd, at(path), cwd, at(other)); /* the new name is the object */
        assert_string_equal(w.path, other);
        assert_string_equal(w.path2, path);
        w = wish_of(SYS_symlinkat, at("target"), cwd, at(path), 0);
        assert_true(w.operation == OPERATION_SYMLINK);
        assert_string_equal(w.path, path);
        w = wish_of(SYS_unlinkat, cwd, at(path), 0, 0);
        assert_true(w.operation == OPERATION_DELETE && !w.creates && !w.follow);
        w = wish_of(SYS_connect, 3, at(&sun), sizeof(sun), 0);
        assert_true(w.operation == OPERATION_CONNECT);
        assert_string_equal(w.path, "/run/socket");
}

static void test_wishes_of_nonsense_stay_unknown(void **state) {
        static const char abstract[] = "\0abstract";
        struct sockaddr_un sun = { .sun_family = AF_UNIX };
        struct caller_wish w;

        memcpy(sun.sun_path, abstract, sizeof(abstract));
        assert_string_equal(wish_of(SYS_connect, 3, at(&sun), sizeof(sun), 0).path, "");
        memset(sun.sun_path, 'x', sizeof(sun.sun_path)); /* no NUL */
        assert_int_equal(strlen(wish_of(SYS_connect, 3, at(&sun), sizeof(sun), 0).path) > sizeof(sun.sun_path), 1);
        assert_string_equal(wish_of(SYS_connect, 3, at(&sun), UINT64_MAX, 0).path, "");
        assert_string_equal(wish_of(SYS_connect, 3, at(&sun), 1, 0).path, "");
        assert_string_equal(wish_of(SYS_openat, 0, 7, 0, 0).path, "");
        assert_string_equal(wish_of(SYS_openat2, 0, 7, UINT64_MAX, 0).path, "");
        w = wish_of(-1, 0, 0, 0, 0);
        assert_true(w.operation == OPERATION_UNKNOWN && w.path[0] == '\0' && w.access == 0);
        w = wish_of(SYS_getpid, 0, 0, 0, 0);
        assert_int_equal(w.operation, OPERATION_UNKNOWN);
        w = wish_of(INT32_MAX, 0, 0, 0, 0);
        assert_int_equal(w.operation, OPERATION_UNKNOWN);
}

/* A thread that waits in a call is decoded from outside, arguments and all. */
static void test_call_of_a_waiting_process(void **state) {
        char fifo[] = "/tmp/broker-test-XXXXXX", path[64];
        struct caller_call call = { .nr = -1 };
        struct caller_wish w;
        mode_t mask;
        pid_t pid, tgid;

        assert_non_null(mkdtemp(fifo));
        snprintf(path, sizeof(path), "%s/fifo", fifo);
        assert_int_equal(mkfifo(path, 0600), 0);
        pid = fork();
        if (pid == 0) {
                umask(0137);
                (void)open(path, O_RDONLY | O_CLOEXEC);
                _exit(0);
        }
        for (int i = 0; i < 200 && (caller_call(pid, &call) != 0 || call.nr != SYS_openat); i++)
                usleep(1000);
        assert_int_equal(call.nr, SYS_openat);
        caller_wish(pid, &call, &w);
        assert_string_equal(w.path, path);
        assert_int_equal(w.operation, OPERATION_READ);
        assert_int_equal(caller_status(pid, &tgid, &mask), 0);
        assert_true(tgid == pid && mask == 0137);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        unlink(path);
        rmdir(fifo);
}

static void test_table_is_consistent(void **state) {
        for (int nr = 0; nr < 600; nr++) {
                const struct call_shape *s = call_shape(nr);

                if (!s)
                        continue;
                assert_int_equal(s->nr, nr);
                assert_true(s->path < 6 && s->path2 < 6 && s->dir < 6 && s->dir2 < 6 && s->flags < 6 && s->mode < 6);
                assert_true(s->path >= 0 || s->call == CALL_CONNECT);
                if (s->call == CALL_RENAME || s->call == CALL_LINK || s->call == CALL_SYMLINK)
                        assert_true(s->path2 >= 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_string_ending_at_an_unmapped_page_is_read),
                cmocka_unit_test(test_bad_pointers_are_faults),
                cmocka_unit_test(test_unterminated_string_is_too_long),
                cmocka_unit_test(test_dead_process_is_gone),
                cmocka_unit_test(test_chain_survives_hostile_names),
                cmocka_unit_test(test_relative_paths_start_at_the_right_directory),
                cmocka_unit_test(test_wishes),
                cmocka_unit_test(test_wishes_of_nonsense_stay_unknown),
                cmocka_unit_test(test_call_of_a_waiting_process),
                cmocka_unit_test(test_table_is_consistent),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
