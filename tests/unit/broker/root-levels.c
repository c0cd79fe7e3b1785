/*
 * The broker's levels against the real kernel.
 * Needs root, autofs and a kernel with seccomp WAIT_KILLABLE_RECV; exits 77 where it cannot run.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "check.h"
#include "common/cleanup.h"
#include "common/fd.h"
#include "daemon/broker/broker.h"
#include "view.h"

static void host_file(const char *path) {
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

        CHECK(fd >= 0 && fchown(fd, TEST_UID, TEST_UID) == 0);
        close(fd);
}

static void host_dir(const char *path) {
        CHECK(mkdir(path, 0755) == 0 && chown(path, TEST_UID, TEST_UID) == 0);
}

static void answer_fail(struct view *v, const struct received *r) {
        view_send(v, &(struct broker_message){ .type = BROKER_FAIL, .node = r->m.node, .token = r->m.token }, NULL, 0,
                  -1);
}

/* Not a path of ours to begin with: the broker announces itself. */
static void expect_ready(struct view *v) {
        struct received r;

        CHECK(view_receive(v, &r) && r.m.type == BROKER_READY);
        received_done(&r);
}

static void test_broker_has_no_privilege_and_cannot_be_looked_at(struct view *v) {
        char path[64], text[4096] = "";
        struct stat st;
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/status", (int)v->broker);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
        close(fd);
        CHECK(strstr(text, "CapPrm:\t0000000000000000") && strstr(text, "CapEff:\t0000000000000000"));
        CHECK(strstr(text, "NoNewPrivs:\t1") && strstr(text, "Uid:\t61234\t61234\t61234\t61234"));
        snprintf(path, sizeof(path), "/proc/%d/environ", (int)v->broker);
        CHECK(stat(path, &st) == 0 &&
              st.st_uid == 0); /* not dumpable: root's, so no other program of the user reads it */
}

/* A monitor that forgot to drop something gets no broker. */
static void test_broker_with_privileges_does_not_start(void) {
        int service[2], packets[2], status = 0;
        pid_t pid;

        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, service) == 0 && pipe2(packets, O_CLOEXEC) == 0);
        for (int uid = 0; uid <= TEST_UID; uid += TEST_UID) {
                pid = fork();
                if (pid == 0)
                        _exit(broker_run(&(struct broker_options){ .fd_service = service[1],
                                                                   .fd_packets = packets[0],
                                                                   .uid = (uid_t)uid,
                                                                   .gid = (gid_t)uid }));
                CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 1);
        }
        close(service[0]);
        close(service[1]);
        close(packets[0]);
        close(packets[1]);
}

static void test_missing_name_is_enoent_without_a_message(struct view *v) {
        CHECK(view_quiet(v, ACT_STAT, TEST_HOME "/nothing", NULL, 0, 0) == -ENOENT);
        CHECK(view_quiet(v, ACT_STAT, "/nowhere/at/all", NULL, 0, 0) == -ENOENT);
        CHECK(view_quiet(v, ACT_STAT, TEST_HOME "/work", NULL, 0, 0) == 0);
        CHECK(view_is_silent(v, 20));
}

static void test_existing_name_asks_and_fail_is_enoent(struct view *v) {
        struct received r;
        struct result done;
        struct stat st, host;

        host_dir(TEST_HOME "/secret");
        host_file(TEST_HOME "/secret/key");
        view_act(v, ACT_OPEN, TEST_HOME "/secret/../secret/./key", NULL, O_RDONLY, 0);
        CHECK(view_receive(v, &r));
        CHECK(r.m.type == BROKER_REQUEST && r.m.node == TEST_LEVEL_U && r.m.token != 0 && r.m.kind == OBJECT_DIR);
        CHECK(r.m.operation == OPERATION_READ && r.m.access == 1);
        CHECK_STR(r.texts[0], "secret");
        CHECK_STR(r.texts[1], TEST_HOME "/secret/key");
        CHECK_STR(r.texts[2], TEST_HOME "/secret");
        CHECK_STR(r.texts[3], "");
        CHECK_STR(r.texts[4], "test-program");
        CHECK(r.n_fds == 2 && fstat(r.fds[0], &st) == 0 && stat(TEST_HOME "/secret", &host) == 0);
        CHECK(st.st_ino == host.st_ino && st.st_dev == host.st_dev);
        answer_fail(v, &r);
        CHECK(view_result(v, &done, 2000) && done.error == ENOENT);
        answer_fail(v, &r); /* twice is ignored */
        received_done(&r);
}

