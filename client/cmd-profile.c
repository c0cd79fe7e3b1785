/*
 * nonoctl profile — write profiles: start one, change one, learn how.
 * Runs as: the user.   Input: the person's arguments and files.
 */
#include <fcntl.h>
#include <getopt.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "client/library.h"
#include "client/options.h"
#include "client/out.h"
#include "client/policy-verbs.h"
#include "client/say.h"
#include "common/fd.h"
#include "daemon/policy/edit.h"
#include "daemon/policy/json-schema.h"

extern char **environ;

static const char help_profile[] =
        "Usage: nonoctl profile init NAME | edit NAME | list | show P | diff A B | validate FILE | groups | schema | guide\n"
        "\n"
        "  init NAME                a new profile in ~/.config/nono/profiles\n"
        "       --extends BASE        what it builds on; default: default\n"
        "       --groups A,B          groups to include\n"
        "       --description TEXT\n"
        "       --full                with every list there is, empty\n"
        "       -o, --output FILE     write it there instead\n"
        "       --force               replace a file that exists\n"
        "  edit NAME                in $VISUAL or $EDITOR; saved when it has no error\n"
        "       --add LIST=VALUE      or put a value into a list: filesystem.read=/etc/app\n"
        "       --remove LIST=VALUE   or take it out again; comments and order stay\n"
        "  list, show, diff, validate, groups   as in nonoctl policy\n"
        "  schema [-o FILE]         JSON Schema of a profile, for editors\n"
        "  guide                    how to write a profile, for people and agents\n"
        "  -h, --help               this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl profile init my-agent --extends claude-code\n"
        "  nonoctl profile edit my-agent --add filesystem.deny='**/.env'\n";

/* --- init --- */

struct init {
        const char *name, *extends, *groups, *description, *output;
        bool full, force;
};

/* ASCII letters, digits and '-', as in nono. */
static bool init_name_is_good(const char *name) {
        size_t n = strlen(name);

        return n > 0 && n <= 100 && name[0] != '-' && name[n - 1] != '-' &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == n;
}

static json_t *init_groups(const struct library *l, const char *list) {
        _cleanup_free_ char *copy = mem_copy(list ? list : "");
        json_t *out = mem_need(json_array());
        char *rest = copy;

        for (char *group = strsep(&rest, ","); group; group = strsep(&rest, ",")) {
                if (!*group)
                        continue;
                if (!policy_store_has(l->store, POLICY_GROUP, group)) {
                        _cleanup_free_ char *shown = out_escaped(group);

                        (void)say_error("there is no group '%s'; nonoctl profile groups shows them", shown);
                        json_decref(out);
                        return NULL;
                }
                (void)json_array_append_new(out, json_string(group));
        }
        return out;
}

static json_t *init_lists(const char *const *keys) {
        json_t *out = mem_need(json_object());

        for (; *keys; keys++)
                out_json_set(out, *keys, json_array());
        return out;
}

/* Left out on purpose: keys whose presence alone would override what the base says. */
static void init_add_all(json_t *out) {
        static const char *const commands[] = { "allow", "deny", NULL };
        static const char *const filesystem[] = {
                "allow", "read", "write", "allow_file", "read_file", "write_file", "deny", "deny_write", "revoke", NULL,
        };
        static const char *const network[] = { "allow_domain", "deny_domain", "open_port", "listen_port", NULL };
        static const char *const rollback[] = { "exclude_patterns", "exclude_globs", NULL };
        json_t *section;

        out_json_set(out, "commands", init_lists(commands));
        out_json_set(out, "filesystem", init_lists(filesystem));
        section = init_lists(network);
        out_json_set(section, "block", json_false());
        out_json_set(out, "network", section);
        out_json_set(out, "env_credentials", json_object());
        out_json_set(out, "rollback", init_lists(rollback));
}

static json_t *init_profile(const struct init *o, json_t *groups) {
        static const char *const filesystem[] = { "allow", "read", NULL };
        json_t *out = mem_need(json_object()), *part = mem_need(json_object());

        if (o->extends)
                out_json_set(out, "extends", json_string(o->extends));
        out_json_set(part, "name", json_string(o->name));
        if (o->description)
                out_json_set(part, "description", json_string(o->description));
        out_json_set(out, "meta", part);
        part = mem_need(json_object());
        out_json_set(part, "include", groups);
        if (o->full)
                out_json_set(part, "exclude", json_array());
        out_json_set(out, "groups", part);
        part = mem_need(json_object());
        out_json_set(part, "access", json_string("readwrite"));
        out_json_set(out, "workdir", part);
        if (o->full)
                init_add_all(out);
        else
                out_json_set(out, "filesystem", init_lists(filesystem));
        return out;
}

