/*
 * What a client sends to be run: hostile memfds, the environment, what init is given.
 */
#include "tests/unit/service/service-test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/policy/policy.h"
#include "daemon/service/exec-spec.h"
#include "daemon/target/control.h"
#include "daemon/target/spec.h"

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

struct draft {
        struct exec_spec h;
        char text[4096];
        size_t n;
};

static void put(struct draft *d, const char *s) {
        size_t n = strlen(s) + 1;

        assert_true(d->n + n <= sizeof(d->text));
        memcpy(d->text + d->n, s, n);
        d->n += n;
        d->h.size = (uint32_t)(sizeof(d->h) + d->n);
}

static struct draft draft(const char *program, const char *workdir) {
        struct draft d = { .h = { .magic = EXEC_SPEC_MAGIC, .rows = 24, .columns = 80, .tty_mask = 3 } };

        put(&d, program);
        put(&d, workdir);
        return d;
}

static void arg(struct draft *d, const char *s) {
        d->h.n_argv++;
        put(d, s);
}

static void env(struct draft *d, const char *s) {
        d->h.n_env++;
        put(d, s);
}

static int memfd(const struct draft *d, int seals) {
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, &d->h, sizeof(d->h)), sizeof(d->h));
        assert_int_equal(write(fd, d->text, d->n), d->n);
        if (seals)
                assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}

static struct command *accept_draft(const struct draft *d) {
        _cleanup_close_ int fd = memfd(d, SEALS);
        struct command *c = NULL;
        const char *why = NULL;

        assert_int_equal(command_read(fd, &c, &why), 0);
        return c;
}

static void refuse_fd(int fd) {
        struct command *c = NULL;
        const char *why = NULL;

        assert_int_equal(command_read(fd, &c, &why), EXEC_SPEC_E_INVALID);
        assert_null(c);
        assert_non_null(why);
}

static void refuse_draft(const struct draft *d) {
        _cleanup_close_ int fd = memfd(d, SEALS);

        refuse_fd(fd);
}

static struct draft good(void) {
        struct draft d = draft("/usr/bin/env", "/home/u");

        arg(&d, "env");
        arg(&d, "-i");
        env(&d, "PATH=/usr/bin");
        env(&d, "HOME=/home/u");
        return d;
}

static void test_a_good_spec_is_read(void **state) {
        struct draft d = good();
        _cleanup_(command_freep) struct command *c = accept_draft(&d);

        assert_string_equal(c->program, "/usr/bin/env");
        assert_string_equal(c->workdir, "/home/u");
        assert_int_equal(c->n_argv, 2);
        assert_string_equal(c->argv[1], "-i");
        assert_null(c->argv[2]);
        assert_int_equal(c->n_env, 2);
        assert_int_equal(c->tty_mask, 3);
        assert_string_equal(environment_get(c->env, "HOME"), "/home/u");
        assert_null(environment_get(c->env, "HOM"));
}

static void test_an_unsealed_memfd_is_refused(void **state) {
        static const int some[] = { 0, F_SEAL_WRITE, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_GROW | F_SEAL_WRITE };
        struct draft d = good();

        for (size_t i = 0; i < ELEMENTSOF(some); i++) {
                _cleanup_close_ int fd = memfd(&d, some[i]);

                refuse_fd(fd);
        }
}

static void test_descriptors_that_are_no_memfd_are_refused(void **state) {
        _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC), dir = open("/", O_RDONLY | O_CLOEXEC);
        int pipe_fds[2];

        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        refuse_fd(null);
        refuse_fd(dir);
        refuse_fd(pipe_fds[0]);
        (void)close(pipe_fds[0]);
        (void)close(pipe_fds[1]);
}

static void test_a_huge_sparse_memfd_is_refused_unread(void **state) {
        _cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALS), 0);
        refuse_fd(fd);
}

static void test_headers_that_lie_are_refused(void **state) {
        struct draft d;

        d = good(), d.h.magic++, refuse_draft(&d);
        d = good(), d.h.size--, refuse_draft(&d);
        d = good(), d.h.size++, refuse_draft(&d);
        d = good(), d.h.size = 0, refuse_draft(&d);
        d = good(), d.h.n_argv = 0, refuse_draft(&d);
        d = good(), d.h.n_argv++, refuse_draft(&d); /* then the environment is one short */
        d = good(), d.h.n_argv = UINT32_MAX, refuse_draft(&d);
        d = good(), d.h.n_env = UINT32_MAX, refuse_draft(&d);
        d = good(), d.h.n_argv = EXEC_SPEC_ARGS_MAX, refuse_draft(&d);
        d = good(), d.h.n_env++, refuse_draft(&d);
        d = good(), d.h.n_env--, refuse_draft(&d); /* something is left over */
        d = good(), d.h.tty_mask = 8, refuse_draft(&d);
        d = good(), d.n--, d.h.size--, refuse_draft(&d); /* the last string does not end */
        d = good(), d.n = 0, d.h.size = sizeof(d.h), refuse_draft(&d);
}