static void test_attached_folder_is_used_natively(struct view *v) {
        struct received r;
        struct result done;

        view_act(v, ACT_STAT, TEST_HOME "/secret/key", NULL, 0, 0);
        CHECK(view_receive(v, &r) && r.m.type == BROKER_REQUEST && r.m.operation == OPERATION_LOOK);
        CHECK(view_attach(v, TEST_LEVEL_U, "secret", r.fds[0], false) == 0);
        view_ready(v, TEST_LEVEL_U, r.m.token);
        CHECK(view_result(v, &done, 2000) && done.error == 0);
        CHECK(view_quiet(v, ACT_STAT, TEST_HOME "/secret/key", NULL, 0, 0) == 0);
        CHECK(view_detach(v, TEST_LEVEL_U, "secret") == 0);
        received_done(&r);
}

/* Three use a grant, one does not; the grant is taken back, and the three are ended. */
static void test_who_holds_something_of_a_lost_grant_is_ended(struct view *v) {
        static const char *const path = TEST_HOME "/secret";
        struct received r, held, ended;
        struct result done;

        view_act(v, ACT_HOLD, TEST_HOME "/secret/key", NULL, 0, 0);
        CHECK(view_receive(v, &r) && r.m.type == BROKER_REQUEST);
        CHECK(view_attach(v, TEST_LEVEL_U, "secret", r.fds[0], false) == 0);
        view_ready(v, TEST_LEVEL_U, r.m.token);
        CHECK(view_result(v, &done, 2000) && done.error == 0);
        CHECK(view_quiet(v, ACT_HOLD, TEST_HOME "/secret", NULL, 0, 1) == 0);
        CHECK(view_quiet(v, ACT_HOLD, TEST_HOME "/work", NULL, 0, 1) == 0);

        view_send(v, &(struct broker_message){ .type = BROKER_HOLDERS, .node = 70, .tag = 5 }, &path, 1, -1);
        CHECK(view_receive(v, &held) && held.m.type == BROKER_HELD && held.m.tag == 5);
        CHECK(view_quiet(v, ACT_HOLD, TEST_HOME "/secret/key", NULL, 0, 0) >= 0); /* opened after that */
        CHECK(view_detach(v, TEST_LEVEL_U, "secret") == 0);
        view_send(v, &(struct broker_message){ .type = BROKER_UNGRANT, .node = 70 }, NULL, 0, -1);
        view_send(v, &(struct broker_message){ .type = BROKER_END_HOLDERS, .tag = 6 }, NULL, 0, -1);
        CHECK(view_receive(v, &ended) && ended.m.type == BROKER_HELD && ended.m.tag == 6 && ended.m.token == 3);
        received_done(&held);
        received_done(&ended);
        view_send(v, &(struct broker_message){ .type = BROKER_END_HOLDERS, .tag = 7 }, NULL, 0, -1);
        CHECK(view_receive(v, &ended) && ended.m.tag == 7 && ended.m.token == 0); /* forgotten */
        received_done(&ended);
        received_done(&r);
}

