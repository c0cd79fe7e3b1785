/*
 * nonoctl policy — groups and profiles: list, show, compare, check.
 * Runs as: the user.   Input: policy files, root's and the person's.
 */
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "client/library.h"
#include "client/options.h"
#include "client/out.h"
#include "client/policy-verbs.h"
#include "client/say.h"
#include "daemon/policy/lint.h"
#include "daemon/policy/show.h"

static const char help_policy[] =
        "Usage: nonoctl policy groups [NAME] | profiles | show PROFILE | diff A B | validate FILE\n"
        "\n"
        "Looks at the groups and profiles that sessions are made of. A profile is a name, or a file when it has a '/'\n"
        "or ends in .json.\n"
        "\n"
        "  groups [NAME] [--all-platforms]  the named lists of paths, or one of them in full\n"
        "  profiles                         installed profiles and your own\n"
        "  show PROFILE [--raw]             everything a profile grants and denies, with what it inherits\n"
        "       [--format profile]          as a profile file that stands alone\n"
        "       [--format manifest]         as the rules that a session gets here\n"
        "  diff A B                         what B has and A has not, and the other way round\n"
        "  validate FILE [--strict]         errors, dangers and rules without effect; '-' is standard input\n"
        "\n"
        "      --json         JSON, for all of them\n"
        "  -h, --help         this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl policy show claude-code\n"
        "  nonoctl policy diff default ./my-agent.json\n"
        "  nonoctl policy validate --strict ~/.config/nono/profiles/my-agent.json\n";

int subverb_run(int argc, char **argv, const char *help, const struct subverb *verbs) {
        _cleanup_free_ char *name = NULL, *shown = NULL;

        if (argc < 2 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
                fputs(help, argc < 2 ? stderr : stdout);
                return argc < 2 ? EXIT_USAGE : out_finish();
        }
        for (; verbs->name; verbs++)
                if (strcmp(argv[1], verbs->name) == 0) {
                        name = mem_format("%s %s", argv[0], verbs->name);
                        argv[1] = name;
                        return verbs->run(argc - 1, argv + 1);
                }
        shown = out_escaped(argv[1]);
        (void)say_error("%s has no '%s'", argv[0], shown);
        fprintf(stderr, "Try '%s --help'.\n", argv[0]);
        return EXIT_USAGE;
}

static int policy_groups_all(struct library *l, bool all, bool json) {
        static const char *const heads[] = { "NAME", "DESCRIPTION", "PLATFORM", "REQUIRED" };
        _cleanup_(table_freep) struct table *t = NULL;
        json_t *groups = NULL, *group;
        size_t i;
        int r;

        r = show_groups(l->store, &l->vars.policy, all, &groups);
        if (r)
                return say_errno(r, "groups");
        if (json)
                return out_json_print(groups, false) ? 1 : 0;
        printf("nono policy: %zu groups%s\n\n", json_array_size(groups), all ? " (all platforms)" : "");
        t = table_new(heads, ELEMENTSOF(heads));
        json_array_foreach(groups, i, group) {
                _cleanup_free_ char *description = out_escaped(json_string_value(json_object_get(group, "description")));

                table_add(t, (const char *[]){ json_string_value(json_object_get(group, "name")), description,
                                               json_string_value(json_object_get(group, "platform")),
                                               json_is_true(json_object_get(group, "required")) ? "required" : "" });
        }
        table_print(t);
        json_decref(groups);
        return 0;
}

int policy_groups(int argc, char **argv) {
        _cleanup_(library_done) struct library l = { .store = NULL };
        bool json = false, all = false;
        const struct option_spec specs[] = { { "json", &json, NULL }, { "all-platforms", &all, NULL }, { NULL } };
        json_t *group = NULL;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_policy, specs, 0, 1, &args, &n);
        if (r)
                return options_status(r);
        if (library_load(&l))
                return 1;
        if (n == 0)
                return policy_groups_all(&l, all, json) || out_finish() ? 1 : 0;
        r = show_group(l.store, args[0], &l.vars.policy, &group);
        if (r) {
                _cleanup_free_ char *shown = out_escaped(args[0]);

                (void)say_error("there is no group '%s'; nonoctl policy groups shows them", shown);
                return 1;
        }
        if (json)
                return out_json_print(group, false) || out_finish() ? 1 : 0;
        policy_text_group(group);
        json_decref(group);
        return out_finish();
}