static void test_a_memfd_shorter_than_the_header_is_refused(void **state) {
        _cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_int_equal(write(fd, "nono", 4), 4);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALS), 0);
        refuse_fd(fd);
}

static void test_paths_that_are_none_are_refused(void **state) {
        static const char *const programs[] = { "", "bin/x", "./x", "/usr/../bin/x", "/usr//x", "/x/" };
        static const char *const workdirs[] = { "", "home", "/home/../etc", "/home/", "//" };

        for (size_t i = 0; i < ELEMENTSOF(programs); i++) {
                struct draft d = draft(programs[i], "/home");

                arg(&d, "x");
                refuse_draft(&d);
        }
        for (size_t i = 0; i < ELEMENTSOF(workdirs); i++) {
                struct draft d = draft("/bin/x", workdirs[i]);

                arg(&d, "x");
                refuse_draft(&d);
        }
}

/* Writes the spec for init and reads it back with init's own reader. */
static struct spec write_spec(const struct draft *d, const struct policy_settings *s, bool of_profile,
                              bool keep_tmpdir) {
        _cleanup_(command_freep) struct command *c = accept_draft(d);
        _cleanup_close_ int fd = command_write(c, s, of_profile, keep_tmpdir, "abcdef", "/.nono-state.json");
        struct spec spec = { 0 };

        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GET_SEALS), SEALS | F_SEAL_SEAL);
        assert_int_equal(spec_open(fd, &spec), 0);
        return spec;
}

static const char *value(const struct spec *s, const char *name) {
        return environment_get(s->envp, name);
}

/* The reader keeps its mapping for ever, as init needs it; here that would be a leak. */
static void done(struct spec *s) {
        free(s->argv);
        free(s->envp);
}

static void test_the_rewritten_spec_is_what_init_reads(void **state) {
        const struct policy_settings settings = { 0 };
        struct draft d = good();
        struct spec s = write_spec(&d, &settings, false, false);

        assert_string_equal(s.program, "/usr/bin/env");
        assert_string_equal(s.workdir, "/home/u");
        assert_string_equal(s.argv[0], "env");
        assert_string_equal(s.argv[1], "-i");
        assert_null(s.argv[2]);
        assert_int_equal(s.rows, 24);
        assert_int_equal(s.tty_mask, 3);
        assert_string_equal(value(&s, "NONO_SESSION"), "abcdef");
        assert_string_equal(value(&s, "NONO_STATE_FILE"), "/.nono-state.json");
        assert_string_equal(value(&s, "TMPDIR"), "/tmp");
        assert_string_equal(value(&s, "PATH"), "/usr/bin");
        done(&s);
}

static void test_variables_that_run_code_never_pass(void **state) {
        static const char *const bad[] = {
                "LD_PRELOAD=/x",
                "LD_LIBRARY_PATH=/x",
                "LD_AUDIT=x",
                "DYLD_INSERT_LIBRARIES=x",
                "BASH_ENV=/x",
                "ENV=/x",
                "BASH_FUNC_ls%%=() { evil; }",
                "PROMPT_COMMAND=x",
                "IFS=x",
                "CDPATH=x",
                "OLDPWD=/elsewhere",
                "GLOBIGNORE=x",
                "PYTHONSTARTUP=x",
                "PERL5OPT=-x",
                "RUBYOPT=-x",
                "NONO_SOCKET=/run/x",
                "NONO_SESSION=other",
        };
        static const char *const allow_all[] = { "*", NULL };
        const struct policy_settings settings = { .allow_vars = allow_all };
        struct draft d = good();
        struct spec s;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                env(&d, bad[i]);
        env(&d, "NODE_OPTIONS=--max-old-space-size=4096");
        env(&d, "LDFLAGS=-lm");
        env(&d, "ENVIRONMENT=test");
        env(&d, "no equals sign");
        env(&d, "=nothing");
        s = write_spec(&d, &settings, false, false);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                for (char **e = s.envp; *e; e++)
                        assert_string_not_equal(*e, bad[i]);
        assert_string_equal(value(&s, "NODE_OPTIONS"), "--max-old-space-size=4096");
        assert_string_equal(value(&s, "LDFLAGS"), "-lm");
        assert_string_equal(value(&s, "ENVIRONMENT"), "test");
        assert_string_equal(value(&s, "NONO_SESSION"), "abcdef");
        done(&s);
}

