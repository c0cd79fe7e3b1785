/*
 * Brokered connects against the real kernel: a session without a network reaches the one port it may, and nothing else.
 * Needs root; exits 77 where it cannot run.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "check.h"
#include "common/cleanup.h"
#include "view.h"

/* A host service on both loopback addresses that says back what it hears. */
static pid_t serve(int family, uint16_t *port, bool echo) {
        struct sockaddr_in sin = { .sin_family = AF_INET,
                                   .sin_port = htons(*port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
                                     .sin6_port = htons(*port),
                                     .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        const struct sockaddr *sa = family == AF_INET ? (const struct sockaddr *)&sin : (const struct sockaddr *)&sin6;
        socklen_t n = family == AF_INET ? sizeof(sin) : sizeof(sin6);
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
        pid_t pid;

        if (fd < 0)
                return -1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, sa, n) < 0 || listen(fd, 4096) < 0) {
                close(fd);
                return -1;
        }
        getsockname(fd, family == AF_INET ? (struct sockaddr *)&sin : (struct sockaddr *)&sin6, &n);
        *port = ntohs(family == AF_INET ? sin.sin_port : sin6.sin6_port);
        pid = fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;) {
                        int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

                        if (echo && fork() == 0) {
                                char buf[65536];
                                ssize_t got;

                                while ((got = recv(c, buf, sizeof(buf), 0)) > 0)
                                        if (send(c, buf, (size_t)got, MSG_NOSIGNAL) < 0)
                                                break;
                                _exit(0);
                        }
                        close(c);
                        while (waitpid(-1, NULL, WNOHANG) > 0)
                                ;
                }
        }
        close(fd);
        return pid;
}

static struct result connect_in(struct view *v, uint16_t port, int mode) {
        struct result r = { .error = ETIME };

        view_act(v, ACT_CONNECT, TEST_HOME "/none", NULL, port, mode);
        (void)view_result(v, &r, 4000);
        return r;
}

static void expect_report(struct view *v, uint16_t port, int error) {
        struct received r;

        CHECK(view_receive(v, &r) && r.m.type == BROKER_CONNECTED && r.m.port == port && r.m.error == error &&
              r.m.pid > 0);
        received_done(&r);
}

static void test_port_that_is_not_listed_is_the_sessions_own(struct view *v, uint16_t port) {
        struct result r = connect_in(v, port, CONNECT_BLOCKING);

        CHECK(r.error == ECONNREFUSED); /* the private loopback, where nobody listens */
        CHECK(view_is_silent(v, 20));
}

static void test_listed_port_is_reached_in_every_manner(struct view *v, uint16_t port) {
        static const struct {
                const char *name;
                int mode;
        } manners[] = {
                { "blocking", CONNECT_BLOCKING },
                { "non-blocking", CONNECT_NONBLOCK },
                { "in an epoll set before", CONNECT_EPOLL_FIRST },
                { "close on exec", CONNECT_CLOEXEC },
        };

        for (size_t i = 0; i < ELEMENTSOF(manners); i++) {
                struct result r = connect_in(v, port, manners[i].mode);

                if (r.error || r.extra != 4)
                        printf("# %s: %s, %d bytes\n", manners[i].name, strerror(r.error), r.extra);
                CHECK(r.error == 0 && r.extra == 4);
                expect_report(v, port, 0);
        }
}

static void test_refused_by_the_host_is_refused(struct view *v, uint16_t port) {
        struct result r = connect_in(v, port, CONNECT_BLOCKING);

        CHECK(r.error == ECONNREFUSED);
        expect_report(v, port, ECONNREFUSED);
        r = connect_in(v, port, CONNECT_NONBLOCK);
        CHECK(r.error == ECONNREFUSED);
        expect_report(v, port, ECONNREFUSED);
}

static void test_datagrams_and_second_connects(struct view *v, uint16_t port) {
        CHECK(connect_in(v, port, CONNECT_UDP).error == 0); /* the session's own loopback: nobody hears it */
        CHECK(view_is_silent(v, 20));
        CHECK(connect_in(v, port, CONNECT_TWICE).error == EISCONN);
        expect_report(v, port, 0);
        CHECK(connect_in(v, port, CONNECT_UNIX).error == ENOENT);
}

