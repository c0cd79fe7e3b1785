/*
 * Compiling: inheritance, groups, predicates, variables, what may be taken away and what may not.
 */
#include "tests/unit/policy/policy-test.h"

static int setup_store(void **state) {
        struct policy_store *s = policy_store_new();

        test_must_add(s, POLICY_GROUP, "secrets", "{ \"required\": true, \"deny\": { \"access\": [\"~/.ssh\", \"~/.docker\"] } }");
        test_must_add(s, POLICY_GROUP, "history", "{ \"deny\": { \"access\": [\"~/.history\"], \"commands\": [\"rm\", \"dd\"] } }");
        test_must_add(s, POLICY_GROUP, "system", "{ \"platform\": \"linux\", \"allow\": { \"read\": [\"/usr\"] } }");
        test_must_add(s, POLICY_GROUP, "mac", "{ \"platform\": \"macos\", \"allow\": { \"read\": [\"/System\"] } }");
        test_must_add(s, POLICY_GROUP, "cache", "{ \"allow\": { \"readwrite\": [\"~/.cache\"], \"write\": [\"/log\"] } }");
        test_must_add(s, POLICY_PROFILE, "default",
                      "{ \"groups\": { \"include\": [\"system\", \"mac\", \"history\"] } }");
        *state = s;
        return 0;
}

static int teardown_store(void **state) {
        policy_store_free(*state);
        return 0;
}

static int compile_error(const struct policy_store *s, const char *name, struct policy_error *err) {
        struct policy_plan *plan = NULL;
        int r = policy_compile(s, name, &test_vars, &plan, err);

        assert_null(plan);
        return r;
}

static void test_required_denies_are_in_every_plan(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;
        struct policy_verdict v;

        test_must_add(*state, POLICY_PROFILE, "p", "{ \"filesystem\": { \"allow\": [\"~\"] } }");
        p = test_compile(*state, "p");
        v = policy_verdict(p, "/home/u/.ssh/id", POLICY_READ);
        assert_int_equal(v.answer, POLICY_ANSWER_DENY);
        assert_int_equal(v.rule->origin, POLICY_FROM_REQUIRED_GROUP);
        assert_string_equal(v.rule->group, "secrets");
        assert_string_equal(v.rule->raw, "~/.ssh");
        assert_int_equal(v.rule->line, 1);
        assert_answer(p, "/home/u/x", RW, GRANT);
        assert_answer(p, "/usr/bin", POLICY_READ, GRANT);
        assert_answer(p, "/System", POLICY_READ, ASK);
}

static void test_required_group_cannot_be_excluded(void **state) {
        struct policy_error err;

        test_must_add(*state, POLICY_PROFILE, "p", "{ \"groups\": { \"exclude\": [\"history\",\n \"secrets\"] } }");
        assert_int_equal(compile_error(*state, "p", &err), POLICY_E_INVALID);
        assert_int_equal(err.line, 2);
        assert_int_equal(err.column, 2);
}

static void test_optional_group_can_be_excluded(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"filesystem\": { \"allow\": [\"~\"] }, \"groups\": { \"exclude\": [\"history\", \"unheard-of\"] } }");
        p = test_compile(*state, "p");
        assert_answer(p, "/home/u/.history", POLICY_READ, GRANT);
}

static void test_unknown_group_is_an_error_where_it_is_named(void **state) {
        struct policy_error err;

        test_must_add(*state, POLICY_PROFILE, "p", "{ \"groups\": {\n  \"include\": [\"nothing\"] } }");
        assert_int_equal(compile_error(*state, "p", &err), POLICY_E_INVALID);
        assert_int_equal(err.line, 2);
        assert_non_null(strstr(err.message, "nothing"));
}

static void test_default_is_inherited_unnamed(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "p", "{}");
        p = test_compile(*state, "p");
        assert_answer(p, "/usr/lib", POLICY_READ, GRANT);
        assert_string_equal(policy_plan_settings(p)->name, "p");
}

