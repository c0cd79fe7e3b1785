/*
 * Shown profiles: the keys scripts rely on, what was revoked is gone, and a shown file is a profile again.
 */
#include <dirent.h>
#include <stdlib.h>

#include "daemon/policy/show.h"
#include "tests/unit/policy/policy-test.h"

static void add_directory(struct policy_store *s, enum policy_kind kind, const char *directory) {
        _cleanup_closedir_ DIR *d = NULL;
        const struct dirent *entry;
        char path[600];

        (void)snprintf(path, sizeof(path), TEST_SOURCE_ROOT "/policy.d/%s", directory);
        d = opendir(path);
        assert_non_null(d);
        while ((entry = readdir(d))) {
                _cleanup_fclose_ FILE *f = NULL;
                static char text[64 * 1024];
                char name[256];
                size_t n = strlen(entry->d_name);

                if (n < 6 || strcmp(entry->d_name + n - 5, ".json") != 0)
                        continue;
                (void)snprintf(name, sizeof(name), "%.*s", (int)n - 5, entry->d_name);
                (void)snprintf(path, sizeof(path), TEST_SOURCE_ROOT "/policy.d/%s/%s", directory, entry->d_name);
                f = fopen(path, "re");
                n = fread(text, 1, sizeof(text) - 1, f);
                text[n] = '\0';
                test_must_add(s, kind, name, text);
        }
}

static int setup_shipped(void **state) {
        struct policy_store *s = policy_store_new();

        add_directory(s, POLICY_GROUP, "groups");
        add_directory(s, POLICY_PROFILE, "profiles");
        add_directory(s, POLICY_NETWORK, "network");
        *state = s;
        return 0;
}

static int teardown_shipped(void **state) {
        policy_store_free(*state);
        return 0;
}

static json_t *show(const struct policy_store *s, const char *name) {
        struct policy_error err = { .line = 0 };
        json_t *out = NULL;

        if (show_profile(s, name, &test_vars, &out, &err))
                fail_msg("%s: %s:%u: %s", name, err.source, err.line, err.message);
        return out;
}

static json_t *show_file(const struct policy_store *s, const char *name) {
        struct policy_error err = { .line = 0 };
        json_t *out = NULL;

        if (show_profile_file(s, name, &test_vars, &out, &err))
                fail_msg("%s: %s:%u: %s", name, err.source, err.line, err.message);
        return out;
}

static json_t *at(json_t *o, const char *path) {
        char key[64];

        while (*path) {
                size_t n = strcspn(path, ".");

                (void)snprintf(key, sizeof(key), "%.*s", (int)n, path);
                o = json_object_get(o, key);
                path += n + (path[n] == '.');
        }
        if (!o)
                fail_msg("no %s", key);
        return o;
}

static bool has(json_t *list, const char *s) {
        size_t i;
        json_t *item;

        json_array_foreach(list, i, item)
                if (json_is_string(item) && strcmp(json_string_value(item), s) == 0)
                        return true;
        return false;
}

static void test_show_has_the_keys_of_both_periods(void **state) {
        static const char *const keys[] = {
                "name", "description", "extends", "security.groups", "security.allowed_commands", "security.signal_mode",
                "groups.include", "groups.exclude", "commands.allow", "filesystem.allow", "filesystem.read",
                "filesystem.write", "filesystem.allow_file", "filesystem.read_file", "filesystem.write_file",
                "filesystem.deny", "filesystem.bypass_protection", "policy.exclude_groups", "policy.add_allow_read",
                "policy.add_allow_write", "policy.add_allow_readwrite", "policy.add_deny_access", "policy.override_deny",
                "network.block", "network.network_profile", "network.allow_domain", "network.credentials",
                "network.open_port", "network.listen_port", "workdir.access", "rollback.exclude_patterns",
                "rollback.exclude_globs", "open_urls.allow_origins", "allow_launch_services",
        };
        json_t *o = show(*state, "claude-code");

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                (void)at(o, keys[i]);
        assert_true(has(at(o, "groups.include"), "deny_credentials"));
        assert_true(has(at(o, "security.groups"), "claude_code_linux"));
        assert_true(has(at(o, "filesystem.allow"), "$HOME/.claude"));
        assert_true(has(at(o, "extends"), "default"));
        assert_string_equal(json_string_value(at(o, "workdir.access")), "readwrite");
        json_decref(o);
}

static void test_groups_are_counted_and_detailed(void **state) {
        json_t *all, *here, *group;

        assert_int_equal(show_groups(*state, &test_vars, true, &all), 0);
        assert_int_equal(show_groups(*state, &test_vars, false, &here), 0);
        assert_int_equal(json_array_size(all), 43);
        assert_int_equal(json_array_size(here), 43 - 12);
        group = json_array_get(here, 0);
        assert_string_equal(json_string_value(at(group, "name")), "bun_runtime");
        assert_string_equal(json_string_value(at(group, "platform")), "cross-platform");
        assert_int_equal(json_integer_value(at(group, "allow.read")), 1);
        assert_int_equal(json_object_size(at(group, "deny")), 0);
        json_decref(all);
        json_decref(here);
        assert_int_equal(show_group(*state, "deny_shell_history", &test_vars, &group), 0);
        assert_string_equal(json_string_value(at(json_array_get(at(group, "deny.access"), 0), "raw")), "~/.bash_history");
        assert_string_equal(json_string_value(at(json_array_get(at(group, "deny.access"), 0), "expanded")),
                            "/home/u/.bash_history");
        assert_null(json_object_get(group, "allow"));
        json_decref(group);
        assert_int_equal(show_group(*state, "nothing", &test_vars, &group), POLICY_E_NOT_FOUND);
}

