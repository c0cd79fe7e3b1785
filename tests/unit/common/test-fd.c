/*
 * Descriptors that arrive are counted, close-on-exec, and closed when they were not expected.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"

static int open_fds(void) {
        int n = 0;

        for (int fd = 0; fd < 200; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static void pair(int ret[2]) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret), 0);
}

static void test_data_and_descriptors_arrive_together(void **state) {
        int p[2], fds[4], send[2] = { 0, 1 };
        size_t n, n_fds;
        char buf[8];

        pair(p);
        assert_int_equal(fd_send(p[0], "hello", 5, send, 2), 0);
        assert_int_equal(fd_recv(p[1], buf, sizeof(buf), &n, fds, 4, &n_fds), 0);
        assert_int_equal(n, 5);
        assert_int_equal(n_fds, 2);
        assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
        fd_close_many(fds, 2);
        fd_close_many(p, 2);
}

static void test_unexpected_descriptors_are_closed(void **state) {
        int p[2], fds[1], send[3] = { 0, 1, 2 }, before;
        size_t n, n_fds;
        char buf[8];

        pair(p);
        before = open_fds();
        assert_int_equal(fd_send(p[0], "x", 1, send, 3), 0);
        assert_int_equal(fd_recv(p[1], buf, sizeof(buf), &n, fds, 1, &n_fds), FD_E_MALFORMED);
        assert_int_equal(open_fds(), before);
        fd_close_many(p, 2);
}

static void test_a_message_that_does_not_fit_is_malformed(void **state) {
        int p[2];
        size_t n, n_fds;
        char buf[2];

        pair(p);
        assert_int_equal(fd_send(p[0], "too long", 8, NULL, 0), 0);
        assert_int_equal(fd_recv(p[1], buf, sizeof(buf), &n, NULL, 0, &n_fds), FD_E_MALFORMED);
        fd_close_many(p, 2);
}

static void test_a_closed_peer_is_an_outcome(void **state) {
        int p[2];
        size_t n, n_fds;
        char buf[2];

        pair(p);
        fd_close(&p[0]);
        assert_int_equal(fd_recv(p[1], buf, sizeof(buf), &n, NULL, 0, &n_fds), FD_E_CLOSED);
        assert_int_equal(fd_send(p[1], "x", 1, NULL, 0), -EPIPE);
        fd_close_many(p, 2);
}

static void test_keep_only_closes_everything_else(void **state) {
        int a = fcntl(0, F_DUPFD_CLOEXEC, 50), b = fcntl(0, F_DUPFD_CLOEXEC, 90), c = fcntl(0, F_DUPFD_CLOEXEC, 70), none = -1;
        pid_t pid = fork();
        int *const keep[] = { &b, &none, &a };

        if (pid == 0) {
                fd_keep_only(keep, 3);
                _exit(fcntl(a, F_GETFD) >= 0 && fcntl(b, F_GETFD) >= 0 && fcntl(c, F_GETFD) < 0 && open_fds() == 5 ? 0 : 1);
        }
        int status;
        waitpid(pid, &status, 0);
        assert_int_equal(status, 0);
        fd_close(&a);
        fd_close(&b);
        fd_close(&c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_data_and_descriptors_arrive_together),
                cmocka_unit_test(test_unexpected_descriptors_are_closed),
                cmocka_unit_test(test_a_message_that_does_not_fit_is_malformed),
                cmocka_unit_test(test_a_closed_peer_is_an_outcome),
                cmocka_unit_test(test_keep_only_closes_everything_else),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