static void test_the_profile_says_what_else_passes(void **state) {
        static const char *const allow[] = { "PATH", "AWS_*", NULL }, *const deny[] = { "AWS_SECRET*", NULL };
        static const char *const set[] = { "AWS_REGION=eu", "LD_PRELOAD=/x", "PATH=/evil", "NEW=1", "NONO_X=1", NULL };
        const struct policy_settings settings = { .allow_vars = allow, .deny_vars = deny, .set_vars = set };
        struct draft d = good();
        struct spec s;

        env(&d, "AWS_PROFILE=p");
        env(&d, "AWS_SECRET_ACCESS_KEY=s");
        env(&d, "AWS_REGION=us");
        s = write_spec(&d, &settings, false, false);
        assert_string_equal(value(&s, "PATH"), "/usr/bin");
        assert_null(value(&s, "HOME"));
        assert_string_equal(value(&s, "AWS_PROFILE"), "p");
        assert_null(value(&s, "AWS_SECRET_ACCESS_KEY"));
        assert_string_equal(value(&s, "AWS_REGION"), "eu");
        assert_string_equal(value(&s, "NEW"), "1");
        assert_null(value(&s, "LD_PRELOAD"));
        assert_null(value(&s, "NONO_X"));
        done(&s);
}

static void test_an_empty_allow_list_passes_nothing(void **state) {
        static const char *const none[] = { NULL };
        const struct policy_settings settings = { .allow_vars = none };
        struct draft d = good();
        struct spec s = write_spec(&d, &settings, false, false);

        assert_null(value(&s, "PATH"));
        assert_string_equal(value(&s, "NONO_SESSION"), "abcdef");
        done(&s);
}

static void test_tmpdir_is_the_private_one_unless_granted(void **state) {
        const struct policy_settings settings = { 0 };
        struct draft d = good();
        struct spec s;

        env(&d, "TMPDIR=/home/u/tmp");
        s = write_spec(&d, &settings, false, false);
        assert_string_equal(value(&s, "TMPDIR"), "/tmp");
        done(&s);
        s = write_spec(&d, &settings, false, true);
        assert_string_equal(value(&s, "TMPDIR"), "/home/u/tmp");
        done(&s);
}

static void test_the_profiles_program_replaces_the_first_argument(void **state) {
        static const char *const args[] = { "--mode", "x", NULL };
        const struct policy_settings settings = { .program = "claude", .args = args };
        struct draft d = good();
        struct spec s = write_spec(&d, &settings, true, false);

        assert_string_equal(s.program, "claude");
        assert_string_equal(s.argv[0], "claude");
        assert_string_equal(s.argv[1], "--mode");
        assert_string_equal(s.argv[2], "x");
        assert_string_equal(s.argv[3], "-i");
        assert_null(s.argv[4]);
        done(&s);
}

static void test_a_description_is_cut_not_overrun(void **state) {
        const struct policy_settings settings = { 0 };
        struct draft d = good();
        _cleanup_(command_freep) struct command *c = accept_draft(&d);
        char text[7];

        command_describe(c, &settings, false, text, sizeof(text));
        assert_string_equal(text, "env -i");
        command_describe(c, &settings, false, text, 5);
        assert_true(strlen(text) < 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_good_spec_is_read),
                cmocka_unit_test(test_an_unsealed_memfd_is_refused),
                cmocka_unit_test(test_descriptors_that_are_no_memfd_are_refused),
                cmocka_unit_test(test_a_huge_sparse_memfd_is_refused_unread),
                cmocka_unit_test(test_headers_that_lie_are_refused),
                cmocka_unit_test(test_a_memfd_shorter_than_the_header_is_refused),
                cmocka_unit_test(test_paths_that_are_none_are_refused),
                cmocka_unit_test(test_the_rewritten_spec_is_what_init_reads),
                cmocka_unit_test(test_variables_that_run_code_never_pass),
                cmocka_unit_test(test_the_profile_says_what_else_passes),
                cmocka_unit_test(test_an_empty_allow_list_passes_nothing),
                cmocka_unit_test(test_tmpdir_is_the_private_one_unless_granted),
                cmocka_unit_test(test_the_profiles_program_replaces_the_first_argument),
                cmocka_unit_test(test_a_description_is_cut_not_overrun),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