static const char *policy_source(const struct library_profile *p) {
        return !p->user ? "built-in" : p->overrides ? "user (overrides built-in)" : "user";
}

static json_t *policy_list_entry(const struct library *l, const struct library_profile *p) {
        json_t *head = NULL, *out = mem_need(json_object());

        out_json_set(out, "name", json_string(p->name));
        out_json_set(out, "source", json_string(policy_source(p)));
        if (!p->error && show_profile_head(l->store, p->name, &head) == 0) {
                out_json_set(out, "description", json_incref(json_object_get(head, "description")));
                out_json_set(out, "extends", json_incref(json_object_get(head, "extends")));
        } else {
                out_json_set(out, "error", json_string(p->error ? p->error : "does not load"));
        }
        json_decref(head);
        return out;
}

static void policy_list_text(const struct library *l, bool user) {
        static const char *const heads[] = { "NAME", "DESCRIPTION", "" };
        _cleanup_(table_freep) struct table *t = table_new(heads, ELEMENTSOF(heads));
        size_t n = 0;

        for (size_t i = 0; i < l->n_profiles; i++) {
                _cleanup_free_ char *description = NULL, *note = NULL;
                json_t *entry;

                if (l->profiles[i].user != user)
                        continue;
                n++;
                entry = policy_list_entry(l, &l->profiles[i]);
                if (json_object_get(entry, "error")) {
                        _cleanup_free_ char *shown = out_escaped(json_string_value(json_object_get(entry, "error")));

                        description = mem_format("[error: %s]", shown);
                        note = mem_copy("");
                } else {
                        size_t k;
                        json_t *base;

                        description = out_escaped(json_string_value(json_object_get(entry, "description")));
                        note = mem_copy("");
                        json_array_foreach(json_object_get(entry, "extends"), k, base) {
                                _cleanup_free_ char *shown = out_escaped(json_string_value(base));
                                char *longer = mem_format("%s%s%s", note, k ? ", " : "extends ", shown);

                                free(note);
                                note = longer;
                        }
                }
                table_add(t, (const char *[]){ l->profiles[i].name, description, note });
                json_decref(entry);
        }
        if (n)
                table_print(t);
        else
                puts("  none");
}

int policy_list(int argc, char **argv) {
        _cleanup_(library_done) struct library l = { .store = NULL };
        bool json = false;
        const struct option_spec specs[] = { { "json", &json, NULL }, { NULL } };
        json_t *out;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_policy, specs, 0, 0, &args, &n);
        if (r)
                return options_status(r);
        if (library_load(&l))
                return 1;
        if (!json) {
                puts("Built-in:");
                policy_list_text(&l, false);
                puts("\nUser (~/.config/nono/profiles/):");
                policy_list_text(&l, true);
                return out_finish();
        }
        out = mem_need(json_array());
        for (size_t i = 0; i < l.n_profiles; i++)
                (void)json_array_append_new(out, policy_list_entry(&l, &l.profiles[i]));
        return out_json_print(out, false) || out_finish() ? 1 : 0;
}

static int policy_show_manifest(struct library *l, const char *name) {
        _cleanup_(policy_plan_freep) struct policy_plan *plan = NULL;
        struct policy_error err = { .line = 0 };
        int r = policy_compile(l->store, name, &l->vars.policy, &plan, &err);

        if (r)
                return r < 0 ? say_errno(r, "policy") : library_tell(&err);
        return out_json_print(show_plan(plan), false);
}