static void test_bases_fold_left_to_right_child_last(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;
        const struct policy_settings *t;

        test_must_add(*state, POLICY_PROFILE, "a",
                      "{ \"binary\": \"a\", \"command_args\": [\"x\"], \"environment\": { \"set_vars\": { \"V\": \"1\", \"W\": \"1\" } },"
                      "  \"workdir\": { \"access\": \"read\" }, \"network\": { \"open_port\": [1, 2] } }");
        test_must_add(*state, POLICY_PROFILE, "b", "{ \"binary\": \"b\", \"environment\": { \"set_vars\": { \"V\": \"2\" } } }");
        test_must_add(*state, POLICY_PROFILE, "c",
                      "{ \"extends\": [\"a\", \"b\"], \"workdir\": { \"access\": \"none\" }, \"network\": { \"open_port\": [2, 3] } }");
        p = test_compile(*state, "c");
        t = policy_plan_settings(p);
        assert_string_equal(t->program, "b");
        assert_string_equal(t->args[0], "x");
        assert_string_equal(t->set_vars[0], "W=1");
        assert_string_equal(t->set_vars[1], "V=2");
        assert_null(t->set_vars[2]);
        assert_int_equal(t->workdir, POLICY_WORKDIR_READ);
        assert_int_equal(t->n_open_ports, 3);
        assert_int_equal(t->open_ports[2], 3);
        assert_null(t->allow_vars);
}

static void test_extends_of_itself_is_an_error(void **state) {
        struct policy_error err;

        test_must_add(*state, POLICY_PROFILE, "a", "{ \"extends\": \"a\" }");
        assert_int_equal(compile_error(*state, "a", &err), POLICY_E_INVALID);
        assert_int_equal(err.column, 14);
        test_must_add(*state, POLICY_PROFILE, "a", "{ \"extends\": \"b\" }");
        test_must_add(*state, POLICY_PROFILE, "b", "{ \"extends\": [\"default\", \"a\"] }");
        assert_int_equal(compile_error(*state, "a", &err), POLICY_E_INVALID);
        assert_string_equal(err.source, "b");
}

static void test_extends_is_ten_levels_deep_at_most(void **state) {
        char name[16], text[64];
        struct policy_error err;

        test_must_add(*state, POLICY_PROFILE, "p0", "{}");
        for (int i = 1; i <= POLICY_EXTENDS_DEPTH_MAX + 1; i++) {
                (void)snprintf(name, sizeof(name), "p%d", i);
                (void)snprintf(text, sizeof(text), "{ \"extends\": \"p%d\" }", i - 1);
                test_must_add(*state, POLICY_PROFILE, name, text);
        }
        policy_plan_free(test_compile(*state, "p10"));
        assert_int_equal(compile_error(*state, "p11", &err), POLICY_E_LIMIT);
}

static void test_missing_profile_and_missing_base(void **state) {
        struct policy_error err;

        assert_int_equal(compile_error(*state, "nope", &err), POLICY_E_NOT_FOUND);
        test_must_add(*state, POLICY_PROFILE, "p", "{ \"extends\": [\"default\", \"nope\"] }");
        assert_int_equal(compile_error(*state, "p", &err), POLICY_E_INVALID);
        assert_int_equal(err.column, 26);
}

static void test_diamond_counts_its_base_once(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "base", "{ \"binary\": \"base\" }");
        test_must_add(*state, POLICY_PROFILE, "l", "{ \"extends\": \"base\", \"binary\": \"l\" }");
        test_must_add(*state, POLICY_PROFILE, "r", "{ \"extends\": \"base\" }");
        test_must_add(*state, POLICY_PROFILE, "p", "{ \"extends\": [\"l\", \"r\"] }");
        p = test_compile(*state, "p");
        assert_string_equal(policy_plan_settings(p)->program, "l");
}

static void test_historic_keys_mean_the_same(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"security\": { \"groups\": [\"cache\"], \"allowed_commands\": [\"rm\"] },"
                      "  \"filesystem\": { \"read\": [\"/one\"] },"
                      "  \"policy\": { \"exclude_groups\": [\"history\"], \"add_allow_read\": [\"/two\"],"
                      "    \"add_allow_write\": [\"/three\"], \"add_allow_readwrite\": [\"/four\"],"
                      "    \"add_deny_access\": [\"/four/no\"], \"add_deny_commands\": [\"curl\", \"rm\"] },"
                      "  \"network\": { \"port_allow\": [8080], \"proxy_allow\": [\"a.example\"] },"
                      "  \"undo\": { \"exclude_patterns\": [\"x\"] }, \"secrets\": { \"k\": \"V\" } }");
        p = test_compile(*state, "p");
        assert_answer(p, "/home/u/.cache/x", RW, GRANT);
        assert_answer(p, "/one", POLICY_READ, GRANT);
        assert_answer(p, "/two", POLICY_READ, GRANT);
        assert_answer(p, "/three", POLICY_WRITE, GRANT);
        assert_answer(p, "/three", POLICY_READ, ASK);
        assert_answer(p, "/four", RW, GRANT);
        assert_answer(p, "/four/no", POLICY_READ, DENY);
        assert_int_equal(policy_plan_settings(p)->open_ports[0], 8080);
        assert_string_equal(policy_plan_settings(p)->allow_domains[0], "a.example");
        assert_string_equal(policy_plan_settings(p)->deny_commands[0], "curl");
        assert_null(policy_plan_settings(p)->deny_commands[1]);
}

