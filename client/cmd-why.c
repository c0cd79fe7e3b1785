/*
 * nonoctl why — what a profile, or the session we are in, says about one path, host or scope, and which line to change.
 * Runs as: the user, in or out of a session.   Input: the person's arguments; inside, the session's state file.
 */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "client/library.h"
#include "client/options.h"
#include "client/out.h"
#include "client/policy-verbs.h"
#include "client/say.h"
#include "daemon/policy/show.h"

static const char help_why[] =
        "Usage: nonoctl why --path PATH [--op read|write|readwrite|exec]\n"
        "       nonoctl why --host HOST [--port PORT]\n"
        "       nonoctl why --scope signal|abstract-unix-socket\n"
        "\n"
        "Says whether it is allowed, by which rule in which file, and what would change the answer.\n"
        "\n"
        "  -p, --profile P    judge by this profile; default: $NONO_PROFILE, else default\n"
        "      --self         judge by the session this is called in\n"
        "      --json         JSON\n"
        "  -h, --help         this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl why -p claude-code --path ~/.ssh/id_ed25519\n"
        "  nonoctl why --self --path /etc/hosts --op write --json\n";

struct why {
        const char *path, *op, *host, *port, *scope, *profile;
        bool self, json;
        const struct policy_plan *plan;
        struct library *library;
};

/* What is answered; strings are ours or the plan's. */
struct why_answer {
        const char *status, *reason;
        char *details, *suggestion; /* owned */
        const struct policy_rule *rule, *closest;
        unsigned access;
};

static void why_answer_done(struct why_answer *a) {
        free(a->details);
        free(a->suggestion);
}

/* --- what is asked about --- */

/* Links of the longest part that exists are resolved, the rest is normalised as text: that is what a session would open. */
static char *why_canonical(const char *typed) {
        _cleanup_free_ char *full = NULL, *cwd = NULL, *real = NULL;
        char *out, *tail;
        size_t n;

        if (*typed != '/') {
                cwd = getcwd(NULL, 0);
                full = mem_format("%s/%s", cwd ? cwd : "", typed);
        } else {
                full = mem_copy(typed);
        }
        n = strlen(full);
        for (;;) {
                char kept = full[n];

                full[n] = '\0';
                real = realpath(n ? full : "/", NULL);
                full[n] = kept;
                if (real || n == 0)
                        break;
                do
                        n--;
                while (n > 0 && full[n] != '/');
        }
        out = mem_need(malloc(strlen(real ? real : "/") + strlen(full + n) + 2));
        strcpy(out, real && strcmp(real, "/") != 0 ? real : "");
        tail = full + n;
        for (char *part = strsep(&tail, "/"); part; part = strsep(&tail, "/")) {
                if (strcmp(part, "..") == 0 && strrchr(out, '/'))
                        *strrchr(out, '/') = '\0';
                else if (*part && strcmp(part, ".") != 0 && strcmp(part, "..") != 0)
                        strcat(strcat(out, "/"), part);
        }
        if (!*out)
                strcpy(out, "/");
        return out;
}

static size_t why_common(const char *a, const char *b) {
        size_t n = 0, at = 0;

        for (; a[n] && a[n] == b[n]; n++)
                if (a[n] == '/')
                        at = n;
        if ((!a[n] || a[n] == '/') && (!b[n] || b[n] == '/'))
                at = n;
        return at;
}

/*
 * The grant that comes nearest: it covers the path with too little access, or shares most of its directories, two at
 * least.
 */
static const struct policy_rule *why_closest(const struct policy_plan *plan, const char *path) {
        const struct policy_rule *best = NULL;
        const char *second = strchr(path + 1, '/');
        size_t n, most = 0;
        const struct policy_rule *rules = policy_plan_rules(plan, &n);

        for (size_t i = 0; i < n; i++) {
                size_t common = rules[i].effect == POLICY_ALLOW ? why_common(rules[i].path, path) : 0;

                if (common > most && (!rules[i].path[common] || (second && common > (size_t)(second - path)))) {
                        most = common;
                        best = &rules[i];
                }
        }
        return best;
}

static const char *why_flag(unsigned access) {
        return access == POLICY_READ ? "--read" : access == POLICY_WRITE ? "--write" : "--allow";
}