static int init_check(struct library *l, const struct init *o) {
        const struct library_profile *known = library_find(l, o->name);
        _cleanup_free_ char *base = NULL, *shown = out_escaped(o->name);

        if (!init_name_is_good(o->name))
                return say_error("'%s' is no name for a profile: letters, digits and '-' inside", shown);
        if (known && !known->user && !o->output) {
                (void)say_error("'%s' is an installed profile", shown);
                say_hint("choose another name, and --extends %s", shown);
                return CLIENT_E_TOLD;
        }
        return o->extends ? library_name(l, o->extends, &base) : 0;
}

static int init_write(struct library *l, const struct init *o) {
        _cleanup_free_ char *path = o->output ? mem_copy(o->output) : library_own_path(l, o->name), *text = NULL, *file = NULL;
        _cleanup_free_ char *shown = NULL;
        json_t *groups = init_groups(l, o->groups), *out;

        if (!groups)
                return CLIENT_E_TOLD;
        if (!path) {
                json_decref(groups);
                return say_error("there is no home directory to write to; use --output");
        }
        out = init_profile(o, groups);
        text = mem_need(json_dumps(out, JSON_INDENT(4)));
        json_decref(out);
        file = mem_format("%s\n", text);
        if (library_write(path, file, strlen(file), o->force))
                return CLIENT_E_TOLD;
        shown = out_escaped(path);
        fprintf(stderr, "Created %s\nCheck it:     nonoctl profile validate %s\nIn an editor: nonoctl profile schema\n", shown,
                shown);
        return 0;
}

static int profile_init(int argc, char **argv) {
        static const struct option list[] = {
                { "extends", required_argument, NULL, 'e' },     { "groups", required_argument, NULL, 'g' },
                { "description", required_argument, NULL, 'd' }, { "full", no_argument, NULL, 'F' },
                { "output", required_argument, NULL, 'o' },      { "force", no_argument, NULL, 'f' },
                { "help", no_argument, NULL, 'h' },              { NULL, 0, NULL, 0 },
        };
        _cleanup_(library_done) struct library l = { .store = NULL };
        struct init o = { .extends = "default" };
        int c;

        optind = 0;
        while ((c = getopt_long(argc, argv, "o:h", list, NULL)) != -1)
                switch (c) {
                case 'e':
                        o.extends = optarg;
                        break;
                case 'g':
                        o.groups = optarg;
                        break;
                case 'd':
                        o.description = optarg;
                        break;
                case 'F':
                        o.full = true;
                        break;
                case 'o':
                        o.output = optarg;
                        break;
                case 'f':
                        o.force = true;
                        break;
                case 'h':
                        fputs(help_profile, stdout);
                        return out_finish();
                default:
                        return EXIT_USAGE;
                }
        if (argc - optind != 1) {
                (void)say_error("expected one NAME");
                return EXIT_USAGE;
        }
        o.name = argv[optind];
        return library_load(&l) || init_check(&l, &o) || init_write(&l, &o) ? 1 : 0;
}

/* --- schema and guide --- */

static int profile_schema(int argc, char **argv) {
        static const struct option list[] = {
                { "output", required_argument, NULL, 'o' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
        };
        _cleanup_free_ char *text = NULL, *file = NULL;
        const char *output = NULL;
        json_t *schema;
        int c;

        optind = 0;
        while ((c = getopt_long(argc, argv, "o:h", list, NULL)) != -1) {
                if (c == 'h') {
                        fputs(help_profile, stdout);
                        return out_finish();
                }
                if (c != 'o')
                        return EXIT_USAGE;
                output = optarg;
        }
        schema = mem_need(json_schema_profile());
        if (!output)
                return out_json_print(schema, false) || out_finish() ? 1 : 0;
        text = mem_need(json_dumps(schema, JSON_INDENT(2)));
        json_decref(schema);
        file = mem_format("%s\n", text);
        return library_write(output, file, strlen(file), true) ? 1 : 0;
}

static int profile_show_guide(int argc, char **argv) {
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_profile, NULL, 0, 0, &args, &n);
        if (r)
                return options_status(r);
        fputs(profile_guide, stdout);
        return out_finish();
}

/* --- edit --- */

struct edit_request {
        const char *add, *remove; /* LIST=VALUE */
};

