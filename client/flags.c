/*
 * Options of run and spawn. Parsing stops at the command: its own options are not ours.
 * Runs as: the user.   Input: see flags.h.
 */
#include "client/flags.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "client/options.h"
#include "client/out.h"
#include "client/say.h"
#include "client/userpath.h"
#include "common/wire.h"
#include "daemon/policy/policy.h"

enum { FLAGS_PORTS_MAX = 64, FLAGS_NAME_MAX = 64 };
enum {
        FLAG_ALLOW_FILE = 1000, FLAG_READ_FILE, FLAG_WRITE_FILE, FLAG_ALLOW_CWD, FLAG_WORKDIR, FLAG_OPEN_PORT, FLAG_NAME,
        FLAG_SEALED, FLAG_DRY_RUN, FLAG_JSON, FLAG_SOCKET,
};

static ProtobufCBinaryData flags_bytes(const char *s) {
        return s && *s ? wire_bytes(mem_copy(s)) : (ProtobufCBinaryData){ 0 };
}

static Nono__Rule *flags_new_rule(struct flags *f) {
        Nono__Rule *rule = mem_need(malloc(sizeof(*rule)));

        nono__rule__init(rule);
        if (f->n_rules == f->cap_rules) {
                f->cap_rules = f->cap_rules ? 2 * f->cap_rules : 32;
                f->rules = mem_need(reallocarray(f->rules, f->cap_rules, sizeof(*f->rules)));
        }
        f->rules[f->n_rules++] = rule;
        return rule;
}

void flags_add_rule(struct flags *f, Nono__Access access, bool file, const char *path, const char *raw,
                    const char *source) {
        Nono__Rule *rule = flags_new_rule(f);

        rule->access = access;
        rule->file = file;
        rule->path = flags_bytes(path);
        rule->raw = raw && strcmp(raw, path) != 0 ? flags_bytes(raw) : (ProtobufCBinaryData){ 0 };
        rule->source = flags_bytes(source);
}

void flags_add_port(struct flags *f, uint32_t port) {
        for (size_t i = 0; i < f->n_open_ports; i++)
                if (f->open_ports[i] == port)
                        return;
        f->open_ports = mem_need(reallocarray(f->open_ports, f->n_open_ports + 1, sizeof(*f->open_ports)));
        f->open_ports[f->n_open_ports++] = port;
}

void flags_done(struct flags *f) {
        for (size_t i = 0; i < f->n_rules; i++) {
                free(f->rules[i]->path.data);
                free(f->rules[i]->raw.data);
                free(f->rules[i]->source.data);
                free(f->rules[i]->group.data);
                free(f->rules[i]);
        }
        free(f->rules);
        free(f->open_ports);
        *f = (struct flags){ 0 };
}

void flags_add_plan(struct flags *f, const struct policy_plan *plan) {
        const struct policy_settings *settings = policy_plan_settings(plan);
        size_t n = 0;
        const struct policy_rule *rules = policy_plan_rules(plan, &n);

        for (size_t i = 0; i < n; i++) {
                const struct policy_rule *from = &rules[i];
                Nono__Rule *rule;

                if (from->origin == POLICY_FROM_CEILING)
                        continue;
                rule = flags_new_rule(f);
                rule->access = (Nono__Access)(from->access & (POLICY_READ | POLICY_WRITE));
                rule->file = from->file;
                rule->deny = from->effect == POLICY_DENY;
                rule->pattern = from->pattern;
                rule->line = from->line;
                rule->lift = from->lift;
                rule->path = flags_bytes(from->path);
                rule->raw = flags_bytes(from->raw);
                rule->source = flags_bytes(from->source);
                rule->group = flags_bytes(from->group);
        }
        for (size_t i = 0; i < settings->n_open_ports; i++)
                flags_add_port(f, settings->open_ports[i]);
}

static const struct option flags_options[] = {
        { "allow", required_argument, NULL, 'a' },
        { "read", required_argument, NULL, 'r' },
        { "write", required_argument, NULL, 'w' },
        { "allow-file", required_argument, NULL, FLAG_ALLOW_FILE },
        { "read-file", required_argument, NULL, FLAG_READ_FILE },
        { "write-file", required_argument, NULL, FLAG_WRITE_FILE },
        { "allow-cwd", no_argument, NULL, FLAG_ALLOW_CWD },
        { "workdir", required_argument, NULL, FLAG_WORKDIR },
        { "profile", required_argument, NULL, 'p' },
        { "open-port", required_argument, NULL, FLAG_OPEN_PORT },
        { "name", required_argument, NULL, FLAG_NAME },
        { "sealed", no_argument, NULL, FLAG_SEALED },
        { "dry-run", no_argument, NULL, FLAG_DRY_RUN },
        { "json", no_argument, NULL, FLAG_JSON },
        { "verbose", no_argument, NULL, 'v' },
        { "silent", no_argument, NULL, 's' },
        { "socket", required_argument, NULL, FLAG_SOCKET },
        { "help", no_argument, NULL, 'h' },
        { NULL },
};