static void test_child_revokes_what_its_base_granted(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "base",
                      "{ \"filesystem\": { \"allow\": [\"/data\", \"/data/deep/er\", \"~/x\"] }, \"groups\": { \"include\": [\"cache\"] } }");
        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"extends\": \"base\", \"filesystem\": { \"revoke\": [\"/data\", \"~/.cache\"], \"read\": [\"/data/own\"] } }");
        p = test_compile(*state, "p");
        assert_answer(p, "/data/x", POLICY_READ, ASK);
        assert_answer(p, "/data/deep/er", POLICY_READ, ASK);
        assert_answer(p, "/data/own/y", POLICY_READ, GRANT);
        assert_answer(p, "/data/own/y", POLICY_WRITE, ASK);
        assert_answer(p, "/home/u/.cache", POLICY_READ, ASK);
        assert_answer(p, "/log", POLICY_WRITE, GRANT);
        assert_answer(p, "/home/u/x", RW, GRANT);
}

static void test_revoke_inside_a_wider_grant_is_a_deny(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "base", "{ \"filesystem\": { \"allow\": [\"~\"] } }");
        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"extends\": \"base\", \"filesystem\": { \"revoke\": [\"~/work\", \"**/.env\"], \"allow\": [\"~/work/mine\"] } }");
        p = test_compile(*state, "p");
        assert_answer(p, "/home/u/work/theirs", POLICY_READ, DENY);
        assert_answer(p, "/home/u/work", POLICY_READ, DESCEND);
        assert_answer(p, "/home/u/work/mine/x", RW, GRANT);
        assert_answer(p, "/home/u/a/.env", POLICY_READ, DENY);
        assert_answer(p, "/home/u/a/b", RW, GRANT);
}

static void test_grandchild_may_grant_what_was_revoked(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "base", "{ \"filesystem\": { \"allow\": [\"/data\"] } }");
        test_must_add(*state, POLICY_PROFILE, "mid", "{ \"extends\": \"base\", \"filesystem\": { \"revoke\": [\"/data\"] } }");
        test_must_add(*state, POLICY_PROFILE, "p", "{ \"extends\": \"mid\", \"filesystem\": { \"allow\": [\"/data\"] } }");
        p = test_compile(*state, "mid");
        assert_answer(p, "/data", POLICY_READ, ASK);
        policy_plan_free(p);
        p = test_compile(*state, "p");
        assert_answer(p, "/data", RW, GRANT);
}

static void test_earlier_exception_does_not_pass_a_later_revoke(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "base", "{ \"filesystem\": { \"allow\": [\"/\"] } }");
        test_must_add(*state, POLICY_PROFILE, "mid",
                      "{ \"extends\": \"base\", \"filesystem\": { \"revoke\": [\"/a\"], \"allow_file\": [\"/a/*/.e\"] } }");
        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"extends\": \"mid\", \"filesystem\": { \"revoke\": [\"/a/b\"], \"read\": [\"/a/b/own\"] } }");
        p = test_compile(*state, "mid");
        assert_answer(p, "/a/b/.e", RW, GRANT);
        assert_answer(p, "/a/b/x", POLICY_READ, DENY);
        policy_plan_free(p);
        p = test_compile(*state, "p");
        assert_answer(p, "/a/b/.e", POLICY_READ, DENY);
        assert_answer(p, "/a/b/own", POLICY_READ, GRANT);
}