static void why_deny(const struct policy_rule *rule, const char *path, struct why_answer *a) {
        _cleanup_free_ char *shown = out_escaped(path);
        bool group = rule->origin == POLICY_FROM_GROUP || rule->origin == POLICY_FROM_REQUIRED_GROUP;

        a->status = "denied";
        a->reason = group ? "sensitive_path" : "filesystem_deny";
        a->rule = rule;
        if (rule->origin == POLICY_FROM_CEILING)
                a->details = mem_copy("the administrator of this host forbids it; no profile changes that");
        else if (rule->origin == POLICY_FROM_REQUIRED_GROUP)
                a->details = mem_format("group '%s' is required; only a profile that root installed lifts it", rule->group);
        else if (rule->origin == POLICY_FROM_GROUP) {
                a->details = mem_format("group '%s' denies it", rule->group);
                a->suggestion = mem_format("\"bypass_protection\": [\"%s\"] beside a grant", shown);
        } else {
                a->details = mem_copy("a deny wins over every grant");
                a->suggestion = rule->line ? mem_format("remove line %u of %s", rule->line, rule->source) : NULL;
        }
}

static int why_path(const struct why *w, struct why_answer *a) {
        static const char *const ops[] = { "read", "write", "readwrite", "exec" };
        static const unsigned accesses[] = { POLICY_READ, POLICY_WRITE, POLICY_READ | POLICY_WRITE, POLICY_READ };
        _cleanup_free_ char *path = why_canonical(w->path), *shown = NULL;
        struct policy_verdict v;
        size_t i = 0;

        while (i < ELEMENTSOF(ops) && strcmp(ops[i], w->op) != 0)
                i++;
        if (i == ELEMENTSOF(ops))
                return say_error("--op: expected read, write, readwrite or exec");
        if (!policy_path_is_normalised(path))
                return say_error("--path: too long");
        a->access = accesses[i];
        shown = out_escaped(path);
        v = policy_verdict(w->plan, path, a->access);
        if (v.answer == POLICY_ANSWER_GRANT) {
                a->status = "allowed";
                a->reason = "granted_path";
                a->rule = v.rule;
                if ((v.rule->access & a->access) != a->access)
                        a->reason = "granted_path_union";
        } else if (v.answer == POLICY_ANSWER_DENY) {
                why_deny(v.rule, path, a);
        } else {
                a->status = "approval_required";
                a->reason = v.granted ? "insufficient_access" : "path_not_granted";
                a->details = mem_copy(v.answer == POLICY_ANSWER_DESCEND ? "only parts below it are granted; a session sees their names"
                                                                        : "a session asks a person, or refuses when nobody answers");
                a->closest = why_closest(w->plan, path);
                a->suggestion = mem_format("%s %s", why_flag(a->access), shown);
        }
        return 0;
}

/* --- hosts and scopes --- */

static bool why_host_in(const char *const *list, const char *host) {
        for (; list && *list; list++)
                if (policy_host_match(*list, host))
                        return true;
        return false;
}

static int why_host(const struct why *w, struct why_answer *a) {
        const struct policy_settings *t = policy_plan_settings(w->plan);
        unsigned long long port = 0;
        bool local = strcmp(w->host, "localhost") == 0 || strcmp(w->host, "127.0.0.1") == 0 || strcmp(w->host, "::1") == 0;
        _cleanup_free_ char *shown = out_escaped(w->host);

        if (w->port && options_number("--port", w->port, UINT16_MAX, &port))
                return CLIENT_E_TOLD;
        for (size_t i = 0; local && i < t->n_open_ports; i++)
                if (t->open_ports[i] == port) {
                        a->status = "allowed";
                        a->reason = "network_allowed";
                        return 0;
                }
        if (t->net_block) {
                a->status = "denied";
                a->reason = "network_blocked";
        } else if (why_host_in(t->deny_domains, w->host)) {
                a->status = "denied";
                a->reason = "proxy_filtered";
                a->details = mem_copy("network.deny_domain names it");
        } else if (why_host_in(t->allow_domains, w->host)) {
                a->status = "allowed";
                a->reason = "proxy_allowed";
        } else {
                a->status = "approval_required";
                a->reason = "proxy_filtered";
                a->details = mem_copy(local ? "services of this host are reached port by port" : "no rule names this host");
                a->suggestion = local ? mem_format("--open-port %llu", port ? port : 8080ULL)
                                      : mem_format("\"allow_domain\": [\"%s\"]", shown);
        }
        return 0;
}

