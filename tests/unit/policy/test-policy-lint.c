/*
 * Lint: each finding has its code and its line, and a good profile has none.
 */
#include "daemon/policy/lint.h"
#include "tests/unit/policy/policy-test.h"

static bool nothing_exists(const char *path, bool pattern, void *arg) {
        return strcmp(path, arg) == 0;
}

static struct lint_options test_options = { .vars = &test_vars, .user = true };

static int setup_store(void **state) {
        struct policy_store *s = policy_store_new();

        test_must_add(s, POLICY_GROUP, "secrets", "{ \"required\": true, \"deny\": { \"access\": [\"~/.ssh\", \"~/.docker\"] } }");
        test_must_add(s, POLICY_GROUP, "history", "{ \"deny\": { \"access\": [\"~/.history\"] } }");
        test_must_add(s, POLICY_PROFILE, "default", "{ \"groups\": { \"include\": [\"history\", \"secrets\"] } }");
        *state = s;
        return 0;
}

static int teardown_store(void **state) {
        policy_store_free(*state);
        return 0;
}

static const struct lint_finding *find(const struct lint *l, const char *code) {
        for (size_t i = 0; i < l->n_findings; i++)
                if (strcmp(l->findings[i].code, code) == 0)
                        return &l->findings[i];
        return NULL;
}

static void assert_finds(struct policy_store *s, const char *text, const char *code, unsigned line, const char *part) {
        _cleanup_(lint_done) struct lint l = { .findings = NULL };
        const struct lint_finding *f;

        assert_int_equal(lint_profile(s, "p", text, strlen(text), "p.json", &test_options, &l), 0);
        f = find(&l, code);
        if (!f || f->line != line || !strstr(f->message, part)) {
                for (size_t i = 0; i < l.n_findings; i++)
                        print_message("%s %u:%u %s (%s)\n", l.findings[i].code, l.findings[i].line, l.findings[i].column,
                                      l.findings[i].message, l.findings[i].fix);
                fail_msg("no %s at line %u in %s", code, line, text);
        }
}

static void test_good_profile_has_no_finding(void **state) {
        const char *text = "{ \"extends\": \"default\", \"filesystem\": { \"allow\": [\"~/.app\"], \"read\": [\"/etc/app\"] } }";
        _cleanup_(lint_done) struct lint l = { .findings = NULL };

        assert_int_equal(lint_profile(*state, "p", text, strlen(text), "p.json", &test_options, &l), 0);
        assert_int_equal(l.n_findings, 0);
        assert_int_equal(l.n_groups, 2);
}

static void test_what_does_not_load_is_an_error_with_its_place(void **state) {
        assert_finds(*state, "{\n \"filesytem\": {} }", "E101", 2, "filesystem");
        assert_finds(*state, "{ \"groups\": { \"include\": [\n\"no\"] } }", "E103", 2, "'no'");
        assert_finds(*state, "{ \"groups\": { \"exclude\": [\n\"secrets\"] } }", "E104", 2, "required");
        assert_finds(*state, "{ \"extends\":\n\"no\" }", "E105", 2, "'no'");
        assert_finds(*state, "{ \"extends\":\n\"p\" }", "E106", 2, "itself");
        assert_finds(*state, "{ \"network\": {\n\"network_profile\": \"no\" } }", "E106", 2, "network profile");
}

static void test_all_reference_errors_are_reported_at_once(void **state) {
        const char *text = "{ \"extends\": [\"x\", \"y\"], \"groups\": { \"include\": [\"a\", \"b\"], \"exclude\": [\"secrets\", \"c\"] } }";
        _cleanup_(lint_done) struct lint l = { .findings = NULL };

        assert_int_equal(lint_profile(*state, "p", text, strlen(text), "p.json", &test_options, &l), 0);
        assert_int_equal(l.n_errors, 5);
        assert_int_equal(l.n_warnings, 1);
}