static void test_unknown_exclusion_keeps_the_denies_of_a_group(void **state) {
        struct policy_vars nixos = test_vars;
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        nixos.distro = "nixos";
        test_must_add(*state, POLICY_GROUP, "both", "{ \"allow\": { \"read\": [\"/both\"] }, \"deny\": { \"access\": [\"/both/no\"] } }");
        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"groups\": { \"include\": [\"both\"], \"exclude\": [{ \"name\": \"both\", \"when\": \"linux:nixos\" }] } }");
        p = test_compile(*state, "p");
        assert_answer(p, "/both", POLICY_READ, ASK);
        assert_answer(p, "/both/no", POLICY_READ, DENY);
        policy_plan_free(p);
        p = test_compile_for(*state, "p", &nixos);
        assert_answer(p, "/both/no", POLICY_READ, ASK);
}

static void test_revoke_takes_the_working_directory(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "base", "{ \"workdir\": { \"access\": \"readwrite\" } }");
        test_must_add(*state, POLICY_PROFILE, "p", "{ \"extends\": \"base\", \"filesystem\": { \"revoke\": [\"$WORKDIR\"] } }");
        p = test_compile(*state, "base");
        assert_answer(p, "/home/u/project/x", RW, GRANT);
        policy_plan_free(p);
        p = test_compile(*state, "p");
        assert_answer(p, "/home/u/project/x", POLICY_READ, ASK);
}

static void test_git_stays_read_only_in_a_writable_tree(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"workdir\": { \"access\": \"readwrite\" }, \"filesystem\": { \"deny_write\": [\"$WORKDIR/.git\", \"**/.envrc\"] } }");
        p = test_compile(*state, "p");
        assert_answer(p, "/home/u/project/src", RW, GRANT);
        assert_answer(p, "/home/u/project/.git/config", POLICY_READ, GRANT);
        assert_answer(p, "/home/u/project/.git/config", POLICY_WRITE, DENY);
        assert_answer(p, "/home/u/project/a/.envrc", POLICY_WRITE, DENY);
}

#define BYPASS                                                                                     \
        "{ \"filesystem\": { \"read\": [\"~/.docker/config.json\", \"~/.history\"],"                \
        "  \"bypass_protection\": [\"~/.docker/config.json\", \"~/.history\"] } }"

static void test_system_profile_may_bypass_a_required_deny(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "p", BYPASS);
        p = test_compile(*state, "p");
        assert_answer(p, "/home/u/.docker/config.json", POLICY_READ, GRANT);
        assert_answer(p, "/home/u/.docker/config.json", POLICY_WRITE, DENY);
        assert_answer(p, "/home/u/.docker/x", POLICY_READ, DENY);
        assert_answer(p, "/home/u/.docker", POLICY_READ, DESCEND);
}

static void test_user_profile_never_lifts_a_required_deny(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        assert_int_equal(test_add(*state, POLICY_PROFILE, "p", BYPASS, true), 0);
        p = test_compile(*state, "p");
        assert_answer(p, "/home/u/.docker/config.json", POLICY_READ, DENY);
        assert_answer(p, "/home/u/.history", POLICY_READ, GRANT);
}

static void test_bypass_grants_nothing_of_its_own(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "p", "{ \"filesystem\": { \"bypass_protection\": [\"~/.docker\"] } }");
        p = test_compile(*state, "p");
        assert_answer(p, "/home/u/.docker", POLICY_READ, DENY);
}

static void test_bypass_inside_a_wider_grant(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"filesystem\": { \"read\": [\"~\"], \"bypass_protection\": [\"~/.docker\"] } }");
        p = test_compile(*state, "p");
        assert_answer(p, "/home/u/.docker/x", POLICY_READ, GRANT);
        assert_answer(p, "/home/u/.docker/x", POLICY_WRITE, DENY);
        assert_answer(p, "/home/u/.ssh/x", POLICY_READ, DENY);
}

static void test_profile_deny_survives_bypass(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"filesystem\": { \"allow\": [\"~\"], \"deny\": [\"~/.docker\"], \"bypass_protection\": [\"~/.docker\"] } }");
        p = test_compile(*state, "p");
        assert_answer(p, "/home/u/.docker", POLICY_READ, DENY);
}

