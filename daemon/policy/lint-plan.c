/*
 * Only rules of the file itself are reported: what a base or a group grants is reported where it stands.
 * Runs as: anyone.   Input: checked rules.
 */
#include "daemon/policy/lint-plan.h"

#include <string.h>

#include "common/error.h"
#include "daemon/policy/draft.h"
#include "daemon/policy/plan.h"
#include "daemon/policy/store.h"
#include "daemon/policy/vars.h"

enum { LINT_RW = POLICY_READ | POLICY_WRITE };

struct lint_check {
        struct lint *lint;
        const struct policy_plan *plan;
        const struct store_object *profile;
        const struct lint_options *options;
};

static bool lint_is_own(const struct lint_check *c, const struct policy_rule *rule) {
        return rule->origin == POLICY_FROM_PROFILE && rule->line && strcmp(rule->source, c->profile->source) == 0;
}

static const char *lint_shown(const struct policy_rule *rule) {
        return rule->raw ? rule->raw : rule->path;
}

/* The profile's own rule that lets a session have @access to @text; NULL when it is no rule of this file. */
static const struct policy_rule *lint_granting(const struct lint_check *c, const char *text, unsigned access) {
        char path[POLICY_PATH_MAX];
        struct policy_verdict v;

        if (vars_expand(text, c->options->vars, path, sizeof(path)))
                return NULL;
        v = policy_verdict(c->plan, path, access);
        return v.answer == POLICY_ANSWER_GRANT && lint_is_own(c, v.rule) ? v.rule : NULL;
}

/* Whole trees that nobody means to hand out. */
static int lint_wide(const struct lint_check *c, const struct policy_rule *rule) {
        static const struct {
                const char *path;
                unsigned access; /* too much from here on */
        } wide[] = {
                { "/", POLICY_READ },    { "~", POLICY_READ },      { "/home", POLICY_READ }, { "/Users", POLICY_READ },
                { "/root", POLICY_READ }, { "/etc", POLICY_WRITE },  { "/usr", POLICY_WRITE },  { "/var", POLICY_WRITE },
                { "/run", POLICY_READ }, { "/proc", POLICY_WRITE }, { "/sys", POLICY_WRITE },  { "/dev", POLICY_WRITE },
                { "/opt", POLICY_WRITE }, { "~/.config", POLICY_WRITE }, { "~/.local", POLICY_WRITE },
        };

        if (rule->file || rule->effect != POLICY_ALLOW)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(wide); i++) {
                char path[POLICY_PATH_MAX];

                if (vars_expand(wide[i].path, c->options->vars, path, sizeof(path)) || strcmp(path, rule->path) != 0 ||
                    (wide[i].access == POLICY_WRITE && !(rule->access & POLICY_WRITE)))
                        continue;
                return lint_add(c->lint, LINT_WARNING, "W201", rule->line, 1,
                                "name the directories that are needed; nonoctl learn finds them",
                                "'%s' is granted as a whole", lint_shown(rule));
        }
        return 0;
}

/* Paths that matter for one reason; those that one rule makes writable are one finding. */
struct lint_paths {
        const char *const *texts;
        size_t n;
        enum lint_severity severity;
        const char *code, *what, *fix;
};

static int lint_writable(const struct lint_check *c, const struct lint_paths *p) {
        for (size_t i = 0; i < p->n; i++) {
                const struct policy_rule *rule = lint_granting(c, p->texts[i], POLICY_WRITE);
                char list[256] = "";
                bool told = false;
                int r;

                for (size_t k = 0; rule && k < p->n; k++) {
                        const struct policy_rule *other = lint_granting(c, p->texts[k], POLICY_WRITE);
                        size_t at = strlen(list);

                        if (!other || other->id != rule->id)
                                continue;
                        told |= k < i;
                        (void)snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "", p->texts[k]);
                }
                if (!rule || told)
                        continue;
                r = lint_add(c->lint, p->severity, p->code, rule->line, 1, p->fix, "'%s' makes writable %s: %s",
                             lint_shown(rule), p->what, list);
                if (r)
                        return r;
        }
        return 0;
}