/* @change: "LIST=VALUE". */
static int edit_change(const char *path, const char *text, size_t n, const char *change, bool add, char **ret, size_t *ret_n) {
        const char *equals = strchr(change, '=');
        _cleanup_free_ char *list = NULL, *shown = out_escaped(change);
        struct policy_error err = { .line = 0 };
        int r;

        if (!equals || equals == change || !equals[1])
                return say_error("'%s': expected LIST=VALUE, for example filesystem.read=/etc/app", shown);
        list = mem_format("%.*s", (int)(equals - change), change);
        if (add)
                r = edit_add(text, n, path, list, equals + 1, ret, ret_n, &err);
        else
                r = edit_remove(text, n, path, list, equals + 1, ret, ret_n, &err);
        if (r == POLICY_E_NOT_FOUND)
                return say_error("'%s' is not there", shown);
        return !r ? 0 : r < 0 ? say_errno(r, "edit") : library_tell(&err);
}

/* $VISUAL and $EDITOR may carry arguments, so the shell splits them; the file is an argument of its own. */
static int edit_run_editor(const char *path) {
        char *argv[] = { (char *)"sh", (char *)"-c", (char *)"exec ${VISUAL:-${EDITOR:-vi}} \"$1\"", (char *)"sh",
                         (char *)path, NULL };
        int status;
        pid_t pid;
        int r = posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ);

        if (r)
                return say_error("/bin/sh: %s", strerror(r));
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return say_errno(-errno, "waitpid");
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : say_error("the editor failed; nothing was changed");
}

/* In a copy, so that a half-finished profile is never in force. */
static int edit_interactively(const char *text, size_t n, char **ret, size_t *ret_n) {
        char copy[] = "/tmp/nono-profile-XXXXXX.json";
        _cleanup_close_ int fd = mkostemps(copy, 5, O_CLOEXEC);
        int r;

        if (fd < 0)
                return say_error("%s: %s", copy, strerror(errno));
        r = fd_write_full(fd, text, n);
        r = r ? say_errno(r, copy) : edit_run_editor(copy);
        if (!r) {
                *ret = library_read(copy, ret_n);
                r = *ret ? 0 : CLIENT_E_TOLD;
        }
        (void)unlink(copy);
        return r;
}

static int edit_profile(struct library *l, const char *arg, const struct edit_request *q) {
        _cleanup_free_ char *path = strchr(arg, '/') ? mem_copy(arg) : library_own_path(l, arg), *text = NULL, *changed = NULL;
        _cleanup_free_ char *name = NULL;
        const char *file, *dot;
        struct policy_error err = { .line = 0 };
        size_t n = 0, n_changed = 0;
        int r;

        if (!path)
                return say_error("there is no home directory");
        text = library_read(path, &n);
        if (!text) {
                say_hint("nonoctl profile init makes a profile");
                return CLIENT_E_TOLD;
        }
        if (q->add)
                r = edit_change(path, text, n, q->add, true, &changed, &n_changed);
        else if (q->remove)
                r = edit_change(path, text, n, q->remove, false, &changed, &n_changed);
        else
                r = edit_interactively(text, n, &changed, &n_changed);
        if (r)
                return r;
        if (n == n_changed && memcmp(text, changed, n) == 0) {
                fputs("Nothing was changed.\n", stderr);
                return 0;
        }
        file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
        dot = strrchr(file, '.');
        name = mem_format("%.*s", (int)(dot && dot != file ? dot - file : (ptrdiff_t)strlen(file)), file);
        r = policy_store_add(l->store, POLICY_PROFILE, name, changed, n_changed, path, true, &err);
        if (r < 0)
                return say_errno(r, "policy");
        if (r) {
                (void)library_tell(&err);
                say_hint("the profile was left as it was");
                return CLIENT_E_TOLD;
        }
        return library_write(path, changed, n_changed, true);
}

static int profile_edit(int argc, char **argv) {
        _cleanup_(library_done) struct library l = { .store = NULL };
        struct edit_request q = { .add = NULL };
        const struct option_spec specs[] = { { "add", NULL, &q.add }, { "remove", NULL, &q.remove }, { NULL } };
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_profile, specs, 1, 1, &args, &n);
        if (r)
                return options_status(r);
        if (q.add && q.remove) {
                (void)say_error("--add and --remove exclude each other");
                return EXIT_USAGE;
        }
        return library_load(&l) || edit_profile(&l, args[0], &q) ? 1 : 0;
}

int cmd_profile(int argc, char **argv) {
        static const struct subverb verbs[] = {
                { "init", profile_init },   { "edit", profile_edit },         { "list", policy_list },
                { "show", policy_show },    { "diff", policy_diff },          { "validate", policy_validate },
                { "groups", policy_groups }, { "schema", profile_schema },    { "guide", profile_show_guide },
                { NULL, NULL },
        };

        return subverb_run(argc, argv, help_profile, verbs);
}