static int why_scope(const struct why *w) {
        bool signal = strcmp(w->scope, "signal") == 0;
        const char *details = signal ? "a session has its own process ids and cannot name others"
                                     : "a session has its own network namespace, and abstract sockets live in it";
        json_t *out;

        if (!signal && strcmp(w->scope, "abstract-unix-socket") != 0)
                return say_error("--scope: expected signal or abstract-unix-socket");
        if (!w->json) {
                printf("ISOLATED %s\n  %s\n", w->scope, details);
                return 0;
        }
        out = mem_need(json_object());
        out_json_set(out, "status", json_string("scope"));
        out_json_set(out, "scope", json_string(w->scope));
        out_json_set(out, "state", json_string("enforced"));
        out_json_set(out, "requested", json_true());
        out_json_set(out, "enforced", json_true());
        out_json_set(out, "supported", json_true());
        out_json_set(out, "details", json_string(details));
        return out_json_print(out, false);
}

/* --- output --- */

static const char *why_access_name(unsigned access) {
        return access == POLICY_READ ? "read" : access == POLICY_WRITE ? "write" : "read+write";
}

static char *why_place(const struct policy_rule *rule) {
        const char *source = rule->source ? rule->source : "this session";

        return rule->line ? mem_format("%s:%u", source, rule->line) : mem_copy(source);
}

static json_t *why_capability(const struct policy_rule *rule) {
        _cleanup_free_ char *place = why_place(rule);
        json_t *out = mem_need(json_object());

        out_json_set(out, "path", json_string(rule->path));
        out_json_set(out, "access", json_string(why_access_name(rule->access)));
        out_json_set(out, "source", json_string(place));
        return out;
}

static json_t *why_policy_source(const struct policy_rule *rule) {
        json_t *out = mem_need(json_object());

        if (rule->group)
                out_json_set(out, "group", json_string(rule->group));
        out_json_set(out, "file", json_string(rule->source ? rule->source : ""));
        out_json_set(out, "line", json_integer(rule->line));
        out_json_set(out, "pattern", json_string(rule->raw ? rule->raw : rule->path));
        return out;
}

static int why_print_json(const struct why_answer *a) {
        json_t *out = mem_need(json_object());

        out_json_set(out, "status", json_string(a->status));
        out_json_set(out, "reason", json_string(a->reason));
        if (a->details)
                out_json_set(out, "details", json_string(a->details));
        if (a->rule && a->rule->effect == POLICY_ALLOW) {
                _cleanup_free_ char *place = why_place(a->rule);

                out_json_set(out, "granted_path", json_string(a->rule->path));
                out_json_set(out, "access", json_string(why_access_name(a->rule->access)));
                out_json_set(out, "source", json_string(place));
        }
        if (a->rule)
                out_json_set(out, "policy_source", why_policy_source(a->rule));
        if (a->closest)
                out_json_set(out, "matching_capability", why_capability(a->closest));
        if (a->suggestion)
                out_json_set(out, "suggested_flag", json_string(a->suggestion));
        return out_json_print(out, false);
}

static void why_print_text(const struct why *w, const struct why_answer *a) {
        _cleanup_free_ char *what = out_escaped(w->path ? w->path : w->host);
        const char *word = strcmp(a->status, "allowed") == 0 ? "ALLOWED" : strcmp(a->status, "denied") == 0 ? "DENIED" : "ASKS";

        printf("%s %s", word, what);
        if (w->path)
                printf(" (%s)", why_access_name(a->access));
        printf("\n  Reason: %s\n", a->reason);
        if (a->details)
                printf("  Details: %s\n", a->details);
        if (a->rule) {
                _cleanup_free_ char *place = why_place(a->rule), *shown = out_escaped(place);
                _cleanup_free_ char *rule = out_escaped(a->rule->raw ? a->rule->raw : a->rule->path);

                printf("  Source: %s%s%s%s\n", shown, a->rule->group ? " (group " : "", a->rule->group ? a->rule->group : "",
                       a->rule->group ? ")" : "");
                printf("  Policy: %s %s %s\n", a->rule->effect == POLICY_DENY ? "deny" : "allow",
                       why_access_name(a->rule->access), rule);
        }
        if (a->closest) {
                _cleanup_free_ char *place = why_place(a->closest), *shown = out_escaped(place), *path = out_escaped(a->closest->path);

                printf("  Closest match: %s (%s) at %s\n", path, why_access_name(a->closest->access), shown);
        }
        if (a->suggestion)
                printf("  Suggested fix: %s\n", a->suggestion);
}