/* Return: 0; CLIENT_E_TOLD; -1: not a path flag. */
static int flags_path(struct flags *f, int c, const char *raw) {
        static const struct {
                int c;
                const char *name;
                Nono__Access access;
                bool file;
        } paths[] = {
                { 'a', "--allow", NONO__ACCESS__ACCESS_READ_WRITE, false },
                { 'r', "--read", NONO__ACCESS__ACCESS_READ, false },
                { 'w', "--write", NONO__ACCESS__ACCESS_WRITE, false },
                { FLAG_ALLOW_FILE, "--allow-file", NONO__ACCESS__ACCESS_READ_WRITE, true },
                { FLAG_READ_FILE, "--read-file", NONO__ACCESS__ACCESS_READ, true },
                { FLAG_WRITE_FILE, "--write-file", NONO__ACCESS__ACCESS_WRITE, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                _cleanup_free_ char *path = NULL;
                int r;

                if (paths[i].c != c)
                        continue;
                r = userpath_resolve(paths[i].name, raw, paths[i].file ? USERPATH_FILE : USERPATH_DIRECTORY, &path);
                if (r)
                        return r;
                flags_add_rule(f, paths[i].access, paths[i].file, path, raw, paths[i].name);
                return 0;
        }
        return -1;
}

static int flags_name(struct flags *f, const char *name) {
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

        if (n == 0 || name[n] || n > FLAGS_NAME_MAX || name[0] == '-' || name[0] == '.')
                return say_error("--name: 1 to %d letters, digits, '.', '_' and '-', the first a letter, a digit or '_'",
                                 FLAGS_NAME_MAX);
        f->name = name;
        return 0;
}

static int flags_option(struct flags *f, int c, const char *value, bool no_profile) {
        unsigned long long port;
        int r;

        switch (c) {
        case FLAG_ALLOW_CWD:
                f->allow_cwd = true;
                return 0;
        case FLAG_WORKDIR:
                f->workdir = value;
                return 0;
        case 'p':
                if (no_profile)
                        return say_error("--profile: spawn takes the profile as its first argument");
                if (!*value)
                        return say_error("--profile: the name is empty");
                f->profile = value;
                return 0;
        case FLAG_OPEN_PORT:
                r = options_number("--open-port", value, 65535, &port);
                if (r)
                        return r;
                if (f->n_open_ports >= FLAGS_PORTS_MAX)
                        return say_error("--open-port: at most %d ports", FLAGS_PORTS_MAX);
                flags_add_port(f, (uint32_t)port);
                return 0;
        case FLAG_NAME:
                return flags_name(f, value);
        case FLAG_SEALED:
                f->sealed = true;
                return 0;
        case FLAG_DRY_RUN:
                f->dry_run = true;
                return 0;
        case FLAG_JSON:
                f->json = true;
                return 0;
        case 'v':
                f->verbose = true;
                return 0;
        case 's':
                f->silent = true;
                return 0;
        case FLAG_SOCKET:
                if (setenv("NONO_SOCKET", value, 1) < 0)
                        mem_need(NULL);
                return 0;
        default:
                return flags_path(f, c, value);
        }
}

/* NONO_ALLOW: directories, separated by commas. */
int flags_environment(struct flags *f, bool no_profile) {
        _cleanup_free_ char *list = mem_copy(getenv("NONO_ALLOW") ? getenv("NONO_ALLOW") : "");
        const char *profile = getenv("NONO_PROFILE");
        char *rest = list, *one;

        if (profile && *profile && !f->profile && !no_profile)
                f->profile = profile;
        while ((one = strsep(&rest, ","))) {
                _cleanup_free_ char *path = NULL;
                int r;

                if (!*one)
                        continue;
                r = userpath_resolve("NONO_ALLOW", one, USERPATH_DIRECTORY, &path);
                if (r)
                        return r;
                flags_add_rule(f, NONO__ACCESS__ACCESS_READ_WRITE, false, path, one, "NONO_ALLOW");
        }
        return 0;
}

int flags_parse(int argc, char **argv, const char *help, bool no_profile, struct flags *f, int *ret_next) {
        int c, r = 0;

        optind = 0;
        while (r == 0 && (c = getopt_long(argc, argv, "+a:r:w:p:vsh", flags_options, NULL)) != -1) {
                if (c == 'h') {
                        fputs(help, stdout);
                        return FLAGS_DONE;
                }
                r = c == '?' ? CLIENT_E_TOLD : flags_option(f, c, optarg, no_profile);
                if (c == '?')
                        fprintf(stderr, "Try '%s --help'.\n", argv[0]);
        }
        *ret_next = optind;
        return r;
}