static void test_attached_file_is_found_on_the_first_walk(struct view *v) {
        struct received r;
        struct result done;

        host_file(TEST_HOME "/.single");
        view_act(v, ACT_OPEN, TEST_HOME "/.single", NULL, O_RDONLY, 0);
        CHECK(view_receive(v, &r) && r.m.type == BROKER_REQUEST && r.m.kind == OBJECT_FILE);
        CHECK_STR(r.texts[1], TEST_HOME "/.single");
        CHECK(view_attach(v, TEST_LEVEL_U, ".single", r.fds[0], false) == 0);
        view_ready(v, TEST_LEVEL_U, r.m.token);
        CHECK(view_result(v, &done, 2000) && done.error == 0);
        CHECK(view_detach(v, TEST_LEVEL_U, ".single") == 0);
        received_done(&r);
}

/* READY by the broker, uid TEST_UID, no capability: autofs lets its daemon's process group. */
static void test_sublevel_asks_one_component_deeper(struct view *v) {
        struct received r, deeper;
        struct result done;
        int fd;

        view_act(v, ACT_STAT, TEST_HOME "/secret/key", NULL, 0, 0);
        CHECK(view_receive(v, &r) && r.m.type == BROKER_REQUEST);
        fd = view_attach_level(v, TEST_LEVEL_U, "secret", 50, TEST_HOME "/secret", r.m.token);
        CHECK(view_receive(v, &deeper) && deeper.m.type == BROKER_REQUEST && deeper.m.node == 50);
        CHECK_STR(deeper.texts[0], "key");
        CHECK(deeper.m.kind == OBJECT_FILE);
        answer_fail(v, &deeper);
        CHECK(view_result(v, &done, 2000) && done.error == ENOENT);
        view_send(v, &(struct broker_message){ .type = BROKER_UNGRANT, .node = 50 }, NULL, 0, -1);
        CHECK(view_detach(v, TEST_LEVEL_U, "secret") == 0);
        close(fd);
        received_done(&r);
        received_done(&deeper);
}

static void test_probe_of_a_missing_file_does_not_prompt(struct view *v) {
        struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = TEST_HOME "/secret/socket" };

        CHECK(view_quiet(v, ACT_STAT, TEST_HOME "/secret/none", NULL, 0, 0) == -ENOENT);
        CHECK(view_quiet(v, ACT_OPEN, TEST_HOME "/secret/key/below", NULL, O_RDONLY, 0) == -ENOENT);
        CHECK(view_quiet(v, ACT_CONNECT, sun.sun_path, NULL, 0, CONNECT_UNIX) == -ENOENT);
        CHECK(view_is_silent(v, 20));
}

static void expect_unreachable(struct view *v, int act, const char *path, bool unreachable) {
        struct received r;
        struct result done;

        view_act(v, act, path, NULL, O_RDONLY, 0);
        CHECK(view_receive(v, &r) && r.m.type == BROKER_REQUEST);
        CHECK(!!(r.m.flags & BROKER_F_UNREACHABLE) == unreachable);
        answer_fail(v, &r);
        CHECK(view_result(v, &done, 2000) && done.error == ENOENT);
        received_done(&r);
}

static void test_what_the_user_cannot_reach_on_the_host_is_said_so(struct view *v) {
        CHECK(mkdir(TEST_HOME "/roots", 0700) == 0 && chown(TEST_HOME "/roots", 0, 0) == 0);
        expect_unreachable(v, ACT_EXECUTE, TEST_HOME "/roots/bin/tool", true);
        expect_unreachable(v, ACT_STAT, TEST_HOME "/roots/bin", true);
        expect_unreachable(v, ACT_OPEN, TEST_HOME "/roots", true);
        expect_unreachable(v, ACT_STAT, TEST_HOME "/roots", false);
        expect_unreachable(v, ACT_OPEN, TEST_HOME "/secret/key", false);
}