/* --- whose rules --- */

static int why_not_sandboxed(bool json) {
        static const char message[] = "this program does not run in a session";
        json_t *out;

        if (!json) {
                puts(message);
                return 0;
        }
        out = mem_need(json_object());
        out_json_set(out, "status", json_string("not_sandboxed"));
        out_json_set(out, "message", json_string(message));
        return out_json_print(out, false);
}

static int why_plan(struct why *w, struct policy_plan **ret) {
        const char *state = getenv("NONO_STATE_FILE");
        _cleanup_free_ char *text = NULL, *name = NULL;
        struct policy_error err = { .line = 0 };
        size_t n;
        int r;

        if (w->self) {
                text = library_read(state, &n);
                if (!text)
                        return CLIENT_E_TOLD;
                r = show_plan_load(text, n, state, ret, &err);
        } else {
                if (library_load(w->library) || library_name(w->library, w->profile, &name))
                        return CLIENT_E_TOLD;
                r = policy_compile(w->library->store, name, &w->library->vars.policy, ret, &err);
        }
        if (r)
                return r < 0 ? say_errno(r, "policy") : library_tell(&err);
        w->plan = *ret;
        return 0;
}

static int why_run(struct why *w) {
        _cleanup_(policy_plan_freep) struct policy_plan *plan = NULL;
        _cleanup_(why_answer_done) struct why_answer a = { .status = NULL };

        if (w->self && !getenv("NONO_STATE_FILE"))
                return why_not_sandboxed(w->json);
        if (w->scope)
                return why_scope(w);
        if (why_plan(w, &plan) || (w->path ? why_path(w, &a) : why_host(w, &a)))
                return CLIENT_E_TOLD;
        if (w->json)
                return why_print_json(&a);
        why_print_text(w, &a);
        return 0;
}

int cmd_why(int argc, char **argv) {
        static const struct option list[] = {
                { "path", required_argument, NULL, 'P' },    { "op", required_argument, NULL, 'o' },
                { "host", required_argument, NULL, 'H' },    { "port", required_argument, NULL, 'O' },
                { "scope", required_argument, NULL, 's' },   { "self", no_argument, NULL, 'S' },
                { "profile", required_argument, NULL, 'p' }, { "json", no_argument, NULL, 'j' },
                { "help", no_argument, NULL, 'h' },          { NULL, 0, NULL, 0 },
        };
        _cleanup_(library_done) struct library l = { .store = NULL };
        const char *profile = getenv("NONO_PROFILE");
        struct why w = { .op = "read", .profile = profile && *profile ? profile : "default", .library = &l };
        int c;

        optind = 0;
        while ((c = getopt_long(argc, argv, "p:h", list, NULL)) != -1)
                switch (c) {
                case 'P':
                        w.path = optarg;
                        break;
                case 'o':
                        w.op = optarg;
                        break;
                case 'H':
                        w.host = optarg;
                        break;
                case 'O':
                        w.port = optarg;
                        break;
                case 's':
                        w.scope = optarg;
                        break;
                case 'S':
                        w.self = true;
                        break;
                case 'p':
                        w.profile = optarg;
                        break;
                case 'j':
                        w.json = true;
                        break;
                case 'h':
                        fputs(help_why, stdout);
                        return out_finish();
                default:
                        return EXIT_USAGE;
                }
        if (!!w.path + !!w.host + !!w.scope != 1 || optind != argc) {
                (void)say_error("expected one of --path, --host and --scope");
                fputs("Try 'nonoctl why --help'.\n", stderr);
                return EXIT_USAGE;
        }
        return why_run(&w) || out_finish() ? 1 : 0;
}