/* What a program could do with a socket of the host's: disconnect it, and be somebody else's client or server. */
static void test_socket_cannot_be_turned_elsewhere(struct view *v, uint16_t port, uint16_t other) {
        struct result r;

        view_act(v, ACT_CONNECT, "", NULL, port, CONNECT_DISCONNECT);
        CHECK(view_result(v, &r, 4000) && r.error == EACCES);
        expect_report(v, port, 0);
        view_act(v, ACT_CONNECT, "", NULL, port, CONNECT_UNLOCK);
        CHECK(view_result(v, &r, 4000) && r.error == 0 && r.extra & 1); /* the device stays */
        printf("# socket filter: %s\n", r.extra & 2 ? "held" : "this kernel lets only root attach one");
        expect_report(v, port, 0);
        (void)other;
}

/* Connects inside the session are the broker's work too, and end as they would without it. */
static void test_own_loopback_works(struct view *v, uint16_t port) {
        struct result r;

        for (int nonblock = 0; nonblock < 2; nonblock++) {
                view_act(v, ACT_OWN_SERVER, "", NULL, port + nonblock, nonblock); /* the first may not have ended yet */
                CHECK(view_result(v, &r, 4000) && r.error == 0 && r.extra == 4);
        }
        view_act(v, ACT_CONNECT, "", NULL, port, CONNECT_BAD_FD);
        CHECK(view_result(v, &r, 4000) && r.error == EBADF);
        CHECK(view_is_silent(v, 20));
}

static double bare_connect(uint16_t port) {
        struct sockaddr_in sin = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct timespec a, b;

        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int i = 0; i < 200; i++) {
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

                CHECK(connect(fd, (const struct sockaddr *)&sin, sizeof(sin)) == 0);
                close(fd);
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        return ((double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3) / 200;
}

static void measure_connect(struct view *v, uint16_t port, uint16_t sink) {
        struct result done = { 0 };
        double best = 0, bare = 0;

        for (int i = 0; i < 7; i++) {
                double us = bare_connect(sink);

                bare = i == 0 || us < bare ? us : bare;
                view_act(v, ACT_CONNECT_LOOP, "", NULL, sink, 200);
                CHECK(view_result(v, &done, 10000) && done.value == 200);
                for (int k = 0; k < 200 && done.value == 200; k++)
                        expect_report(v, sink, 0);
                us = (double)done.us / 200;
                best = i == 0 || us < best ? us : best;
        }
        printf("# socket, connect, close, best of 7: brokered %.1f us, bare %.1f us, ratio %.2f\n", best, bare,
               best / bare);
        view_act(v, ACT_BULK, "", NULL, port, 64);
        CHECK(view_result(v, &done, 20000) && done.error == 0);
        expect_report(v, port, 0);
        printf("# 64 MiB there and back: %.0f MiB/s\n", 64.0 * 1e6 / (double)done.us);
}

int main(void) {
        uint16_t port = 0, closed = 0, sink = 0, port6;
        pid_t server, server6, other, drain;
        struct received ready;
        struct view v;

        setvbuf(stdout, NULL, _IOLBF, 0);
        if (view_prepare() != 0)
                return 77;
        other = serve(AF_INET, &closed, true); /* a port that is free again at once */
        kill(other, SIGKILL);
        waitpid(other, NULL, 0);
        server = serve(AF_INET, &port, true);
        drain = serve(AF_INET, &sink, false);
        port6 = port;
        server6 = serve(AF_INET6, &port6, true);
        view_start(&v, true);
        CHECK(view_receive(&v, &ready) && ready.m.type == BROKER_READY);
        test_port_that_is_not_listed_is_the_sessions_own(&v, port);
        view_send(&v, &(struct broker_message){ .type = BROKER_PORT, .port = port }, NULL, 0, -1);
        view_send(&v, &(struct broker_message){ .type = BROKER_PORT, .port = closed }, NULL, 0, -1);
        view_send(&v, &(struct broker_message){ .type = BROKER_PORT, .port = sink }, NULL, 0, -1);
        test_listed_port_is_reached_in_every_manner(&v, port);
        if (server6 > 0) {
                struct result r = connect_in(&v, port, CONNECT_IPV6);

                CHECK(r.error == 0 && r.extra == 4);
                expect_report(&v, port, 0);
        } else
                printf("# no IPv6 here\n");
        test_refused_by_the_host_is_refused(&v, closed);
        test_datagrams_and_second_connects(&v, port);
        test_own_loopback_works(&v, 4711);
        test_socket_cannot_be_turned_elsewhere(&v, port, closed);
        measure_connect(&v, port, sink);
        view_stop(&v);
        kill(server, SIGKILL);
        kill(drain, SIGKILL);
        if (server6 > 0)
                kill(server6, SIGKILL);
        return check_report();
}