static void test_socket_and_execute_say_so(struct view *v) {
        struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = TEST_HOME "/secret/socket" };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct received r;
        struct result done;

        CHECK(bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 && chmod(sun.sun_path, 0777) == 0 &&
              listen(fd, 1) == 0);
        view_act(v, ACT_CONNECT, sun.sun_path, NULL, 0, CONNECT_UNIX);
        CHECK(view_receive(v, &r) && r.m.operation == OPERATION_CONNECT);
        CHECK_STR(r.texts[1], sun.sun_path);
        answer_fail(v, &r);
        CHECK(view_result(v, &done, 2000) && done.error == ENOENT);
        received_done(&r);
        close(fd);

        CHECK(chmod(TEST_HOME "/secret/key", 0755) == 0);
        view_act(v, ACT_EXECUTE, TEST_HOME "/secret/key", NULL, 0, 0);
        CHECK(view_receive(v, &r) && r.m.operation == OPERATION_EXECUTE);
        answer_fail(v, &r);
        CHECK(view_result(v, &done, 2000) && done.error == ENOENT);
        received_done(&r);
}

static void test_symlink_is_shown_with_its_end(struct view *v) {
        struct received r;
        struct result done;

        CHECK(symlink("secret/key", TEST_HOME "/link") == 0);
        view_act(v, ACT_OPEN, TEST_HOME "/link", NULL, O_RDONLY, 0);
        CHECK(view_receive(v, &r) && r.m.kind == OBJECT_SYMLINK);
        CHECK_STR(r.texts[2], TEST_HOME "/secret/key");
        CHECK_STR(r.texts[3], "secret/key");
        answer_fail(v, &r);
        CHECK(view_result(v, &done, 2000) && done.error == ENOENT);
        received_done(&r);
}

static void test_killed_waiter_is_gone_and_others_ask_again(struct view *v) {
        struct received first, gone, again;
        struct result done;

        view_act(v, ACT_STAT, TEST_HOME "/secret", NULL, 0, 0);
        CHECK(view_receive(v, &first) && first.m.type == BROKER_REQUEST);
        view_act(v, ACT_STAT, TEST_HOME "/secret", NULL, 0, 0); /* joins in the kernel: no second packet */
        CHECK(view_is_silent(v, 50));
        CHECK(kill(first.m.pid, SIGKILL) == 0);
        CHECK(view_receive(v, &gone) && gone.m.type == BROKER_GONE && gone.m.tag == first.m.tag);
        CHECK(view_receive(v, &again) && again.m.type == BROKER_REQUEST && again.m.pid != first.m.pid);
        answer_fail(v, &again);
        CHECK(view_result(v, &done, 2000) && done.error == ENOENT);
        received_done(&first);
        received_done(&gone);
        received_done(&again);
}

static void test_repeated_miss_is_planted_until_it_appears(struct view *v) {
        struct received r;
        struct result done;

        for (int i = 0; i < 3; i++)
                CHECK(view_quiet(v, ACT_STAT, TEST_HOME "/node_modules", NULL, 0, 0) == -ENOENT);
        CHECK(view_receive(v, &r) && r.m.type == BROKER_PLANT && r.m.node == TEST_LEVEL_U);
        CHECK_STR(r.texts[0], "node_modules");
        CHECK(view_plant(v, TEST_LEVEL_U, "node_modules") == 0);
        received_done(&r);
        CHECK(view_quiet(v, ACT_STAT, TEST_HOME "/node_modules", NULL, 0, 0) == -ENOENT);
        CHECK(view_is_silent(v, 20));
        host_dir(TEST_HOME "/node_modules");
        CHECK(view_receive(v, &r) && r.m.type == BROKER_UNPLANT);
        CHECK_STR(r.texts[0], "node_modules");
        CHECK(view_detach(v, TEST_LEVEL_U, "node_modules") == 0);
        received_done(&r);
        view_act(v, ACT_STAT, TEST_HOME "/node_modules", NULL, 0, 0);
        CHECK(view_receive(v, &r) && r.m.type == BROKER_REQUEST);
        answer_fail(v, &r);
        CHECK(view_result(v, &done, 2000) && done.error == ENOENT);
        received_done(&r);
}

