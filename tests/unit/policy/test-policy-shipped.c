/*
 * The files of policy.d, against the facts about nono and on both platforms; nono's own profiles of all
 * periods, rendered to files.
 */
#include <dirent.h>
#include <stdlib.h>
#include <time.h>

#include <jansson.h>

#include "daemon/policy/arena.h"
#include "daemon/policy/node.h"
#include "daemon/policy/store.h"
#include "tests/unit/policy/policy-test.h"

static json_t *facts(const char *name) {
        char path[512];
        json_error_t e;
        json_t *json;

        (void)snprintf(path, sizeof(path), TEST_SOURCE_ROOT "/tests/data/policy/%s", name);
        json = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
        if (!json)
                fail_msg("%s:%d: %s", path, e.line, e.text);
        return json;
}

static char *slurp(const char *path, size_t *ret_n) {
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        char *text = calloc(1, POLICY_TEXT_MAX + 1);

        if (!f)
                fail_msg("%s", path);
        *ret_n = fread(text, 1, POLICY_TEXT_MAX, f);
        return text;
}

static size_t add_directory(struct policy_store *s, enum policy_kind kind, const char *directory) {
        _cleanup_closedir_ DIR *d = NULL;
        const struct dirent *entry;
        char path[600];
        size_t n_files = 0;

        (void)snprintf(path, sizeof(path), TEST_SOURCE_ROOT "/policy.d/%s", directory);
        d = opendir(path);
        assert_non_null(d);
        while ((entry = readdir(d))) {
                _cleanup_free_ char *text = NULL;
                struct policy_error err;
                char name[256];
                size_t n = strlen(entry->d_name);

                if (n < 6 || strcmp(entry->d_name + n - 5, ".json") != 0)
                        continue;
                (void)snprintf(name, sizeof(name), "%.*s", (int)n - 5, entry->d_name);
                (void)snprintf(path, sizeof(path), TEST_SOURCE_ROOT "/policy.d/%s/%s", directory, entry->d_name);
                text = slurp(path, &n);
                if (policy_store_add(s, kind, name, text, n, path, false, &err))
                        fail_msg("%s:%u:%u: %s", err.source, err.line, err.column, err.message);
                n_files++;
        }
        return n_files;
}

static int setup_shipped(void **state) {
        struct policy_store *s = policy_store_new();

        assert_int_equal(add_directory(s, POLICY_GROUP, "groups"), 43);
        assert_int_equal(add_directory(s, POLICY_PROFILE, "profiles"), 13);
        assert_int_equal(add_directory(s, POLICY_NETWORK, "network"), 3);
        *state = s;
        return 0;
}

static int teardown_shipped(void **state) {
        policy_store_free(*state);
        return 0;
}

static void assert_same_list(const char *name, const json_t *want, const struct node *have) {
        const struct node *item = have ? have->child : NULL;
        size_t i;
        const json_t *s;

        if (json_array_size(want) != (have ? have->n_children : 0))
                fail_msg("%s: other length", name);
        json_array_foreach(want, i, s) {
                if (strcmp(json_string_value(s), item->string) != 0)
                        fail_msg("%s: '%s' instead of '%s'", name, item->string, json_string_value(s));
                item = item->next;
        }
}

static void test_groups_equal_the_facts(void **state) {
        json_t *root = facts("nono-groups.json"), *group;
        size_t i;

        assert_int_equal(json_array_size(json_object_get(root, "groups")), 42);
        json_array_foreach(json_object_get(root, "groups"), i, group) {
                const char *name = json_string_value(json_object_get(group, "name")), *platform;
                const struct store_object *o = store_find(*state, POLICY_GROUP, name);
                const json_t *pairs = json_object_get(group, "symlink_pairs");

                if (!o)
                        fail_msg("group %s is missing", name);
                platform = node_string(node_get(o->root, "platform"));
                assert_string_equal(platform ? platform : "any", json_string_value(json_object_get(group, "platform")));
                assert_int_equal(node_true(node_get(o->root, "required")), json_is_true(json_object_get(group, "required")));
                assert_same_list(name, json_object_get(group, "read"), node_get_path(o->root, "allow.read"));
                assert_same_list(name, json_object_get(group, "write"), node_get_path(o->root, "allow.write"));
                assert_same_list(name, json_object_get(group, "readwrite"), node_get_path(o->root, "allow.readwrite"));
                assert_same_list(name, json_object_get(group, "deny"), node_get_path(o->root, "deny.access"));
                assert_same_list(name, json_object_get(group, "deny_commands"), node_get_path(o->root, "deny.commands"));
                assert_int_equal(node_true(node_get_path(o->root, "deny.unlink")),
                                 json_is_true(json_object_get(group, "deny_unlink")));
                assert_int_equal(json_object_size(pairs), node_get(o->root, "symlink_pairs") ?
                                                                  node_get(o->root, "symlink_pairs")->n_children : 0);
        }
        json_decref(root);
}