int policy_show(int argc, char **argv) {
        _cleanup_(library_done) struct library l = { .store = NULL };
        bool json = false, raw = false;
        const char *format = NULL;
        const struct option_spec specs[] = {
                { "json", &json, NULL }, { "raw", &raw, NULL }, { "format", NULL, &format }, { NULL }
        };
        _cleanup_free_ char *name = NULL;
        struct policy_error err = { .line = 0 };
        json_t *out = NULL;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_policy, specs, 1, 1, &args, &n);
        if (r)
                return options_status(r);
        if (format && strcmp(format, "profile") != 0 && strcmp(format, "manifest") != 0) {
                (void)say_error("--format: expected 'profile' or 'manifest'");
                return EXIT_USAGE;
        }
        if (library_load(&l) || library_name(&l, args[0], &name))
                return 1;
        if (format && strcmp(format, "manifest") == 0)
                return policy_show_manifest(&l, name) || out_finish() ? 1 : 0;
        if (format)
                r = show_profile_file(l.store, name, &l.vars.policy, &out, &err);
        else
                r = show_profile(l.store, name, &l.vars.policy, &out, &err);
        if (r) {
                (void)(r < 0 ? say_errno(r, "policy") : library_tell(&err));
                return 1;
        }
        if (json || format)
                return out_json_print(out, false) || out_finish() ? 1 : 0;
        policy_text_profile(out, &l.vars.policy, raw);
        json_decref(out);
        return out_finish();
}

int policy_diff(int argc, char **argv) {
        _cleanup_(library_done) struct library l = { .store = NULL };
        bool json = false;
        const struct option_spec specs[] = { { "json", &json, NULL }, { NULL } };
        _cleanup_free_ char *a = NULL, *b = NULL;
        struct policy_error err = { .line = 0 };
        json_t *out = NULL;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_policy, specs, 2, 2, &args, &n);
        if (r)
                return options_status(r);
        if (library_load(&l) || library_name(&l, args[0], &a) || library_name(&l, args[1], &b))
                return 1;
        r = show_diff(l.store, a, b, &l.vars.policy, &out, &err);
        if (r) {
                (void)(r < 0 ? say_errno(r, "policy") : library_tell(&err));
                return 1;
        }
        if (json)
                return out_json_print(out, false) || out_finish() ? 1 : 0;
        if (show_diff_is_empty(out))
                puts("(no differences)");
        else
                policy_text_diff(out);
        json_decref(out);
        return out_finish();
}

/* --- validate --- */

static bool validate_exists(const char *path, bool pattern, void *arg) {
        glob_t g;
        bool found;

        (void)arg;
        if (!pattern)
                return access(path, F_OK) == 0 || errno != ENOENT;
        if (strstr(path, "**"))
                return true; /* nobody walks the whole disk for a hint */
        found = glob(path, GLOB_NOSORT, NULL, &g) == 0;
        if (found)
                globfree(&g);
        return found;
}

/* $PATH, as a NULL-terminated array of its directories in one allocation. */
static const char **validate_path_directories(char **ret_memory) {
        const char *path = getenv("PATH");
        char *copy = mem_copy(path ? path : ""), *rest = copy;
        const char **dirs = mem_need(calloc(strlen(copy) + 2, sizeof(*dirs)));
        size_t n = 0;

        for (char *dir = strsep(&rest, ":"); dir; dir = strsep(&rest, ":"))
                if (*dir == '/' && policy_path_is_normalised(dir))
                        dirs[n++] = dir;
        *ret_memory = copy;
        return dirs;
}

static const char *validate_severity(enum lint_severity severity) {
        return severity == LINT_ERROR ? "error" : severity == LINT_WARNING ? "warning" : "note";
}

static char *validate_line(const char *file, const struct lint_finding *f) {
        if (f->line)
                return mem_format("%s:%u:%u: %s [%s]", file, f->line, f->column, f->message, f->code);
        return mem_format("%s: %s [%s]", file, f->message, f->code);
}

