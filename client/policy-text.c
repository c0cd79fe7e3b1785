/*
 * Groups, profiles and differences for people: sections with a head and indented lines. What is empty is
 * left out.
 * Runs as: the user.   Input: JSON made by daemon/policy/show.c; its strings are foreign and escaped here.
 */
#include <stdio.h>
#include <string.h>

#include "client/out.h"
#include "client/policy-verbs.h"
#include "client/say.h"
#include "daemon/policy/show.h"

static const char *text_of(const json_t *o, const char *key) {
        const char *s = json_string_value(json_object_get(o, key));

        return s ? s : "";
}

/* A list item on one line: strings as they are, anything else as compact JSON. */
static char *text_item(const json_t *item) {
        _cleanup_free_ char *dump = NULL;

        if (json_is_string(item))
                return out_escaped(json_string_value(item));
        dump = mem_need(json_dumps(item, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII));
        return out_escaped(dump);
}

static void text_field(const char *head, const char *value) {
        _cleanup_free_ char *shown = out_escaped(value);

        if (*value)
                printf("%s: %s\n", head, shown);
}

static void text_list(const char *head, const json_t *list) {
        size_t i;
        json_t *item;

        if (!json_array_size(list))
                return;
        printf("\n%s:\n", head);
        json_array_foreach(list, i, item) {
                _cleanup_free_ char *line = text_item(item);

                printf("  %s\n", line);
        }
}

/* "raw -> expanded" where these differ. */
static void text_path(const char *raw, const char *expanded, const json_t *when) {
        _cleanup_free_ char *shown = out_escaped(raw), *full = expanded ? out_escaped(expanded) : NULL;
        _cleanup_free_ char *condition = when ? text_item(when) : NULL;

        printf("  %s", shown);
        if (full && strcmp(shown, full) != 0)
                printf(" -> %s", full);
        if (condition)
                printf("  [when %s]", condition);
        putchar('\n');
}

static void text_expanded_paths(const json_t *section, const char *name, const char *key) {
        const json_t *list = json_object_get(section, key);
        size_t i;
        json_t *item;

        if (!json_array_size(list))
                return;
        printf("\n%s.%s:\n", name, key);
        json_array_foreach(list, i, item)
                text_path(text_of(item, "raw"), text_of(item, "expanded"), json_object_get(item, "when"));
}

void policy_text_group(const json_t *group) {
        const json_t *allow = json_object_get(group, "allow"), *deny = json_object_get(group, "deny");
        json_t *target;
        const char *link;

        text_field("Group", text_of(group, "name"));
        text_field("Description", text_of(group, "description"));
        text_field("Platform", text_of(group, "platform"));
        text_field("Required", json_is_true(json_object_get(group, "required")) ? "yes" : "no");
        text_expanded_paths(allow, "allow", "read");
        text_expanded_paths(allow, "allow", "write");
        text_expanded_paths(allow, "allow", "readwrite");
        text_expanded_paths(deny, "deny", "access");
        text_expanded_paths(deny, "deny", "write");
        if (json_is_true(json_object_get(deny, "unlink")))
                puts("\ndeny.unlink: enabled");
        text_list("deny.commands", json_object_get(deny, "commands"));
        if (json_object_size(json_object_get(group, "symlink_pairs")))
                puts("\nsymlink_pairs:");
        json_object_foreach(json_object_get(group, "symlink_pairs"), link, target)
                text_path(link, json_string_value(target), NULL);
}

static void text_profile_paths(const json_t *section, const struct policy_vars *vars, bool raw) {
        const char *key;
        json_t *list, *item;
        size_t i;

        json_object_foreach((json_t *)section, key, list) {
                if (!json_array_size(list))
                        continue;
                printf("\nFilesystem %s:\n", key);
                json_array_foreach(list, i, item) {
                        const char *path = json_is_object(item) ? text_of(item, "path") : json_string_value(item);
                        _cleanup_free_ char *expanded = raw || !path ? NULL : show_expanded(path, vars);

                        text_path(path ? path : "", expanded, json_is_object(item) ? json_object_get(item, "when") : NULL);
                }
        }
}

static bool text_says_something(const json_t *value) {
        return !(json_is_null(value) || json_is_false(value) || (json_is_array(value) && !json_array_size(value)) ||
                 (json_is_object(value) && !json_object_size(value)));
}