static void test_network_lists_equal_the_facts(void **state) {
        const struct store_object *groups = store_find(*state, POLICY_NETWORK, "groups");
        const struct store_object *profiles = store_find(*state, POLICY_NETWORK, "profiles");
        json_t *root = facts("nono-groups.json"), *one;
        size_t i;

        json_array_foreach(json_object_get(root, "network_groups"), i, one) {
                const char *name = json_string_value(json_object_get(one, "name"));
                const struct node *have = node_get(node_get(groups->root, "groups"), name);

                assert_same_list(name, json_object_get(one, "hosts"), node_get(have, "hosts"));
                assert_same_list(name, json_object_get(one, "suffixes"), node_get(have, "suffixes"));
        }
        json_array_foreach(json_object_get(root, "network_profiles"), i, one) {
                const char *name = json_string_value(json_object_get(one, "name"));

                assert_same_list(name, json_object_get(one, "groups"),
                                 node_get(node_get(node_get(profiles->root, "profiles"), name), "groups"));
        }
        json_decref(root);
}

static void test_default_has_the_groups_of_nono_and_ours(void **state) {
        const struct node *include = node_get_path(store_find(*state, POLICY_PROFILE, "default")->root, "groups.include");
        json_t *root = facts("nono-groups.json"), *group;
        size_t i, n = 0;

        json_array_foreach(json_object_get(root, "groups"), i, group) {
                const char *name = json_string_value(json_object_get(group, "name"));
                bool found = false;

                node_foreach(item, include)
                        found |= strcmp(item->string, name) == 0;
                assert_int_equal(found, json_is_true(json_object_get(group, "in_default_profile")));
                n += found;
        }
        assert_int_equal(include->n_children, n + 1); /* linux_base */
        json_decref(root);
}

static void test_every_profile_compiles_on_both_platforms(void **state) {
        _cleanup_free_ const char **names = NULL;
        struct policy_vars mac = test_vars;
        size_t n;

        mac.macos = true;
        mac.home = "/Users/u";
        assert_int_equal(policy_store_names(*state, POLICY_PROFILE, &names, &n), 0);
        for (size_t i = 0; i < n; i++) {
                policy_plan_free(test_compile(*state, names[i]));
                policy_plan_free(test_compile_for(*state, names[i], &mac));
        }
}

static void test_secrets_are_denied_and_named_in_every_profile(void **state) {
        static const char *const secrets[] = {
                "/home/u/.ssh/id_ed25519", "/home/u/.aws/credentials", "/home/u/.npmrc", "/home/u/.bash_history",
                "/home/u/.bashrc", "/home/u/.config/op/config", "/home/u/.mozilla/firefox/x", "/home/u/.env",
        };
        _cleanup_free_ const char **names = NULL;
        size_t n;

        assert_int_equal(policy_store_names(*state, POLICY_PROFILE, &names, &n), 0);
        for (size_t i = 0; i < n; i++) {
                _cleanup_(policy_plan_freep) struct policy_plan *p = test_compile(*state, names[i]);

                for (size_t k = 0; k < ELEMENTSOF(secrets); k++) {
                        struct policy_verdict v = policy_verdict(p, secrets[k], POLICY_READ);

                        assert_int_equal(v.answer, POLICY_ANSWER_DENY);
                        assert_int_equal(v.rule->origin, POLICY_FROM_REQUIRED_GROUP);
                        assert_true(v.rule->line > 0);
                        assert_non_null(strstr(v.rule->source, "policy.d/groups/deny_"));
                }
                assert_answer(p, "/etc/shadow", POLICY_READ, ASK);
                assert_answer(p, "/etc/passwd", POLICY_READ, GRANT);
                assert_answer(p, "/usr/bin/env", POLICY_READ, GRANT);
        }
}

static void test_claude_code_has_what_it_needs(void **state) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = test_compile(*state, "claude-code");

        assert_string_equal(policy_plan_settings(p)->program, "claude");
        assert_int_equal(policy_plan_settings(p)->workdir, POLICY_WORKDIR_READWRITE);
        assert_answer(p, "/home/u/project/src/a.c", RW, GRANT);
        assert_answer(p, "/home/u/.claude/projects/x", RW, GRANT);
        assert_answer(p, "/home/u/.claude.json", RW, GRANT);
        assert_answer(p, "/home/u/.claude.json.tmp.77.ab12", RW, GRANT);
        assert_answer(p, "/home/u/.claude.json.backup", RW, GRANT);
        assert_answer(p, "/home/u/.claude.json.lock", RW, GRANT);
        assert_answer(p, "/home/u/.gitconfig", POLICY_READ, GRANT);
        assert_answer(p, "/home/u/.gitconfig", POLICY_WRITE, ASK);
        assert_answer(p, "/home/u/.local/share/claude/versions/1", POLICY_READ, GRANT);
        assert_answer(p, "/home/u", POLICY_READ, DESCEND);
        assert_answer(p, "/home/u/Documents", POLICY_READ, ASK);
        assert_answer(p, "/home/u/.vscode", RW, ASK);
        assert_true(policy_plan_settings(p)->allow_domains != NULL);
}