static void test_historic_keys_are_named_with_their_successors(void **state) {
        assert_finds(*state, "{ \"security\": {\n\"groups\": [\"history\"] } }", "W101", 2, "groups");
        assert_finds(*state, "{ \"policy\": {\n\"override_deny\": [] } }", "W101", 2, "override_deny");
        assert_finds(*state, "{ \"hooks\": {} }", "N101", 1, "no effect");
        assert_finds(*state, "{ \"filesystem\": { \"read\": [\n\"\"] } }", "W102", 2, "empty");
        assert_finds(*state, "{ \"groups\": { \"exclude\": [\n\"unheard\"] } }", "W103", 2, "unheard");
}

static void test_wide_grants_are_found(void **state) {
        assert_finds(*state, "{ \"filesystem\": { \"read\": [\n\"/\"] } }", "W201", 2, "'/'");
        assert_finds(*state, "{ \"filesystem\": { \"allow\": [\n\"~\"] } }", "W201", 2, "'~'");
        assert_finds(*state, "{ \"filesystem\": { \"write\": [\n\"$HOME/.config\"] } }", "W201", 2, ".config");
}

static void test_writable_program_directories_are_found(void **state) {
        static const char *const path[] = { "/opt/tools", NULL };
        struct lint_options old = test_options;

        assert_finds(*state, "{ \"filesystem\": { \"allow\": [\n\"~/.local\"] } }", "W202", 2, ".local/bin");
        test_options.path_dirs = path;
        assert_finds(*state, "{ \"filesystem\": { \"allow\": [\n\"/opt/tools\"] } }", "W202", 2, "/opt/tools");
        test_options = old;
}

static void test_writable_control_files_are_found(void **state) {
        assert_finds(*state, "{\n\"workdir\": {\n\"access\": \"readwrite\" } }", "N203", 3, ".git/hooks");
        assert_finds(*state, "{ \"filesystem\": { \"allow_file\": [\n\"~/.gitconfig\"] } }", "W203", 2, ".gitconfig");
}

static void test_sockets_that_hand_out_the_host_are_found(void **state) {
        assert_finds(*state, "{ \"filesystem\": { \"allow\": [\n\"/run\"] } }", "W204", 2, "docker.sock");
        assert_finds(*state, "{ \"filesystem\": { \"unix_socket\": [\n\"/var/run/docker.sock\"] } }", "W204", 2, "root on this host");
        assert_finds(*state, "{ \"filesystem\": { \"unix_socket_dir\": [\n\"/tmp/.X11-unix\"] } }", "W204", 2, "screen");
}

static void test_void_rules_are_found(void **state) {
        assert_finds(*state, "{ \"filesystem\": { \"read\": [\n\"~/.ssh/config\"] } }", "W206", 2, "group secrets");
        assert_finds(*state, "{ \"filesystem\": { \"deny\": [\n\"~/.ssh/id\"] } }", "N206", 2, "denied already");
}

static void test_bypass_without_effect_is_found(void **state) {
        assert_finds(*state, "{ \"filesystem\": { \"bypass_protection\": [\n\"~/.history\"] } }", "E205", 2, "no matching grant");
        assert_finds(*state, "{ \"filesystem\": { \"read\": [\"~/.docker\"], \"bypass_protection\": [\n\"~/.docker\"] } }", "E207", 2,
                     "required");
}

static void test_rules_that_match_nothing_are_found(void **state) {
        struct lint_options old = test_options;

        test_options.exists = nothing_exists;
        test_options.arg = (char *)"/etc/app";
        assert_finds(*state, "{ \"filesystem\": { \"read\": [ \"/etc/app\",\n\"/etc/ap\"] } }", "N208", 2, "/etc/ap'");
        test_options = old;
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup_store, teardown_store)
        const struct CMUnitTest tests[] = {
                T(test_good_profile_has_no_finding),
                T(test_what_does_not_load_is_an_error_with_its_place),
                T(test_all_reference_errors_are_reported_at_once),
                T(test_historic_keys_are_named_with_their_successors),
                T(test_wide_grants_are_found),
                T(test_writable_program_directories_are_found),
                T(test_writable_control_files_are_found),
                T(test_sockets_that_hand_out_the_host_are_found),
                T(test_void_rules_are_found),
                T(test_bypass_without_effect_is_found),
                T(test_rules_that_match_nothing_are_found),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