static void test_predicates_choose_paths_and_groups(void **state) {
        struct policy_vars mac = test_vars, fedora = test_vars;
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        mac.macos = true;
        mac.os_version = "15.2";
        fedora.distro = "rhel";
        fedora.distro_like = "fedora centos";
        fedora.os_version = "43";
        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"groups\": { \"include\": [{ \"name\": \"cache\", \"when\": \"macos\" }] }, \"filesystem\": { \"read\": ["
                      "  { \"path\": \"/lin\", \"when\": \"linux\" }, { \"path\": \"/mac\", \"when\": \"macos:>=15\" },"
                      "  { \"path\": \"/old\", \"when\": \"macos:<15\" }, { \"path\": \"/fed\", \"when\": \"linux:fedora-like:>=43\" },"
                      "  { \"path\": \"/not\", \"when\": \"!linux:nixos\" }, { \"path\": \"/any\", \"when\": [\"macos\", \"linux\"] }],"
                      "  \"deny\": [{ \"path\": \"/hid\", \"when\": \"linux:nixos\" }] } }");
        p = test_compile(*state, "p");
        assert_answer(p, "/lin", POLICY_READ, GRANT);
        assert_answer(p, "/mac", POLICY_READ, ASK);
        assert_answer(p, "/any", POLICY_READ, GRANT);
        assert_answer(p, "/fed", POLICY_READ, ASK);
        assert_answer(p, "/not", POLICY_READ, ASK);  /* unknown: no grant */
        assert_answer(p, "/hid", POLICY_READ, DENY); /* unknown: deny */
        assert_answer(p, "/log", POLICY_WRITE, ASK);
        policy_plan_free(p);
        p = test_compile_for(*state, "p", &mac);
        assert_answer(p, "/mac", POLICY_READ, GRANT);
        assert_answer(p, "/old", POLICY_READ, ASK);
        assert_answer(p, "/not", POLICY_READ, GRANT);
        assert_answer(p, "/hid", POLICY_READ, ASK);
        assert_answer(p, "/log", POLICY_WRITE, GRANT);
        assert_answer(p, "/System", POLICY_READ, GRANT);
        policy_plan_free(p);
        p = test_compile_for(*state, "p", &fedora);
        assert_answer(p, "/fed", POLICY_READ, GRANT);
        assert_answer(p, "/not", POLICY_READ, GRANT);
        assert_answer(p, "/hid", POLICY_READ, ASK);
}

static void test_platform_overrides_come_last(void **state) {
        struct policy_vars mac = test_vars;
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        mac.macos = true;
        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"meta\": { \"description\": \"d\" }, \"binary\": \"a\","
                      "  \"platform_overrides\": { \"macos\": { \"binary\": \"b\", \"policy\": { \"add_allow_read\": [\"/m\"] } } } }");
        p = test_compile(*state, "p");
        assert_string_equal(policy_plan_settings(p)->program, "a");
        assert_string_equal(policy_plan_settings(p)->description, "d");
        policy_plan_free(p);
        p = test_compile_for(*state, "p", &mac);
        assert_string_equal(policy_plan_settings(p)->program, "b");
        assert_string_equal(policy_plan_settings(p)->description, "d");
        assert_answer(p, "/m", POLICY_READ, GRANT);
}

static void test_variables_expand(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;
        size_t n;

        test_must_add(*state, POLICY_PROFILE, "default",
                      "{ \"filesystem\": { \"read\": [\"~\", \"$HOME/a/\", \"$TMPDIR/x-$UID\", \"$XDG_CONFIG_HOME/nono\", \"$NONO_PACKAGES\","
                      "  \"$XDG_RUNTIME_DIR/unset\", \"$PACK_DIR/unset\", \"\"] } }");
        p = test_compile(*state, "default");
        assert_answer(p, "/tmp/x-1000", POLICY_READ, GRANT);
        assert_answer(p, "/home/u/.config/nono/packages", POLICY_READ, GRANT);
        policy_plan_rules(p, &n);
        assert_int_equal(n, 2 + 5);
}

static void test_bad_variables_are_an_error(void **state) {
        struct policy_vars vars = test_vars;
        struct policy_plan *p = NULL;
        struct policy_error err;

        vars.home = "/home/u/"; /* every deny below ~ would be lost */
        assert_int_equal(policy_compile(*state, "default", &vars, &p, &err), POLICY_E_INVALID);
        vars.home = "u";
        assert_int_equal(policy_compile(*state, "default", &vars, &p, &err), POLICY_E_INVALID);
        assert_non_null(strstr(err.message, "$HOME"));
}

static void test_root_as_home_works(void **state) {
        struct policy_vars vars = test_vars;
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        vars.home = "/";
        p = test_compile_for(*state, "default", &vars);
        assert_answer(p, "/.ssh/id", POLICY_READ, DENY);
}