static void test_keychain_is_bypassed_on_macos_only_where_named(void **state) {
        struct policy_vars mac = test_vars;
        _cleanup_(policy_plan_freep) struct policy_plan *claude = NULL, *codex = NULL, *node = NULL;

        mac.macos = true;
        mac.home = "/Users/u";
        claude = test_compile_for(*state, "claude-code", &mac);
        codex = test_compile_for(*state, "codex", &mac);
        node = test_compile_for(*state, "node-dev", &mac);
        assert_answer(claude, "/Users/u/Library/Keychains/x", RW, GRANT);
        assert_answer(codex, "/Users/u/Library/Keychains/login.keychain-db", RW, GRANT);
        assert_answer(codex, "/Users/u/Library/Keychains/other", POLICY_READ, DENY);
        assert_answer(node, "/Users/u/Library/Keychains/x", POLICY_READ, DENY);
}

/* "PATH [when macos]" of the facts file, as a file would say it. */
static json_t *render_path(const char *text) {
        const char *mark = strstr(text, " [when ");
        json_t *item;

        if (!mark)
                return json_string(text);
        item = json_object();
        json_object_set_new(item, "path", json_stringn(text, (size_t)(mark - text)));
        json_object_set_new(item, "when", json_stringn(mark + 7, strlen(mark) - 8));
        return item;
}

static json_t *render_paths(const json_t *list) {
        json_t *out = json_array(), *item;
        size_t i;

        json_array_foreach(list, i, item)
                json_array_append_new(out, render_path(json_string_value(item)));
        return out;
}

/* @old: the keys of March 2026. */
static char *render_profile(const json_t *p, bool old) {
        static const char *const paths[] = {
                "allow", "read", "write", "allow_file", "read_file", "deny", "bypass_protection", "suppress_save_prompt",
        };
        static const char *const whole[] = {
                "open_urls", "allow_launch_services", "allow_gpu", "session_hooks", "diagnostics", "environment",
                "unsafe_macos_seatbelt_rules",
        };
        json_t *out = json_object(), *fs = json_object(), *security = json_object(), *network = json_object();
        char *text;

        json_object_set_new(out, "meta", json_pack("{s:O, s:O}", "name", json_object_get(p, "name"), "description",
                                                   json_object_get(p, "description")));
        json_object_set(out, "extends", json_object_get(p, "extends"));
        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                if (json_array_size(json_object_get(p, paths[i])))
                        json_object_set_new(fs, paths[i], render_paths(json_object_get(p, paths[i])));
        for (size_t i = 0; i < ELEMENTSOF(whole); i++)
                if (json_object_get(p, whole[i]))
                        json_object_set(out, whole[i], json_object_get(p, whole[i]));
        if (old)
                json_object_set(security, "groups", json_object_get(p, "groups"));
        else
                json_object_set_new(out, "groups", json_pack("{s:O}", "include", json_object_get(p, "groups")));
        if (old && json_object_get(fs, "bypass_protection")) {
                json_object_set_new(out, "policy",
                                    json_pack("{s:O}", "override_deny", json_object_get(fs, "bypass_protection")));
                json_object_del(fs, "bypass_protection");
        }
        json_object_set(security, "signal_mode", json_object_get(p, "signal_mode"));
        json_object_set(security, "ipc_mode", json_object_get(p, "ipc_mode"));
        json_object_set(security, "capability_elevation", json_object_get(p, "capability_elevation"));
        json_object_set(network, "block", json_object_get(p, "network_block"));
        json_object_set(network, "network_profile", json_object_get(p, "network_profile"));
        json_object_set_new(out, "filesystem", fs);
        json_object_set_new(out, "security", security);
        json_object_set_new(out, "network", network);
        json_object_set_new(out, "workdir", json_pack("{s:O}", "access", json_object_get(p, "workdir")));
        json_object_set(out, old ? "undo" : "rollback", json_object_get(p, "rollback_exclude"));
        json_object_set(out, "interactive", json_object_get(p, "interactive_legacy"));
        json_object_set(out, "hooks", json_object_get(p, "hooks"));
        text = json_dumps(out, JSON_INDENT(2));
        json_decref(out);
        return text;
}

