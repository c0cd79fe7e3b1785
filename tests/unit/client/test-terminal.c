/*
 * nonoctl as people use it: in a terminal, in pipes, under a shell with job control. The daemon is fake-daemon.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/fd.h"

enum { PATIENCE_MS = 10 * 1000, ARMED_MS = 700 };

struct place {
        char dir[64], socket[96];
        pid_t daemon;
};

struct term {
        int fd;
        pid_t pid;
        char text[256 * 1024];
        size_t n, seen;
        struct termios before;
};

static void pause_ms(unsigned ms) {
        struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

        (void)nanosleep(&ts, NULL);
}

/* --- where a test runs --- */

static int place_setup(void **state) {
        struct place *p = calloc(1, sizeof(*p));
        struct stat st;

        strcpy(p->dir, "/tmp/nonoctl-test-XXXXXX");
        assert_non_null(mkdtemp(p->dir));
        snprintf(p->socket, sizeof(p->socket), "%s/socket", p->dir);
        p->daemon = fork();
        if (p->daemon == 0) {
                (void)setsid();
                execl(getenv("FAKE_DAEMON"), "fake-daemon", p->socket, p->dir, (char *)NULL);
                _exit(2);
        }
        for (unsigned i = 0; i < 500 && stat(p->socket, &st) < 0; i++)
                pause_ms(10);
        pause_ms(20);
        setenv("NONO_SOCKET", p->socket, 1);
        setenv("HOME", p->dir, 1);
        setenv("TERM", "xterm", 1);
        setenv("LC_ALL", "C.UTF-8", 1);
        setenv("PS1", "ready> ", 1);
        unsetenv("NONO_ALLOW");
        unsetenv("NONO_PROFILE");
        *state = p;
        return 0;
}

static int place_teardown(void **state) {
        struct place *p = *state;
        char command[128];

        (void)kill(p->daemon, SIGKILL);
        (void)waitpid(p->daemon, NULL, 0);
        snprintf(command, sizeof(command), "rm -rf -- '%s'", p->dir);
        assert_int_equal(system(command), 0);
        free(p);
        return 0;
}

static void place_control(const struct place *p, const char *line) {
        char path[128];
        int fd;

        snprintf(path, sizeof(path), "%s/control", p->dir);
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, line, strlen(line)), 0);
        assert_int_equal(fd_write_full(fd, "\n", 1), 0);
        fd_close(&fd);
}

static char *place_log(const struct place *p) {
        static char text[64 * 1024];
        char path[128];
        ssize_t n = 0;
        int fd;

        snprintf(path, sizeof(path), "%s/log", p->dir);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
                n = fd_read_full(fd, text, sizeof(text) - 1);
        text[n] = '\0';
        fd_close(&fd);
        return text;
}

static void place_expect_log(const struct place *p, const char *want) {
        for (unsigned i = 0; i < PATIENCE_MS / 20; i++) {
                if (strstr(place_log(p), want))
                        return;
                pause_ms(20);
        }
        fail_msg("not in the log: '%s'; the log is:\n%s", want, place_log(p));
}

/* --- a terminal --- */

static struct term *term_start(const char *const *argv) {
        struct winsize size = { .ws_row = 24, .ws_col = 80 };
        struct term *t = calloc(1, sizeof(*t));

        t->pid = forkpty(&t->fd, NULL, NULL, &size);
        assert_true(t->pid >= 0);
        if (t->pid == 0) {
                execvp(argv[0], (char *const *)argv);
                _exit(99);
        }
        assert_int_equal(tcgetattr(t->fd, &t->before), 0);
        return t;
}
#define term_run(...) term_start((const char *const[]){ getenv("NONOCTL"), "run", __VA_ARGS__, NULL })

static struct term *term_shell(void) {
        return term_start((const char *const[]){ "bash", "--norc", "--noediting", "-i", NULL });
}

/* Return: false at the end of the terminal, or when nothing came in @ms. */
static bool term_read(struct term *t, int ms) {
        struct pollfd p = { .fd = t->fd, .events = POLLIN };
        ssize_t n;

        if (poll(&p, 1, ms) <= 0 || t->n + 1 >= sizeof(t->text))
                return false;
        n = read(t->fd, t->text + t->n, sizeof(t->text) - 1 - t->n);
        if (n <= 0)
                return false;
        t->n += (size_t)n;
        t->text[t->n] = '\0';
        return true;
}

static void term_expect(struct term *t, const char *want) {
        for (;;) {
                char *at = memmem(t->text + t->seen, t->n - t->seen, want, strlen(want));

                if (at) {
                        t->seen = (size_t)(at - t->text) + strlen(want);
                        return;
                }
                if (!term_read(t, PATIENCE_MS))
                        fail_msg("not on the terminal: '%s'; it shows:\n%s", want, t->text + t->seen);
        }
}