/* A program put there runs outside the box the next time its name is typed. */
static int lint_program_directories(const struct lint_check *c) {
        static const char *const usual[] = {
                "~/bin",     "~/.local/bin", "~/.cargo/bin", "~/go/bin", "~/.bun/bin", "~/.npm-global/bin", "~/.deno/bin",
                "/usr/bin",  "/usr/sbin",    "/bin",         "/sbin",    "/usr/local/bin", "/usr/local/sbin", "/opt/homebrew/bin",
        };
        const char *texts[ELEMENTSOF(usual) + 64];
        struct lint_paths paths = {
                .texts = texts, .severity = LINT_WARNING, .code = "W202", .what = "where programs are looked for",
                .fix = "add these to filesystem.deny_write: what is put there runs outside the session",
        };

        for (; paths.n < ELEMENTSOF(usual); paths.n++)
                texts[paths.n] = usual[paths.n];
        for (const char *const *dir = c->options->path_dirs; dir && *dir && paths.n < ELEMENTSOF(texts); dir++) {
                bool known = false;

                for (size_t i = 0; i < paths.n; i++)
                        known |= strcmp(texts[i], *dir) == 0;
                if (!known)
                        texts[paths.n++] = *dir;
        }
        return lint_writable(c, &paths);
}

/* Files that other programs of this user obey. */
static int lint_control_files(const struct lint_check *c) {
        static const char *const project[] = {
                "$WORKDIR/.git/hooks", "$WORKDIR/.git/config", "$WORKDIR/.envrc", "$WORKDIR/.vscode/tasks.json",
                "$WORKDIR/.idea",      "$WORKDIR/.husky",
        };
        static const char *const home[] = {
                "~/.bashrc",    "~/.profile",    "~/.zshrc",            "~/.config/fish",         "~/.config/autostart",
                "~/.gitconfig", "~/.ssh/config", "~/.vscode/extensions", "~/.config/systemd/user", "~/Library/LaunchAgents",
        };
        const struct lint_paths in_project = {
                project, ELEMENTSOF(project), LINT_NOTE, "N203", "what decides what runs outside the session",
                "name those you can spare in filesystem.deny_write: **/.git/hooks",
        };
        const struct lint_paths in_home = {
                home, ELEMENTSOF(home), LINT_WARNING, "W203", "what decides what runs outside the session",
                "add these to filesystem.deny_write",
        };
        int r = lint_writable(c, &in_project);

        return r ? r : lint_writable(c, &in_home);
}

static int lint_sockets(const struct lint_check *c) {
        static const struct {
                const char *path, *what;
        } sockets[] = {
                { "/var/run/docker.sock", "whoever reaches it is root on this host" },
                { "/run/docker.sock", "whoever reaches it is root on this host" },
                { "$XDG_RUNTIME_DIR/docker.sock", "it starts containers that see all files of this user" },
                { "/run/containerd/containerd.sock", "whoever reaches it is root on this host" },
                { "$XDG_RUNTIME_DIR/podman/podman.sock", "it starts containers that see all files of this user" },
                { "$XDG_RUNTIME_DIR/bus", "the session bus starts programs outside the session" },
                { "/run/dbus/system_bus_socket", "the system bus reaches services of the host" },
                { "$XDG_RUNTIME_DIR/systemd/private", "it starts programs outside the session" },
                { "$XDG_RUNTIME_DIR/gnupg/S.gpg-agent", "it signs and decrypts with this user's keys" },
                { "$XDG_RUNTIME_DIR/keyring/ssh", "it logs in with this user's keys" },
                { "$XDG_RUNTIME_DIR/wayland-0", "it can read the screen" },
                { "/tmp/.X11-unix/X0", "it can read the screen and type for the user" },
        };

        for (size_t i = 0; i < ELEMENTSOF(sockets); i++) {
                const struct policy_rule *rule = lint_granting(c, sockets[i].path, POLICY_WRITE);
                int r;

                if (!rule)
                        continue;
                r = lint_add(c->lint, LINT_WARNING, "W204", rule->line, 1, "add it to filesystem.deny",
                             "'%s' can be reached: %s", sockets[i].path, sockets[i].what);
                if (r)
                        return r;
        }
        return 0;
}