static void test_wildcards_in_home_stay_literal(void **state) {
        struct policy_vars vars = test_vars;
        struct policy_plan *p = NULL;
        struct policy_error err;

        vars.home = "/home/*";
        p = test_compile_for(*state, "default", &vars);
        assert_answer(p, "/home/*/.ssh", POLICY_READ, DENY);
        assert_answer(p, "/home/x/.ssh", POLICY_READ, ASK);
        policy_plan_free(p);
        test_must_add(*state, POLICY_PROFILE, "p", "{ \"filesystem\": { \"allow_file\": [\"~/.x*\"] } }");
        assert_int_equal(policy_compile(*state, "p", &vars, &p, &err), POLICY_E_INVALID);
}

static void test_ceiling_denies_and_limits(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;
        struct policy_ceiling c;
        struct policy_error err;

        test_must_add(*state, POLICY_CEILING, "one",
                      "{ \"deny\": [\"/srv/secret\"], \"net_block\": true, \"grant_max_seconds\": 60, \"allowed_profiles\": [\"p\", \"q\"] }");
        test_must_add(*state, POLICY_CEILING, "two",
                      "{ \"deny_write\": [\"/srv\"], \"forbid_always\": true, \"grant_max_seconds\": 90, \"allowed_profiles\": [\"p\"] }");
        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"filesystem\": { \"allow\": [\"/srv\"], \"bypass_protection\": [\"/srv/secret\"] } }");
        test_must_add(*state, POLICY_PROFILE, "q", "{}");
        c = policy_store_ceiling(*state);
        assert_true(c.net_block && c.forbid_always);
        assert_int_equal(c.grant_max_us, 60 * 1000000);
        assert_int_equal(c.session_max_us, 0);
        p = test_compile(*state, "p");
        assert_true(policy_plan_settings(p)->net_block);
        assert_answer(p, "/srv/x", POLICY_READ, GRANT);
        assert_answer(p, "/srv/x", POLICY_WRITE, DENY);
        assert_answer(p, "/srv/secret/x", POLICY_READ, DENY);
        assert_int_equal(policy_verdict(p, "/srv/secret", POLICY_READ).rule->origin, POLICY_FROM_CEILING);
        assert_int_equal(compile_error(*state, "q", &err), POLICY_E_LIMIT);
}

static void test_project_profile_only_narrows(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"meta\": { \"description\": \"d\" }, \"workdir\": { \"access\": \"read\" }, \"filesystem\": { \"allow\": [\"/data\"] } }");
        assert_int_equal(test_add(*state, POLICY_PROJECT, "project",
                                  "{ \"filesystem\": { \"deny\": [\"**/.env\"], \"revoke\": [\"/data/x\"] },"
                                  "  \"network\": { \"block\": true }, \"workdir\": { \"access\": \"readwrite\" } }", true), 0);
        p = test_compile(*state, "p");
        assert_int_equal(policy_plan_settings(p)->workdir, POLICY_WORKDIR_READ);
        assert_string_equal(policy_plan_settings(p)->description, "d");
        assert_true(policy_plan_settings(p)->net_block);
        assert_answer(p, "/home/u/project/.env", POLICY_READ, DENY);
        assert_answer(p, "/data/x", POLICY_READ, DENY);
        assert_answer(p, "/data/y", RW, GRANT);
}

static void test_network_profile_becomes_hosts(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;
        const char *const *hosts;
        struct policy_error err;

        test_must_add(*state, POLICY_NETWORK, "net",
                      "{ \"groups\": { \"g\": { \"hosts\": [\"a.example\"], \"suffixes\": [\".b.example\", \"c.example\"] } },"
                      "  \"profiles\": { \"np\": { \"groups\": [\"g\"] }, \"bad\": { \"groups\": [\"none\"] } } }");
        test_must_add(*state, POLICY_PROFILE, "base", "{ \"network\": { \"network_profile\": \"np\", \"allow_domain\": [\"d.example\"] } }");
        test_must_add(*state, POLICY_PROFILE, "p", "{ \"extends\": \"base\", \"network\": { \"network_profile\": null } }");
        p = test_compile(*state, "base");
        hosts = policy_plan_settings(p)->allow_domains;
        assert_string_equal(hosts[0], "a.example");
        assert_string_equal(hosts[1], "*.b.example");
        assert_string_equal(hosts[2], "*.c.example");
        assert_string_equal(hosts[3], "d.example");
        assert_null(hosts[4]);
        policy_plan_free(p);
        p = test_compile(*state, "p");
        assert_string_equal(policy_plan_settings(p)->allow_domains[0], "d.example");
        test_must_add(*state, POLICY_PROFILE, "q", "{ \"network\": { \"network_profile\": \"bad\" } }");
        assert_int_equal(compile_error(*state, "q", &err), POLICY_E_INVALID);
        test_must_add(*state, POLICY_PROFILE, "q", "{ \"network\": { \"network_profile\": \"none\" } }");
        assert_int_equal(compile_error(*state, "q", &err), POLICY_E_INVALID);
}