static void test_revoked_paths_are_not_shown(void **state) {
        json_t *o;

        test_must_add(*state, POLICY_PROFILE, "less",
                      "{ \"extends\": \"claude-code\", \"filesystem\": { \"revoke\": [\"~/.cache\"], \"read\": [\"~/.cache/own\"] } }");
        o = show(*state, "less");
        assert_false(has(at(o, "filesystem.allow"), "$HOME/.cache/claude"));
        assert_true(has(at(o, "filesystem.allow"), "$HOME/.claude"));
        assert_true(has(at(o, "filesystem.read"), "~/.cache/own"));
        json_decref(o);
}

static void test_shown_file_is_a_profile_again(void **state) {
        _cleanup_free_ const char **names = NULL;
        size_t n;

        assert_int_equal(policy_store_names(*state, POLICY_PROFILE, &names, &n), 0);
        for (size_t i = 0; i < n; i++) {
                json_t *first = show_file(*state, names[i]), *second;
                _cleanup_(policy_plan_freep) struct policy_plan *before = test_compile(*state, names[i]), *after = NULL;
                char name[128];
                char *text;
                size_t n_before, n_after;

                (void)snprintf(name, sizeof(name), "again-%s", names[i]);
                json_object_set_new(json_object_get(first, "meta"), "name", json_string(name));
                text = json_dumps(first, JSON_INDENT(4));
                test_must_add(*state, POLICY_PROFILE, name, text);
                second = show_file(*state, name);
                if (!json_equal(first, second))
                        fail_msg("%s is not stable", names[i]);
                after = test_compile(*state, name);
                policy_plan_rules(before, &n_before);
                policy_plan_rules(after, &n_after);
                assert_int_equal(n_before, n_after);
                free(text);
                json_decref(first);
                json_decref(second);
        }
}

static void test_diff_names_what_differs(void **state) {
        struct policy_error err;
        json_t *diff;

        assert_int_equal(show_diff(*state, "python-dev", "node-dev", &test_vars, &diff, &err), 0);
        assert_string_equal(json_string_value(at(diff, "profile1")), "python-dev");
        assert_true(has(at(diff, "groups.added"), "node_runtime"));
        assert_true(has(at(diff, "groups.removed"), "python_runtime"));
        assert_true(json_is_false(at(diff, "workdir.changed")));
        assert_true(json_is_false(at(diff, "network.block.changed")));
        assert_int_equal(json_array_size(at(diff, "filesystem.allow.added")), 0);
        assert_int_equal(json_array_size(at(diff, "allowed_commands.added")), 0);
        assert_false(show_diff_is_empty(diff));
        json_decref(diff);
        assert_int_equal(show_diff(*state, "codex", "codex", &test_vars, &diff, &err), 0);
        assert_true(show_diff_is_empty(diff));
        json_decref(diff);
        assert_int_equal(show_diff(*state, "codex", "nope", &test_vars, &diff, &err), POLICY_E_NOT_FOUND);
        assert_int_equal(show_diff(*state, "default", "claude-code", &test_vars, &diff, &err), 0);
        assert_true(has(at(diff, "filesystem.allow.added"), "$HOME/.claude"));
        assert_true(json_is_true(at(diff, "workdir.changed")));
        json_decref(diff);
}

static void test_plan_survives_a_file(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *plan = test_compile(*state, "claude-code"), *again = NULL;
        json_t *o = show_plan(plan), *second;
        char *text = json_dumps(o, 0);
        struct policy_error err;

        assert_int_equal(show_plan_load(text, strlen(text), "state", &again, &err), 0);
        second = show_plan(again);
        json_object_del(o, "workdir");
        json_object_del(second, "workdir");
        assert_true(json_equal(o, second));
        json_decref(o);
        json_decref(second);
        free(text);
        again = policy_plan_free(again);
        text = (char *)"{ \"rules\": [{ \"effect\": \"allow\", \"origin\": \"profile\", \"access\": \"read\", \"path\": \"a/..\" }] }";
        assert_int_equal(show_plan_load(text, strlen(text), "state", &again, &err), POLICY_E_INVALID);
}

static void test_host_patterns(void **state) {
        assert_true(policy_host_match("a.example", "A.Example."));
        assert_true(policy_host_match("*.a.example", "x.y.a.example"));
        assert_false(policy_host_match("*.a.example", "a.example"));
        assert_false(policy_host_match("*.a.example", "ba.example"));
        assert_false(policy_host_match("a.example", "xa.example"));
        assert_false(policy_host_match("a.example", ""));
        assert_false(policy_host_match("*.", "a."));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_show_has_the_keys_of_both_periods, setup_shipped, teardown_shipped),
                cmocka_unit_test_setup_teardown(test_groups_are_counted_and_detailed, setup_shipped, teardown_shipped),
                cmocka_unit_test_setup_teardown(test_revoked_paths_are_not_shown, setup_shipped, teardown_shipped),
                cmocka_unit_test_setup_teardown(test_shown_file_is_a_profile_again, setup_shipped, teardown_shipped),
                cmocka_unit_test(test_host_patterns),
                cmocka_unit_test_setup_teardown(test_plan_survives_a_file, setup_shipped, teardown_shipped),
                cmocka_unit_test_setup_teardown(test_diff_names_what_differs, setup_shipped, teardown_shipped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