/* Rules that another rule makes void. */
static int lint_void(const struct lint_check *c, const struct policy_rule *rule) {
        struct policy_verdict v;

        if (rule->pattern)
                return 0;
        v = policy_verdict(c->plan, rule->path, rule->access);
        if (rule->effect == POLICY_DENY && v.answer == POLICY_ANSWER_DENY && v.rule->id != rule->id &&
            v.rule->origin < rule->origin && !rule->revoke)
                return lint_add(c->lint, LINT_NOTE, "N206", rule->line, 1, "remove it",
                                "'%s' is denied already (%s line %u)", lint_shown(rule), v.rule->source, v.rule->line);
        if (rule->effect == POLICY_ALLOW && v.answer == POLICY_ANSWER_DENY)
                return lint_add(c->lint, LINT_WARNING, "W206", rule->line, 1,
                                v.rule->origin == POLICY_FROM_PROFILE ? "remove one of the two" :
                                                                        "remove it; a deny wins over a grant",
                                "the grant of '%s' is void: denied by %s line %u%s%s%s", lint_shown(rule),
                                v.rule->source, v.rule->line, v.rule->group ? " (group " : "",
                                v.rule->group ? v.rule->group : "", v.rule->group ? ")" : "");
        return 0;
}

/* The bypass itself is a list, not a rule: see what it did. */
static int lint_bypass(const struct lint_check *c) {
        node_foreach(item, node_get_path(c->profile->root, "filesystem.bypass_protection")) {
                const struct node *text = item->type == NODE_OBJECT ? node_get(item, "path") : item;
                char path[POLICY_PATH_MAX];
                struct policy_verdict v;
                bool granted = false;
                size_t n;
                const struct policy_rule *rules = policy_plan_rules(c->plan, &n);
                int r = 0;

                if (!node_string(text) || vars_is_pattern(text->string) ||
                    vars_expand(text->string, c->options->vars, path, sizeof(path)) || node_get(item, "when"))
                        continue;
                v = policy_verdict(c->plan, path, POLICY_READ);
                for (size_t i = 0; i < n; i++)
                        granted |= rules[i].effect == POLICY_ALLOW && (rules[i].lift & POLICY_LIFT_GROUP) &&
                                   draft_names(path, false, rules[i].path, rules[i].pattern);
                if (!granted)
                        r = lint_add(c->lint, LINT_ERROR, "E205", text->line, text->column,
                                     "grant the path as well: a bypass grants nothing of its own",
                                     "bypass of '%s' has no matching grant", text->string);
                else if (v.answer == POLICY_ANSWER_DENY && v.rule->origin == POLICY_FROM_REQUIRED_GROUP)
                        r = lint_add(c->lint, LINT_ERROR, "E207", text->line, text->column,
                                     "only a profile that root installed lifts it",
                                     "bypass of '%s' has no effect: group '%s' is required", text->string, v.rule->group);
                if (r)
                        return r;
        }
        return 0;
}

static int lint_absent(const struct lint_check *c, const struct policy_rule *rule) {
        if (!c->options->exists || strncmp(lint_shown(rule), "$WORKDIR", 8) == 0 ||
            c->options->exists(rule->path, rule->pattern, c->options->arg))
                return 0;
        return lint_add(c->lint, LINT_NOTE, "N208", rule->line, 1, NULL, "'%s' matches nothing on this system",
                        lint_shown(rule));
}

int lint_plan(struct lint *l, const struct policy_plan *plan, const struct store_object *profile,
              const struct lint_options *options) {
        const struct lint_check c = { .lint = l, .plan = plan, .profile = profile, .options = options };
        size_t n;
        const struct policy_rule *rules = policy_plan_rules(plan, &n);
        int r = 0;

        for (size_t i = 0; i < n && !r; i++) {
                if (!lint_is_own(&c, &rules[i]))
                        continue;
                r = lint_wide(&c, &rules[i]);
                if (!r)
                        r = lint_void(&c, &rules[i]);
                if (!r)
                        r = lint_absent(&c, &rules[i]);
        }
        if (!r)
                r = lint_program_directories(&c);
        if (!r)
                r = lint_control_files(&c);
        if (!r)
                r = lint_sockets(&c);
        if (!r)
                r = lint_bypass(&c);
        return r;
}