static void test_empty_allow_vars_differs_from_absent(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "p", "{ \"environment\": { \"allow_vars\": [] } }");
        p = test_compile(*state, "p");
        assert_non_null(policy_plan_settings(p)->allow_vars);
        assert_null(policy_plan_settings(p)->allow_vars[0]);
}

static void test_unix_sockets_imply_grants(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;

        test_must_add(*state, POLICY_PROFILE, "p",
                      "{ \"filesystem\": { \"unix_socket\": [\"/run/a.sock\"], \"unix_socket_dir\": [\"/run/d\"], \"unix_socket_subtree\": [\"/run/t\"] } }");
        p = test_compile(*state, "p");
        assert_answer(p, "/run/a.sock", RW, GRANT);
        assert_answer(p, "/run/d", POLICY_READ, DESCEND);
        assert_answer(p, "/run/d/s", RW, GRANT);
        assert_answer(p, "/run/d/e/s", RW, ASK);
        assert_answer(p, "/run/t/e/s", RW, GRANT);
}

static void test_too_many_rules_are_refused(void **state) {
        static char text[POLICY_RULES_MAX * 16 + 256];
        size_t n = (size_t)snprintf(text, sizeof(text), "{ \"filesystem\": { \"read\": [\"/x\"");
        struct policy_error err;

        for (int i = 0; i < POLICY_RULES_MAX; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, ",\n\"/a/%d\"", i);
        (void)snprintf(text + n, sizeof(text) - n, "] } }");
        test_must_add(*state, POLICY_PROFILE, "p", text);
        assert_int_equal(compile_error(*state, "p", &err), POLICY_E_LIMIT);
        assert_true(err.line > 4000);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup_store, teardown_store)
        const struct CMUnitTest tests[] = {
                T(test_required_denies_are_in_every_plan),
                T(test_required_group_cannot_be_excluded),
                T(test_optional_group_can_be_excluded),
                T(test_unknown_group_is_an_error_where_it_is_named),
                T(test_default_is_inherited_unnamed),
                T(test_bases_fold_left_to_right_child_last),
                T(test_extends_of_itself_is_an_error),
                T(test_extends_is_ten_levels_deep_at_most),
                T(test_missing_profile_and_missing_base),
                T(test_diamond_counts_its_base_once),
                T(test_historic_keys_mean_the_same),
                T(test_child_revokes_what_its_base_granted),
                T(test_revoke_inside_a_wider_grant_is_a_deny),
                T(test_grandchild_may_grant_what_was_revoked),
                T(test_earlier_exception_does_not_pass_a_later_revoke),
                T(test_unknown_exclusion_keeps_the_denies_of_a_group),
                T(test_revoke_takes_the_working_directory),
                T(test_git_stays_read_only_in_a_writable_tree),
                T(test_system_profile_may_bypass_a_required_deny),
                T(test_user_profile_never_lifts_a_required_deny),
                T(test_bypass_grants_nothing_of_its_own),
                T(test_bypass_inside_a_wider_grant),
                T(test_profile_deny_survives_bypass),
                T(test_predicates_choose_paths_and_groups),
                T(test_platform_overrides_come_last),
                T(test_variables_expand),
                T(test_bad_variables_are_an_error),
                T(test_root_as_home_works),
                T(test_wildcards_in_home_stay_literal),
                T(test_ceiling_denies_and_limits),
                T(test_project_profile_only_narrows),
                T(test_network_profile_becomes_hosts),
                T(test_empty_allow_vars_differs_from_absent),
                T(test_unix_sockets_imply_grants),
                T(test_too_many_rules_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