static int validate_json(const char *file, const struct lint *l) {
        json_t *out = mem_need(json_object()), *errors = mem_need(json_array()), *warnings = mem_need(json_array());
        json_t *findings = mem_need(json_array());

        for (size_t i = 0; i < l->n_findings; i++) {
                const struct lint_finding *f = &l->findings[i];
                _cleanup_free_ char *line = validate_line(file, f);
                json_t *o = mem_need(json_object());

                if (f->severity != LINT_NOTE)
                        (void)json_array_append_new(f->severity == LINT_ERROR ? errors : warnings, json_string(line));
                out_json_set(o, "code", json_string(f->code));
                out_json_set(o, "severity", json_string(validate_severity(f->severity)));
                out_json_set(o, "line", json_integer(f->line));
                out_json_set(o, "column", json_integer(f->column));
                out_json_set(o, "message", json_string(f->message));
                if (*f->fix)
                        out_json_set(o, "fix", json_string(f->fix));
                (void)json_array_append_new(findings, o);
        }
        out_json_set(out, "file", json_string(file));
        out_json_set(out, "valid", json_boolean(l->n_errors == 0));
        out_json_set(out, "errors", errors);
        out_json_set(out, "warnings", warnings);
        out_json_set(out, "findings", findings);
        return out_json_print(out, false);
}

static void validate_text(const char *file, const struct lint *l) {
        static const char *const marks[] = { "[err]", "[warn]", "[note]" };

        for (size_t i = 0; i < l->n_findings; i++) {
                const struct lint_finding *f = &l->findings[i];
                _cleanup_free_ char *line = validate_line(file, f);

                printf("  %-6s %s\n", marks[f->severity], line);
                if (*f->fix)
                        printf("         fix: %s\n", f->fix);
        }
        if (l->n_errors == 0)
                printf("  [ok]   %zu groups apply, defaults included\n", l->n_groups);
        if (l->n_errors)
                printf("\nResult: invalid (%zu error%s)\n", l->n_errors, l->n_errors == 1 ? "" : "s");
        else
                printf("\nResult: valid%s\n", l->n_warnings ? ", with warnings" : "");
}

/* The name the file stands for; one that no profile can have is checked as "profile". */
static char *validate_name(const char *path) {
        const char *file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path, *dot = strrchr(file, '.');
        size_t n = dot && dot != file ? (size_t)(dot - file) : strlen(file);

        if (n == 0 || strcmp(path, "-") == 0)
                return mem_copy("profile");
        return mem_format("%.*s", (int)n, file);
}

int policy_validate(int argc, char **argv) {
        _cleanup_(library_done) struct library l = { .store = NULL };
        _cleanup_(lint_done) struct lint lint = { .findings = NULL };
        bool json = false, strict = false;
        const struct option_spec specs[] = { { "json", &json, NULL }, { "strict", &strict, NULL }, { NULL } };
        _cleanup_free_ char *text = NULL, *name = NULL, *shown = NULL, *memory = NULL;
        _cleanup_free_ const char **dirs = NULL;
        struct lint_options options = { .exists = validate_exists, .user = true };
        size_t n_text;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_policy, specs, 1, 1, &args, &n);
        if (r)
                return options_status(r);
        if (library_load(&l))
                return 1;
        text = library_read(args[0], &n_text);
        if (!text)
                return 1;
        name = validate_name(args[0]);
        shown = out_escaped(args[0]);
        dirs = validate_path_directories(&memory);
        l.vars.policy.workdir = "/workdir-of-a-session"; /* wherever that will be, it is not here */
        options.vars = &l.vars.policy;
        options.path_dirs = dirs;
        r = lint_profile(l.store, name, text, n_text, args[0], &options, &lint);
        if (r) {
                (void)say_errno(r, "validate");
                return 1;
        }
        if (json)
                (void)validate_json(shown, &lint);
        else
                validate_text(shown, &lint);
        if (out_finish() || lint.n_errors)
                return 1;
        return strict && lint.n_warnings ? 2 : 0;
}

int cmd_policy(int argc, char **argv) {
        static const struct subverb verbs[] = {
                { "groups", policy_groups }, { "profiles", policy_list },     { "show", policy_show },
                { "diff", policy_diff },     { "validate", policy_validate }, { NULL, NULL },
        };

        return subverb_run(argc, argv, help_policy, verbs);
}