static void add_retired_groups(struct policy_store *s) {
        json_t *root = facts("nono-groups.json"), *group;
        size_t i;

        json_array_foreach(json_object_get(root, "retired_groups"), i, group) {
                json_t *out = json_pack("{s:O, s:{s:O}}", "platform", json_object_get(group, "platform"), "allow", "read",
                                        json_object_get(group, "read"));
                char *text = json_dumps(out, 0);

                test_must_add(s, POLICY_GROUP, json_string_value(json_object_get(group, "name")), text);
                free(text);
                json_decref(out);
        }
        json_decref(root);
}

static void test_profiles_of_all_periods_load_and_compile(void **state) {
        static const char *const sections[] = { "built_in", "historic", "packs" };
        json_t *root = facts("nono-profiles.json"), *p;
        struct policy_vars mac = test_vars;
        size_t i, n = 0;

        mac.macos = true;
        for (size_t k = 0; k < ELEMENTSOF(sections); k++)
                json_array_foreach(json_object_get(root, sections[k]), i, p) {
                        bool old = strstr(json_string_value(json_object_get(p, "source")), "v0.2");
                        _cleanup_(policy_store_freep) struct policy_store *s = policy_store_new();
                        const char *name = json_string_value(json_object_get(p, "name"));
                        _cleanup_free_ char *text = render_profile(p, old);

                        add_directory(s, POLICY_GROUP, "groups");
                        add_directory(s, POLICY_NETWORK, "network");
                        add_retired_groups(s);
                        /* Names that packs extend. */
                        test_must_add(s, POLICY_PROFILE, "default", "{}");
                        test_must_add(s, POLICY_PROFILE, "claude", "{}");
                        test_must_add(s, POLICY_PROFILE, "copilot-base", "{}");
                        if (test_add(s, POLICY_PROFILE, name, text, true))
                                fail_msg("%s (%s)", name, sections[k]);
                        policy_plan_free(test_compile(s, name));
                        policy_plan_free(test_compile_for(s, name, &mac));
                        n++;
                }
        assert_int_equal(n, 9 + 25 + 13);
        json_decref(root);
}

static void test_time_to_load_and_compile_claude_code(void **state) {
        static const char *const chain[] = { "default", "claude-code" };
        struct timespec start, loaded, end;
        struct policy_plan *p;
        size_t n;
        double best_load = 1e9, best_compile = 1e9;

        for (int round = 0; round < 20; round++) {
                _cleanup_(policy_store_freep) struct policy_store *s = policy_store_new();

                (void)clock_gettime(CLOCK_MONOTONIC, &start);
                for (size_t i = 0; i < ELEMENTSOF(chain); i++) {
                        _cleanup_free_ char *text = NULL;
                        char path[512];

                        (void)snprintf(path, sizeof(path), TEST_SOURCE_ROOT "/policy.d/profiles/%s.json", chain[i]);
                        text = slurp(path, &n);
                        assert_int_equal(policy_store_add(s, POLICY_PROFILE, chain[i], text, n, path, false, NULL), 0);
                }
                (void)clock_gettime(CLOCK_MONOTONIC, &loaded);
                p = test_compile(*state, "claude-code");
                (void)clock_gettime(CLOCK_MONOTONIC, &end);
                policy_plan_rules(p, &n);
                policy_plan_free(p);
                best_load = MIN_OF(best_load, (double)(loaded.tv_sec - start.tv_sec) * 1e3 +
                                                      (double)(loaded.tv_nsec - start.tv_nsec) / 1e6);
                best_compile = MIN_OF(best_compile, (double)(end.tv_sec - loaded.tv_sec) * 1e3 +
                                                            (double)(end.tv_nsec - loaded.tv_nsec) / 1e6);
        }
        print_message("claude-code: load %.3f ms, compile %.3f ms, %zu rules\n", best_load, best_compile, n);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_groups_equal_the_facts),
                cmocka_unit_test(test_network_lists_equal_the_facts),
                cmocka_unit_test(test_default_has_the_groups_of_nono_and_ours),
                cmocka_unit_test(test_every_profile_compiles_on_both_platforms),
                cmocka_unit_test(test_secrets_are_denied_and_named_in_every_profile),
                cmocka_unit_test(test_claude_code_has_what_it_needs),
                cmocka_unit_test(test_keychain_is_bypassed_on_macos_only_where_named),
                cmocka_unit_test(test_profiles_of_all_periods_load_and_compile),
                cmocka_unit_test(test_time_to_load_and_compile_claude_code),
        };

        return cmocka_run_group_tests(tests, setup_shipped, teardown_shipped);
}