static void term_type(struct term *t, const char *keys) {
        assert_int_equal(fd_write_full(t->fd, keys, strlen(keys)), 0);
}

static bool term_restored(struct term *t) {
        struct termios now;

        assert_int_equal(tcgetattr(t->fd, &now), 0);
        return now.c_lflag == t->before.c_lflag && now.c_iflag == t->before.c_iflag && now.c_oflag == t->before.c_oflag;
}

static bool term_is_raw(struct term *t) {
        struct termios now;

        assert_int_equal(tcgetattr(t->fd, &now), 0);
        return !(now.c_lflag & (ICANON | ECHO | ISIG));
}

static void term_wait_raw(struct term *t) {
        for (unsigned i = 0; i < PATIENCE_MS / 10 && !term_is_raw(t); i++)
                pause_ms(10);
        assert_true(term_is_raw(t));
}

/* Waits for the end; the terminal must be as it was. Return: the exit status. */
static int term_end(struct term *t) {
        int status = 0;
        pid_t r = 0;

        for (unsigned i = 0; i < PATIENCE_MS / 10 && r == 0; i++) {
                if (!term_read(t, 10))
                        pause_ms(10); /* nobody has it open any more: poll(2) does not wait */
                r = waitpid(t->pid, &status, WNOHANG);
        }
        if (r == 0) {
                (void)kill(t->pid, SIGKILL);
                (void)waitpid(t->pid, &status, 0);
                fail_msg("does not end; the terminal shows:\n%s", t->text);
        }
        while (term_read(t, 0))
                ;
        assert_true(term_restored(t));
        fd_close(&t->fd);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void term_free(struct term *t) {
        free(t);
}

/* Runs a shell command without a terminal. Return: its status; output in @ret. */
static int shell(const char *command, char *ret, size_t cap) {
        char line[2048];
        size_t n;
        FILE *f;
        int status;

        snprintf(line, sizeof(line), "exec 2>&1; %s", command);
        f = popen(line, "r");
        assert_non_null(f);
        n = fread(ret, 1, cap - 1, f);
        ret[n] = '\0';
        status = pclose(f);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void assert_has(const char *text, const char *want) {
        if (!strstr(text, want))
                fail_msg("'%s' is not in:\n%s", want, text);
}

static void assert_has_not(const char *text, const char *want) {
        if (strstr(text, want))
                fail_msg("'%s' is in:\n%s", want, text);
}

/* --- exit statuses --- */

static void test_exit_status_is_the_programs(void **state) {
        struct term *t = term_run("--", "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && exit 7");

        assert_int_equal(term_end(t), 7);
        term_free(t);
        t = term_run("--", "sh", "-c", "kill -TERM $$");
        assert_int_equal(term_end(t), 128 + SIGTERM);
        term_free(t);
}

static void test_a_missing_command_is_127_and_a_plain_file_126(void **state) {
        char out[4096];

        assert_int_equal(shell("$NONOCTL run -- no-such-command", out, sizeof(out)), 127);
        assert_has(out, "no-such-command: command not found");
        assert_int_equal(shell("$NONOCTL run -- ./no/such", out, sizeof(out)), 127);
        assert_int_equal(shell("echo x > $HOME/plain; $NONOCTL run -- $HOME/plain", out, sizeof(out)), 126);
        assert_has(out, "permission denied");
        assert_int_equal(shell("$NONOCTL run -- /", out, sizeof(out)), 126);
        assert_has(out, "is a directory");
        assert_int_equal(shell("printf '\\177ELFjunk' > $HOME/bad; chmod +x $HOME/bad; $NONOCTL run -- $HOME/bad </dev/null", out,
                               sizeof(out)),
                         126);
}

static void test_own_errors_are_125(void **state) {
        char out[4096];

        assert_int_equal(shell("$NONOCTL run", out, sizeof(out)), 125);
        assert_has(out, "Usage: nonoctl run");
        assert_int_equal(shell("$NONOCTL run --bogus -- true", out, sizeof(out)), 125);
        assert_int_equal(shell("$NONOCTL run --read /no/such -- true", out, sizeof(out)), 125);
        assert_has(out, "--read: '/no/such'");
        assert_int_equal(shell("$NONOCTL run --read '' -- true", out, sizeof(out)), 125);
        assert_has(out, "--read: the path is empty");
        assert_int_equal(shell("$NONOCTL run --read /etc/passwd -- true", out, sizeof(out)), 125);
        assert_has(out, "--read-file");
        assert_int_equal(shell("$NONOCTL run --allow-file /etc -- true", out, sizeof(out)), 125);
        assert_int_equal(shell("ln -s nowhere $HOME/dangling; $NONOCTL run -r $HOME/dangling -- true", out, sizeof(out)), 125);
        assert_int_equal(shell("ln -s loop $HOME/loop; $NONOCTL run -r $HOME/loop -- true", out, sizeof(out)), 125);
        assert_int_equal(shell("$NONOCTL run --open-port 70000 -- true", out, sizeof(out)), 125);
        assert_int_equal(shell("$NONOCTL run --name 'a b' -- true", out, sizeof(out)), 125);
        assert_int_equal(shell("NONO_ALLOW=/no/such $NONOCTL run -- true", out, sizeof(out)), 125);
        assert_has(out, "NONO_ALLOW: '/no/such'");
        assert_int_equal(shell("mkdir $HOME/gone; cd $HOME/gone; rmdir $HOME/gone; $NONOCTL run -- true", out, sizeof(out)), 125);
        assert_has(out, "it was deleted");
        assert_int_equal(shell("$NONOCTL run --name refuse -- true </dev/null", out, sizeof(out)), 125);
        assert_has(out, "the ceiling forbids it");
        assert_has(out, "ask the administrator");
        assert_int_equal(shell("$NONOCTL nonsense", out, sizeof(out)), 125);
}

static void test_without_a_daemon_the_message_says_what_to_do(void **state) {
        char out[4096];

        assert_int_equal(shell("NONO_SOCKET=$HOME/none $NONOCTL ps", out, sizeof(out)), 1);
        assert_has(out, "nonod is not running");
        assert_int_equal(shell("NONO_SOCKET=$HOME/none $NONOCTL run -- true", out, sizeof(out)), 125);
        assert_int_equal(shell("$NONOCTL --socket $HOME/none ps", out, sizeof(out)), 1);
        assert_int_equal(shell("$NONOCTL ps --socket=$HOME/none", out, sizeof(out)), 1);
}

/* --- descriptors --- */

static void test_pipes_and_files_are_handed_over(void **state) {
        char out[4096];

        assert_int_equal(shell("echo hello | $NONOCTL run -- tr a-z A-Z", out, sizeof(out)), 0);
        assert_string_equal(out, "HELLO\n");
        place_expect_log(*state, "mask=0 fds=4");
        assert_int_equal(shell("$NONOCTL run -- sh -c 'echo to-file' > $HOME/out < /dev/null; cat $HOME/out", out, sizeof(out)), 0);
        assert_string_equal(out, "to-file\n");
        assert_int_equal(shell("$NONOCTL run -- cat <&- >$HOME/out", out, sizeof(out)), 0);
}

static void test_flags_become_absolute_rules(void **state) {
        struct place *p = *state;
        char out[4096], want[256];

        assert_int_equal(shell("cd $HOME && mkdir -p a/b && touch a/f && ln -s a/b link && "
                               "$NONOCTL run -a a/../a/b -r ./link -w . --read-file a/f --open-port 8080 --open-port 8080 "
                               "--workdir a -- true < /dev/null",
                               out, sizeof(out)),
                         0);
        snprintf(want, sizeof(want), "rule 3 tree %s/a/b from --allow:0", p->dir);
        place_expect_log(p, want);
        snprintf(want, sizeof(want), "rule 1 tree %s/link from --read:0", p->dir);
        place_expect_log(p, want);
        snprintf(want, sizeof(want), "rule 2 tree %s from --write:0", p->dir);
        place_expect_log(p, want);
        snprintf(want, sizeof(want), "rule 1 file %s/a/f from --read-file:0", p->dir);
        place_expect_log(p, want);
        snprintf(want, sizeof(want), "workdir=%s/a ", p->dir);
        place_expect_log(p, want);
        place_expect_log(p, "argv0=true");
        place_expect_log(p, "port 8080");
        assert_int_equal(shell("NONO_ALLOW=$HOME/a,,$HOME NONO_PROFILE=envprofile $NONOCTL run --sealed -- true </dev/null", out,
                               sizeof(out)),
                         0);
        snprintf(want, sizeof(want), "rule 3 tree %s from NONO_ALLOW:0", p->dir);
        place_expect_log(p, want);
        place_expect_log(p, "profile=envprofile");
        place_expect_log(p, "sealed=1");
}

static void test_a_profile_file_is_sent_as_rules(void **state) {
        struct place *p = *state;
        char out[4096];

        assert_int_equal(shell("mkdir -p $HOME/policy/groups $HOME/policy/profiles; export NONO_POLICY_DIR=$HOME/policy; "
                               "echo '{\"meta\":{\"name\":\"default\"},\"filesystem\":{}}' > $HOME/policy/profiles/default.json; "
                               "printf '{\\n \"meta\": {\"name\": \"mine\"},\\n \"filesystem\": {\\n  \"read\": [\"/srv/x\"]\\n }\\n}' "
                               "> $HOME/mine.json; $NONOCTL run -p $HOME/mine.json -- true </dev/null",
                               out, sizeof(out)),
                         0);
        place_expect_log(p, "profile=mine user=1");
        place_expect_log(p, "rule 1 tree /srv/x from ");
        assert_int_equal(shell("export NONO_POLICY_DIR=$HOME/policy; printf '{\\n \"nonsense\": 1\\n}' > $HOME/bad.json; "
                               "$NONOCTL run -p $HOME/bad.json -- true",
                               out, sizeof(out)),
                         125);
        assert_has(out, "bad.json:2:");
        assert_int_equal(shell("NONO_POLICY_DIR=$HOME/policy $NONOCTL run -p $HOME/none.json -- true", out, sizeof(out)), 125);
        assert_int_equal(shell("mkfifo $HOME/fifo.json; NONO_POLICY_DIR=$HOME/policy $NONOCTL run -p $HOME/fifo.json -- true", out,
                               sizeof(out)),
                         125);
        assert_has(out, "not a regular file");
        assert_int_equal(shell("head -c 1100000 /dev/zero > $HOME/big.json; NONO_POLICY_DIR=$HOME/policy $NONOCTL run -p "
                               "$HOME/big.json -- true",
                               out, sizeof(out)),
                         125);
}

static void test_spawn_finds_the_profiles_program(void **state) {
        struct place *p = *state;
        char out[4096];

        assert_int_equal(shell("mkdir -p $HOME/policy/profiles $HOME/policy/groups; "
                               "echo '{\"meta\":{\"name\":\"default\"}}' > $HOME/policy/profiles/default.json; "
                               "echo '{\"meta\":{\"name\":\"echoer\"},\"binary\":\"echo\",\"command_args\":[\"first\"]}' "
                               "> $HOME/policy/profiles/echoer.json; "
                               "NONO_POLICY_DIR=$HOME/policy $NONOCTL spawn echoer --name x -- --second </dev/null",
                               out, sizeof(out)),
                         0);
        assert_string_equal(out, "first --second\n");
        place_expect_log(p, "argv0=echo");
        place_expect_log(p, "of_profile=0");
        assert_int_equal(shell("NONO_POLICY_DIR=$HOME/policy $NONOCTL spawn elsewhere -- a </dev/null", out, sizeof(out)), 127);
        place_expect_log(p, "program=elsewhere argv0=elsewhere");
        place_expect_log(p, "of_profile=1");
        assert_int_equal(shell("NONO_POLICY_DIR=$HOME/policy $NONOCTL spawn default </dev/null", out, sizeof(out)), 125);
        assert_has(out, "names no program");
        assert_int_equal(shell("$NONOCTL spawn", out, sizeof(out)), 125);
        assert_int_equal(shell("$NONOCTL spawn echoer stray", out, sizeof(out)), 125);
}

/* --- the terminal --- */

static void test_keys_reach_the_program_and_its_output_the_terminal(void **state) {
        struct term *t = term_run("--", "cat");

        term_wait_raw(t);
        term_type(t, "hello\r");
        term_expect(t, "hello\r\nhello\r\n");
        term_type(t, "\x04");
        assert_int_equal(term_end(t), 0);
        term_free(t);
}

static void test_interrupt_acts_inside(void **state) {
        struct term *t = term_run("--", "sh", "-c", "echo up; exec sleep 100");

        term_expect(t, "up");
        term_type(t, "\x03");
        assert_int_equal(term_end(t), 128 + SIGINT);
        term_expect(t, "^C\r\n");
        assert_has_not(place_log(*state), "signal ");
        term_free(t);
}

static void test_all_output_arrives_before_the_end(void **state) {
        struct term *t = term_run("--", "sh", "-c", "seq 1 20000; echo the-last-line");

        term_expect(t, "20000\r\nthe-last-line\r\n");
        assert_int_equal(term_end(t), 0);
        term_free(t);
}

static void test_resize_reaches_the_program(void **state) {
        struct winsize size = { .ws_row = 40, .ws_col = 100 };
        struct term *t = term_run("--", "sh", "-c", "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done");

        term_expect(t, "24 80");
        assert_int_equal(ioctl(t->fd, TIOCSWINSZ, &size), 0);
        term_expect(t, "40 100");
        term_type(t, "\x03");
        assert_int_equal(term_end(t), 130);
        term_free(t);
}

static void test_signals_from_outside_are_forwarded(void **state) {
        struct term *t = term_run("--", "sh", "-c", "trap 'echo usr1' USR1; echo up; while :; do sleep 0.05; done");

        term_expect(t, "up");
        (void)kill(t->pid, SIGUSR1);
        term_expect(t, "usr1");
        (void)kill(t->pid, SIGTERM);
        assert_int_equal(term_end(t), 128 + SIGTERM);
        place_expect_log(*state, "signal 15");
        term_free(t);
}

static void test_stop_and_continue_under_a_shell(void **state) {
        struct term *t = term_shell();

        term_expect(t, "ready> ");
        term_type(t, "$NONOCTL run -- cat\r");
        term_wait_raw(t);
        term_type(t, "one\r");
        term_expect(t, "one\r\none\r\n");
        term_type(t, "\x1a");
        term_expect(t, "Stopped");
        term_expect(t, "ready> ");
        term_type(t, "stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e isig -e opost | tr '\\n' +\r");
        term_expect(t, "isig+icanon+");
        term_type(t, "fg\r");
        term_wait_raw(t);
        term_type(t, "two\r");
        term_expect(t, "two\r\ntwo\r\n");
        term_type(t, "\x1a");
        term_expect(t, "ready> ");
        term_type(t, "bg\r");
        term_expect(t, "ready> ");
        pause_ms(300);
        assert_false(term_is_raw(t)); /* in the background the terminal is the shell's */
        term_type(t, "echo in-between\r");
        term_expect(t, "in-between\r\nin-between");
        term_type(t, "fg\r");
        term_wait_raw(t);
        term_type(t, "three\r");
        term_expect(t, "three\r\nthree\r\n");
        term_type(t, "\x04");
        term_expect(t, "ready> ");
        term_type(t, "echo st=$?; exit\r");
        term_expect(t, "st=0");
        (void)term_end(t);
        place_expect_log(*state, "stopped 20");
        place_expect_log(*state, "continue");
        term_free(t);
}

static void test_a_pipeline_leaves_the_terminal_alone(void **state) {
        struct term *t = term_shell();

        term_expect(t, "ready> ");
        term_type(t, "$NONOCTL run -- sh -c 'echo out; echo err >&2; read x; echo got $x; sleep 0.3' | tr a-z A-Z\r");
        term_expect(t, "OUT");
        assert_false(term_is_raw(t));
        term_type(t, "word\r");
        term_expect(t, "GOT WORD");
        term_expect(t, "ready> ");
        term_type(t, "$NONOCTL run -- sh -c 'sleep 100' | cat\r");
        pause_ms(500);
        term_type(t, "\x03");
        term_expect(t, "ready> ");
        term_type(t, "exit\r");
        (void)term_end(t);
        term_free(t);
}

static void test_nothing_of_the_terminal_stays_changed_when_the_daemon_dies(void **state) {
        struct term *t = term_run("--", "sh", "-c", "printf '\\033[?1049h\\033[?2004h\\033[?25lup'; sleep 100");

        term_expect(t, "up");
        term_wait_raw(t);
        place_control(*state, "die");
        assert_int_equal(term_end(t), 125);
        term_expect(t, "\033[?2004l");
        term_expect(t, "\033[?25h");
        term_expect(t, "\033[?1049l");
        term_expect(t, "closed the connection before the program ended");
        term_free(t);
}

static void test_a_daemon_that_talks_nonsense_ends_it(void **state) {
        struct term *t = term_run("--", "sh", "-c", "echo up; sleep 100");

        term_expect(t, "up");
        place_control(*state, "malformed");
        assert_int_equal(term_end(t), 125);
        term_expect(t, "does not understand");
        term_free(t);
}

static void test_a_hangup_reaches_the_program(void **state) {
        struct term *t = term_run("--", "sh", "-c", "echo up; exec sleep 100");
        int status = 0;

        term_expect(t, "up");
        term_wait_raw(t);
        fd_close(&t->fd);
        assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
        place_expect_log(*state, "signal 1");
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGHUP);
        term_free(t);
}

/* --- prompts --- */

static void ask(struct term *t, struct place *p, const char *keys, const char *line, const char *answer) {
        place_control(p, line);
        term_expect(t, "claude › bash › cat");
        term_expect(t, "[n] deny (Enter)");
        pause_ms(ARMED_MS);
        term_type(t, keys);
        place_expect_log(p, answer);
}

static void test_each_key_gives_its_answer(void **state) {
        struct term *t = term_run("--", "cat");

        term_wait_raw(t);
        ask(t, *state, "y", "request 1 /home/u/one read", "approve 1 scope=0 for=1 write=0");
        ask(t, *state, "s", "request 2 /home/u/two readwrite", "approve 2 scope=0 for=3 write=1");
        ask(t, *state, "f", "request 3 /home/u/three read", "approve 3 scope=2 for=3 write=0");
        ask(t, *state, "n", "request 4 /home/u/four read", "deny 4");
        ask(t, *state, "\r", "request 5 /home/u/five read", "deny 5");
        ask(t, *state, "\x03", "request 6 /home/u/six read", "deny 6");
        ask(t, *state, "\x1b", "request 7 /home/u/seven read", "deny 7");
        term_type(t, "after\r");
        term_expect(t, "after\r\nafter\r\n");
        term_type(t, "\x04");
        assert_int_equal(term_end(t), 0);
        term_free(t);
}

static void test_type_ahead_and_pastes_answer_nothing(void **state) {
        struct term *t = term_run("--", "cat");

        term_wait_raw(t);
        term_type(t, "yyyy");
        place_control(*state, "request 1 /home/u/one read");
        term_expect(t, "[y] once");
        term_type(t, "y"); /* before it is armed */
        pause_ms(ARMED_MS);
        term_type(t, "yes please"); /* a paste */
        pause_ms(100);
        term_type(t, "\033[<0;10;10M"); /* a mouse report */
        pause_ms(100);
        term_type(t, "q");
        pause_ms(200);
        assert_has_not(place_log(*state), "approve");
        assert_has_not(place_log(*state), "deny");
        term_type(t, "\r");
        place_expect_log(*state, "deny 1");
        term_type(t, "\x03");
        assert_int_equal(term_end(t), 130);
        term_free(t);
}

static void test_several_requests_come_one_after_the_other(void **state) {
        struct term *t = term_run("--", "cat");

        term_wait_raw(t);
        place_control(*state, "request 1 /home/u/one read\nrequest 2 /home/u/two read\nrequest 3 /home/u/three read");
        term_expect(t, "/home/u/one");
        pause_ms(200);
        place_control(*state, "withdrawn 1");
        term_expect(t, "the question is withdrawn");
        term_expect(t, "/home/u/two");
        place_control(*state, "approved 3");
        pause_ms(ARMED_MS);
        term_type(t, "n");
        place_expect_log(*state, "deny 2");
        pause_ms(ARMED_MS);
        term_type(t, "x\r"); /* no third question: the program reads this */
        term_expect(t, "x\r\nx\r\n");
        term_type(t, "\x04");
        assert_int_equal(term_end(t), 0);
        assert_has_not(place_log(*state), "approve 3");
        term_free(t);
}

static void test_output_is_held_while_a_question_is_shown(void **state) {
        struct term *t = term_run("--", "sh", "-c", "echo up; sleep 0.6; echo LATER; exec cat");

        term_expect(t, "up");
        place_control(*state, "request 1 /home/u/one read");
        term_expect(t, "[y] once");
        pause_ms(1000);
        while (term_read(t, 50))
                ;
        assert_null(strstr(t->text, "LATER"));
        term_type(t, "n");
        term_expect(t, "LATER");
        term_type(t, "\x04");
        (void)term_end(t);
        term_free(t);
}

static void test_a_full_screen_program_draws_again(void **state) {
        struct term *t = term_run("--", "sh", "-c",
                                  "printf '\\033[?1049hup'; trap 'stty size' WINCH; while :; do sleep 0.02; done");

        term_expect(t, "up");
        place_control(*state, "request 1 /home/u/one read");
        term_expect(t, "[y] once");
        pause_ms(ARMED_MS);
        term_type(t, "n");
        term_expect(t, "23 80");
        term_expect(t, "24 80");
        term_type(t, "\x03");
        assert_int_equal(term_end(t), 130);
        term_free(t);
}

static void test_a_half_said_sequence_cannot_swallow_the_prompt(void **state) {
        struct term *t = term_run("--", "sh", "-c", "printf 'up\\033]0;title without end'; exec cat");

        term_expect(t, "up");
        pause_ms(100);
        place_control(*state, "request 1 /home/u/one read");
        term_expect(t, "\x18\033\\");
        term_expect(t, "[y] once");
        pause_ms(ARMED_MS);
        term_type(t, "n");
        place_expect_log(*state, "deny 1");
        term_type(t, "\x03");
        assert_int_equal(term_end(t), 130);
        term_free(t);
}

static void test_silent_asks_nothing(void **state) {
        struct term *t = term_run("-s", "--", "cat");

        term_wait_raw(t);
        place_expect_log(*state, "prompt=0");
        place_control(*state, "request 1 /home/u/one read");
        pause_ms(300);
        term_type(t, "y\r");
        term_expect(t, "y\r\ny\r\n");
        assert_null(strstr(t->text, "[y] once"));
        term_type(t, "\x04");
        assert_int_equal(term_end(t), 0);
        term_free(t);
}

static void test_denials_are_told_at_the_end(void **state) {
        struct term *t = term_run("--", "cat");

        term_wait_raw(t);
        place_control(*state, "denied 1 /home/u/secret read\ndenied 2 /home/u/secret read");
        pause_ms(200);
        term_type(t, "\x04");
        assert_int_equal(term_end(t), 0);
        term_expect(t, "denied in session ab12cd34");
        term_expect(t, "read /home/u/secret: by a person (2 times)");
        term_free(t);
}

/* --- the other verbs --- */

static void test_ps_and_prompts_escape_for_people_and_keep_bytes_in_json(void **state) {
        json_t *root, *o;
        char out[8192];

        assert_int_equal(shell("$NONOCTL ps", out, sizeof(out)), 0);
        assert_has(out, "claude \\e[31mred");
        assert_has_not(out, "\033");
        assert_has(out, "ab99");
        assert_int_equal(shell("$NONOCTL ps --json", out, sizeof(out)), 0);
        root = json_loads(out, 0, NULL);
        assert_non_null(root);
        assert_int_equal(json_array_size(root), 2);
        o = json_array_get(root, 0);
        assert_string_equal(json_string_value(json_object_get(o, "workdir_base64")), "L2hvbWUvdS9h/w==");
        assert_string_equal(json_string_value(json_object_get(o, "command")), "claude \033[31mred");
        assert_has_not(out, "\033");
        json_decref(root);

        assert_int_equal(shell("$NONOCTL prompts", out, sizeof(out)), 0);
        assert_has(out, "/home/u/\\xff\\u{202e}.txt");
        assert_int_equal(shell("$NONOCTL prompts first --json", out, sizeof(out)), 0);
        root = json_loads(out, 0, NULL);
        o = json_array_get(root, 0);
        assert_int_equal(json_integer_value(json_object_get(o, "id")), 7);
        assert_string_equal(json_string_value(json_object_get(o, "path_base64")), "L2hvbWUvdS//4oCuLnR4dA==");
        assert_string_equal(json_string_value(json_object_get(o, "since")), "2023-11-14T22:13:20.123456Z");
        assert_string_equal(json_string_value(json_object_get(o, "access")), "read");
        assert_string_equal(json_string_value(json_object_get(o, "state")), "waiting");
        assert_int_equal(json_array_size(json_object_get(o, "programs_base64")), 2);
        json_decref(root);
}

static void test_sessions_are_found_by_id_prefix_and_name(void **state) {
        char out[4096];

        assert_int_equal(shell("$NONOCTL stop ab12", out, sizeof(out)), 0);
        place_expect_log(*state, "stop ab12cd34 force=0");
        assert_int_equal(shell("$NONOCTL stop --force second", out, sizeof(out)), 0);
        place_expect_log(*state, "stop ab99 force=1");
        assert_int_equal(shell("$NONOCTL stop ab", out, sizeof(out)), 1);
        assert_has(out, "more than one session is called 'ab'");
        assert_int_equal(shell("$NONOCTL stop zz", out, sizeof(out)), 1);
        assert_has(out, "no session is called 'zz'");
        assert_int_equal(shell("$NONOCTL grants", out, sizeof(out)), 1);
        assert_has(out, "say which");
        assert_int_equal(shell("$NONOCTL grants first", out, sizeof(out)), 1);
        assert_has(out, "nothing \\ehere");
        assert_int_equal(shell("$NONOCTL stop", out, sizeof(out)), 2);
}

static void test_answers_and_grants_are_sent(void **state) {
        struct place *p = *state;
        char out[4096], want[128];

        assert_int_equal(shell("$NONOCTL approve 7 --scope parent --for 15m --rw", out, sizeof(out)), 0);
        place_expect_log(p, "approve 7 scope=3 for=2 write=1");
        assert_int_equal(shell("$NONOCTL approve '#8'", out, sizeof(out)), 0);
        place_expect_log(p, "approve 8 scope=0 for=0 write=0");
        assert_int_equal(shell("$NONOCTL deny 9", out, sizeof(out)), 0);
        place_expect_log(p, "deny 9");
        assert_int_equal(shell("$NONOCTL approve 7 --scope world", out, sizeof(out)), 2);
        assert_int_equal(shell("$NONOCTL approve x", out, sizeof(out)), 2);
        assert_int_equal(shell("$NONOCTL approve 0", out, sizeof(out)), 2);
        assert_int_equal(shell("cd $HOME; $NONOCTL grant first . --rw", out, sizeof(out)), 0);
        snprintf(want, sizeof(want), "grant %s rw=1", p->dir);
        place_expect_log(p, want);
        assert_has(out, "granted 12");
        assert_int_equal(shell("$NONOCTL revoke first 12", out, sizeof(out)), 0);
        assert_has(out, "stay usable");
        assert_has(out, "revoke --kill");
        assert_int_equal(shell("$NONOCTL revoke first 12 --kill", out, sizeof(out)), 0);
        assert_has(out, "2 processes");
        place_expect_log(p, "revoke 12 kill=1");
}

static void test_dry_run_shows_the_plan(void **state) {
        json_t *root;
        char out[4096];

        assert_int_equal(shell("$NONOCTL run --dry-run -- true", out, sizeof(out)), 0);
        assert_has(out, "/usr/sha\\xffre/");
        assert_int_equal(shell("$NONOCTL run --dry-run --json -- true", out, sizeof(out)), 0);
        root = json_loads(out, 0, NULL);
        assert_int_equal(json_array_size(json_object_get(root, "grants")), 2);
        json_decref(root);
}

static void test_watch_shows_events_and_asks_when_it_may(void **state) {
        struct term *t;
        json_t *root;
        char out[4096];

        assert_int_equal(shell("timeout -s INT 1 $NONOCTL watch --json", out, sizeof(out)), 124);
        root = json_loads(out, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(root, "type")), "request");
        assert_string_equal(json_string_value(json_object_get(root, "path")), "/home/u/watched\n");
        assert_ptr_equal(strchr(out, '\n'), strrchr(out, '\n'));
        json_decref(root);
        place_expect_log(*state, "watch answers=0");

        t = term_start((const char *const[]){ getenv("NONOCTL"), "watch", "--answer", NULL });
        term_expect(t, "waits      #5");
        term_expect(t, "/home/u/watched\\n");
        term_expect(t, "[y] once");
        pause_ms(ARMED_MS);
        term_type(t, "y");
        place_expect_log(*state, "approve 5 scope=0 for=1 write=0");
        pause_ms(200);
        (void)kill(t->pid, SIGINT);
        assert_int_equal(term_end(t), 0);
        term_free(t);
}