static void text_section(const char *head, const json_t *section) {
        bool first = true;
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)section, key, value) {
                _cleanup_free_ char *line = NULL;
                json_t *item;
                size_t i;

                if (!text_says_something(value))
                        continue;
                if (first)
                        printf("\n%s:\n", head);
                first = false;
                if (!json_is_array(value)) {
                        line = text_item(value);
                        printf("  %s: %s\n", key, line);
                        continue;
                }
                printf("  %s:\n", key);
                json_array_foreach(value, i, item) {
                        free(line);
                        line = text_item(item);
                        printf("    %s\n", line);
                }
        }
}

void policy_text_profile(const json_t *p, const struct policy_vars *vars, bool raw) {
        static const char *const modes[][2] = {
                { "signal_mode", "Signal mode" },
                { "process_info_mode", "Process info" },
                { "ipc_mode", "IPC mode" },
        };
        const json_t *security = json_object_get(p, "security"), *elevation = json_object_get(security, "capability_elevation");
        _cleanup_free_ char *bases = NULL;
        json_t *base;
        size_t i;

        text_field("Profile", text_of(p, "name"));
        text_field("Description", text_of(p, "description"));
        json_array_foreach(json_object_get(p, "extends"), i, base) {
                char *longer = mem_format("%s%s%s", bases ? bases : "", bases ? ", " : "", json_string_value(base));

                free(bases);
                bases = longer;
        }
        text_field("Extends", bases ? bases : "");
        text_field("Program", text_of(p, "binary"));
        text_list("Security groups", json_object_get(json_object_get(p, "groups"), "include"));
        text_list("Excluded groups", json_object_get(json_object_get(p, "groups"), "exclude"));
        text_list("Allowed commands", json_object_get(json_object_get(p, "commands"), "allow"));
        text_list("Denied commands", json_object_get(json_object_get(p, "commands"), "deny"));
        putchar('\n');
        for (i = 0; i < ELEMENTSOF(modes); i++)
                text_field(modes[i][1], text_of(security, modes[i][0]));
        if (elevation)
                text_field("Capability elevation", json_is_true(elevation) ? "on" : "off");
        text_field("Workdir access", text_of(json_object_get(p, "workdir"), "access"));
        text_profile_paths(json_object_get(p, "filesystem"), vars, raw);
        text_section("Network", json_object_get(p, "network"));
        text_section("Environment", json_object_get(p, "environment"));
        text_section("Environment credentials", json_object_get(p, "env_credentials"));
        text_section("Rollback exclusions", json_object_get(p, "rollback"));
        text_section("Open URLs", json_object_get(p, "open_urls"));
        if (json_is_true(json_object_get(p, "allow_launch_services")))
                puts("\nLaunch services: allowed (macOS)");
}

static void diff_items(const char *mark, const json_t *list) {
        json_t *item;
        size_t i;

        json_array_foreach(list, i, item) {
                _cleanup_free_ char *line = text_item(item);

                printf("  %s %s\n", mark, line);
        }
}

static void diff_part(const char *head, const json_t *part) {
        const json_t *changed = json_object_get(part, "changed");
        const char *key;
        json_t *value;

        if (!json_is_object(part) || show_diff_is_empty(part))
                return;
        if (json_object_get(part, "added")) {
                printf("\n%s:\n", head);
                diff_items("-", json_object_get(part, "removed"));
                diff_items("+", json_object_get(part, "added"));
                if (json_is_array(changed)) {
                        size_t i;

                        json_array_foreach(changed, i, value) {
                                _cleanup_free_ char *line = text_item(value);

                                printf("  ~ %s (changed)\n", line);
                        }
                }
                return;
        }
        if (changed) {
                _cleanup_free_ char *a = text_item(json_object_get(part, "profile1"));
                _cleanup_free_ char *b = text_item(json_object_get(part, "profile2"));

                printf("\n%s:\n  - %s\n  + %s\n", head, a, b);
                return;
        }
        json_object_foreach((json_t *)part, key, value) {
                _cleanup_free_ char *longer = mem_format("%s.%s", head, key);

                diff_part(longer, value);
        }
}

void policy_text_diff(const json_t *diff) {
        _cleanup_free_ char *a = out_escaped(text_of(diff, "profile1")), *b = out_escaped(text_of(diff, "profile2"));
        const char *key;
        json_t *value;

        printf("--- %s\n+++ %s\n", a, b);
        json_object_foreach((json_t *)diff, key, value)
                /* Shown once: the historic sections repeat what stands elsewhere. */
                if (strcmp(key, "policy") != 0 && strcmp(key, "extends") != 0 && strcmp(key, "commands") != 0)
                        diff_part(key, value);
}