static void test_burst_of_ten_thousand_requests(struct view *v) {
        struct result done;
        unsigned n = 0;

        for (int i = 0; i < 10000; i++) {
                char path[128];

                snprintf(path, sizeof(path), TEST_HOME "/b%d", i);
                host_file(path);
        }
        view_act(v, ACT_BURST, TEST_HOME "/b", NULL, 200, 50);
        for (; n < 10000; n++) {
                struct received r;

                if (!view_receive(v, &r))
                        break;
                CHECK(r.m.type == BROKER_REQUEST);
                answer_fail(v, &r);
                received_done(&r);
        }
        CHECK(n == 10000);
        CHECK(view_result(v, &done, 5000) && done.value == 10000);
        printf("# 10000 requests asked and answered in %.0f ms\n", (double)done.us / 1000);
}

/* Nobody answers: the limit denies what is beyond it, and the death of the service all of the rest. */
static void test_too_many_waiting_are_denied_and_orphans_get_enoent(struct view *v) {
        struct result done;
        struct received r;
        unsigned n = 0;

        view_act(v, ACT_BURST, TEST_HOME "/b", NULL, BROKER_WAITING_MAX + 200, 1);
        while (n < BROKER_WAITING_MAX && view_receive(v, &r)) {
                n++;
                received_done(&r);
        }
        CHECK(n == BROKER_WAITING_MAX);
        CHECK(view_is_silent(v, 100));
        CHECK(!view_result(v, &done, 10));
        fd_close(&v->fd_service);
        CHECK(view_result(v, &done, 5000) && done.value == BROKER_WAITING_MAX + 200);
        CHECK(view_quiet(v, ACT_STAT, TEST_HOME "/secret", NULL, 0, 0) == -ENOENT);
        CHECK(view_quiet(v, ACT_STAT, TEST_HOME "/work", NULL, 0, 0) == 0);
}

static void test_resolve(struct view *v) {
        struct broker_message m = { .type = BROKER_RESOLVE, .tag = 77 };
        struct received r;

        view_send(v, &m, (const char *[]){ TEST_HOME "/link" }, 1, -1);
        CHECK(view_receive(v, &r) && r.m.type == BROKER_RESOLVED && r.m.tag == 77 && r.m.error == 0 && r.n_fds == 1);
        CHECK_STR(r.texts[0], TEST_HOME "/secret/key");
        CHECK_STR(r.texts[1], TEST_HOME "/link");
        CHECK_STR(r.texts[2], "secret/key");
        CHECK(r.m.kind == OBJECT_FILE && r.m.flags & BROKER_F_EXECUTABLE);
        received_done(&r);

        m.flags = BROKER_F_CREATE_DIR;
        view_send(v, &m, (const char *[]){ TEST_HOME "/.cache/a/b", TEST_HOME }, 2, -1);
        CHECK(view_receive(v, &r) && r.m.error == 0 && r.m.kind == OBJECT_DIR);
        received_done(&r);
        struct stat st;
        CHECK(stat(TEST_HOME "/.cache/a/b", &st) == 0 && st.st_uid == TEST_UID && (st.st_mode & 07777) == 0700);

        view_send(v, &m, (const char *[]){ "/mnt/elsewhere/x", TEST_HOME }, 2, -1);
        CHECK(view_receive(v, &r) && r.m.error == ENOENT && r.n_fds == 0);
        CHECK_STR(r.texts[0], "/mnt/elsewhere/x");
        received_done(&r);

        CHECK(symlink("loop", TEST_HOME "/loop") == 0);
        m.flags = 0;
        view_send(v, &m, (const char *[]){ TEST_HOME "/loop/x" }, 1, -1);
        CHECK(view_receive(v, &r) && r.m.error == ELOOP);
        received_done(&r);
        view_send(v, &m, (const char *[]){ "/proc/self/exe" }, 1, -1);
        CHECK(view_receive(v, &r) && r.m.error == ELOOP);
        received_done(&r);
        CHECK(mkdir("/mnt/closed", 0700) == 0);
        view_send(v, &m, (const char *[]){ "/mnt/closed/x" }, 1, -1);
        CHECK(view_receive(v, &r) && r.m.error == EACCES);
        received_done(&r);
}