static void test_every_verb_has_help(void **state) {
        static const char *const verbs[] = { "run", "spawn", "ps", "stop", "watch", "prompts", "approve", "deny", "grants", "grant",
                                             "revoke", "policy", "profile", "why", "completion" };
        char out[8192], command[128];

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                snprintf(command, sizeof(command), "$NONOCTL %s --help", verbs[i]);
                assert_int_equal(shell(command, out, sizeof(out)), 0);
                snprintf(command, sizeof(command), "Usage: nonoctl %s", verbs[i]);
                assert_has(out, command);
                assert_has(out, "Example");
        }
        assert_int_equal(shell("$NONOCTL --help", out, sizeof(out)), 0);
        assert_int_equal(shell("$NONOCTL --version", out, sizeof(out)), 0);
        assert_int_equal(shell("$NONOCTL ps > /dev/full", out, sizeof(out)), 1);
}

#define row(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
int main(void) {
        const struct CMUnitTest tests[] = {
                row(test_exit_status_is_the_programs),
                row(test_a_missing_command_is_127_and_a_plain_file_126),
                row(test_own_errors_are_125),
                row(test_without_a_daemon_the_message_says_what_to_do),
                row(test_pipes_and_files_are_handed_over),
                row(test_flags_become_absolute_rules),
                row(test_a_profile_file_is_sent_as_rules),
                row(test_spawn_finds_the_profiles_program),
                row(test_keys_reach_the_program_and_its_output_the_terminal),
                row(test_interrupt_acts_inside),
                row(test_all_output_arrives_before_the_end),
                row(test_resize_reaches_the_program),
                row(test_signals_from_outside_are_forwarded),
                row(test_stop_and_continue_under_a_shell),
                row(test_a_pipeline_leaves_the_terminal_alone),
                row(test_nothing_of_the_terminal_stays_changed_when_the_daemon_dies),
                row(test_a_daemon_that_talks_nonsense_ends_it),
                row(test_a_hangup_reaches_the_program),
                row(test_each_key_gives_its_answer),
                row(test_type_ahead_and_pastes_answer_nothing),
                row(test_several_requests_come_one_after_the_other),
                row(test_output_is_held_while_a_question_is_shown),
                row(test_a_full_screen_program_draws_again),
                row(test_a_half_said_sequence_cannot_swallow_the_prompt),
                row(test_silent_asks_nothing),
                row(test_denials_are_told_at_the_end),
                row(test_ps_and_prompts_escape_for_people_and_keep_bytes_in_json),
                row(test_sessions_are_found_by_id_prefix_and_name),
                row(test_answers_and_grants_are_sent),
                row(test_dry_run_shows_the_plan),
                row(test_watch_shows_events_and_asks_when_it_may),
                row(test_every_verb_has_help),
        };

        if (!getenv("NONOCTL") || !getenv("FAKE_DAEMON")) {
                fprintf(stderr, "NONOCTL and FAKE_DAEMON name the programs under test\n");
                return 2;
        }
        return cmocka_run_group_tests_name("client-terminal", tests, NULL, NULL);
}