static void measure_missing(struct view *v) {
        struct result done;
        long best = -1;

        /* different names: a repeated miss is planted */
        for (int round = 0; round < 7; round++) {
                char path[128];

                snprintf(path, sizeof(path), "%s/%0*d", TEST_HOME, 70, round); /* longer than what is ever planted */
                view_act(v, ACT_STAT_LOOP, path, NULL, 3000, 0);
                CHECK(view_result(v, &done, 5000) && done.value == 3000);
                if (best < 0 || done.us < best)
                        best = (long)done.us;
                printf("# missing name: %.1f us\n", (double)done.us / 3000);
        }
        printf("# missing name, best of 7: %.1f us\n", (double)best / 3000);
}

static void test_packets_wait_for_their_level(void) {
        static const char *const paths[] = { "/", "/mnt", "/mnt/home", TEST_HOME };
        struct view v;
        struct result done;

        view_start(&v, false);
        expect_ready(&v);
        view_act(&v, ACT_STAT, TEST_HOME "/nothing", NULL, 0, 0);
        CHECK(!view_result(&v, &done, 50));
        for (uint32_t i = 0; i < 4; i++)
                view_send(&v, &(struct broker_message){ .type = BROKER_LEVEL, .node = i + 1, .dev = v.devs[i + 1] },
                          &paths[i], 1, v.fd_levels[i + 1]);
        CHECK(view_result(&v, &done, 2000) && done.error == ENOENT);
        view_stop(&v);
}

static void test_unknown_message_ends_the_conversation(void) {
        struct view v;
        struct received r;

        view_start(&v, true);
        expect_ready(&v);
        view_send(&v, &(struct broker_message){ .type = 4711 }, NULL, 0, -1);
        CHECK(!view_receive(&v, &r)); /* closed */
        CHECK(view_quiet(&v, ACT_STAT, TEST_HOME "/secret", NULL, 0, 0) == -ENOENT);
        CHECK(view_quiet(&v, ACT_STAT, TEST_HOME "/work", NULL, 0, 0) == 0);
        view_stop(&v);
}

int main(void) {
        struct rlimit limit = { 8192, 8192 };
        struct view v;

        setvbuf(stdout, NULL, _IOLBF, 0);
        if (view_prepare() != 0)
                return 77;
        setrlimit(RLIMIT_NOFILE, &limit);
        test_broker_with_privileges_does_not_start();
        test_packets_wait_for_their_level();
        view_start(&v, true);
        expect_ready(&v);
        test_broker_has_no_privilege_and_cannot_be_looked_at(&v);
        test_missing_name_is_enoent_without_a_message(&v);
        test_existing_name_asks_and_fail_is_enoent(&v);
        test_attached_folder_is_used_natively(&v);
        test_who_holds_something_of_a_lost_grant_is_ended(&v);
        test_attached_file_is_found_on_the_first_walk(&v);
        test_sublevel_asks_one_component_deeper(&v);
        test_probe_of_a_missing_file_does_not_prompt(&v);
        test_what_the_user_cannot_reach_on_the_host_is_said_so(&v);
        test_socket_and_execute_say_so(&v);
        test_symlink_is_shown_with_its_end(&v);
        test_killed_waiter_is_gone_and_others_ask_again(&v);
        test_repeated_miss_is_planted_until_it_appears(&v);
        test_resolve(&v);
        measure_missing(&v);
        test_burst_of_ten_thousand_requests(&v);
        test_too_many_waiting_are_denied_and_orphans_get_enoent(&v);
        view_stop(&v);
        test_unknown_message_ends_the_conversation();
        return check_report();
}
