/*
 * nonoctl completion — scripts for bash, zsh and fish; and the names they ask for while somebody types.
 * Runs as: the user.   Input: policy files, root's and the person's.
 */
#include <stdio.h>
#include <string.h>

#include "client/library.h"
#include "client/options.h"
#include "client/out.h"
#include "client/policy-verbs.h"
#include "client/say.h"

static const char help_completion[] =
        "Usage: nonoctl completion bash|zsh|fish\n"
        "       nonoctl completion profiles|groups\n"
        "\n"
        "Prints a completion script for a shell, or names one per line.\n"
        "\n"
        "  -h, --help         this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl completion bash > ~/.local/share/bash-completion/completions/nonoctl\n"
        "  nonoctl completion zsh > ~/.local/share/zsh/site-functions/_nonoctl\n"
        "  nonoctl completion fish > ~/.config/fish/completions/nonoctl.fish\n";

/* What may follow a verb: options, and what its arguments are. */
enum completion_kind { COMPLETE_NOTHING, COMPLETE_PROFILES, COMPLETE_GROUPS, COMPLETE_FILES, COMPLETE_COMMANDS, COMPLETE_WORDS };

static const struct completion {
        const char *verb, *sub, *options;
        enum completion_kind kind;
        const char *words;
} completions[] = {
        { "run", "", "--allow --read --write --allow-file --read-file --write-file --allow-cwd --workdir --profile --name --open-port --sealed --dry-run --json --silent --verbose", COMPLETE_COMMANDS, "" },
        { "spawn", "", "--allow --read --write --allow-file --read-file --write-file --allow-cwd --workdir --name --open-port --sealed --dry-run --json --silent --verbose", COMPLETE_PROFILES, "" },
        { "ps", "", "--all --json", COMPLETE_NOTHING, "" },
        { "stop", "", "--force", COMPLETE_NOTHING, "" },
        { "watch", "", "--answer --json", COMPLETE_NOTHING, "" },
        { "prompts", "", "--json", COMPLETE_NOTHING, "" },
        { "approve", "", "--scope --for --rw", COMPLETE_NOTHING, "" },
        { "deny", "", "", COMPLETE_NOTHING, "" },
        { "grants", "", "--json", COMPLETE_NOTHING, "" },
        { "grant", "", "--rw --for", COMPLETE_FILES, "" },
        { "revoke", "", "--kill", COMPLETE_NOTHING, "" },
        { "policy", "", "", COMPLETE_WORDS, "groups profiles show diff validate" },
        { "policy", "groups", "--json --all-platforms", COMPLETE_GROUPS, "" },
        { "policy", "profiles", "--json", COMPLETE_NOTHING, "" },
        { "policy", "show", "--json --raw --format", COMPLETE_PROFILES, "" },
        { "policy", "diff", "--json", COMPLETE_PROFILES, "" },
        { "policy", "validate", "--json --strict", COMPLETE_FILES, "" },
        { "profile", "", "", COMPLETE_WORDS, "init edit list show diff validate groups schema guide" },
        { "profile", "init", "--extends --groups --description --full --output --force", COMPLETE_NOTHING, "" },
        { "profile", "edit", "--add --remove", COMPLETE_PROFILES, "" },
        { "profile", "list", "--json", COMPLETE_NOTHING, "" },
        { "profile", "show", "--json --raw --format", COMPLETE_PROFILES, "" },
        { "profile", "diff", "--json", COMPLETE_PROFILES, "" },
        { "profile", "validate", "--json --strict", COMPLETE_FILES, "" },
        { "profile", "groups", "--json --all-platforms", COMPLETE_GROUPS, "" },
        { "profile", "schema", "--output", COMPLETE_NOTHING, "" },
        { "profile", "guide", "", COMPLETE_NOTHING, "" },
        { "why", "", "--path --op --host --port --scope --profile --self --json", COMPLETE_NOTHING, "" },
        { "completion", "", "", COMPLETE_WORDS, "bash zsh fish" },
};

static void completion_verbs(void) {
        for (size_t i = 0; i < ELEMENTSOF(completions); i++)
                if (!*completions[i].sub)
                        printf("%s%s", i ? " " : "", completions[i].verb);
}

/* One `case` branch per verb and sub-verb, for bash and zsh alike. */
static void completion_cases(void) {
        static const char *const actions[] = {
                [COMPLETE_NOTHING] = "",
                [COMPLETE_PROFILES] = "$(nonoctl completion profiles 2>/dev/null)",
                [COMPLETE_GROUPS] = "$(nonoctl completion groups 2>/dev/null)",
                [COMPLETE_FILES] = "",
                [COMPLETE_COMMANDS] = "",
        };

        for (size_t i = 0; i < ELEMENTSOF(completions); i++) {
                const struct completion *c = &completions[i];

                printf("        '%s %s')\n", c->verb, c->sub);
                printf("            options='%s --help'\n", c->options);
                if (c->kind == COMPLETE_WORDS)
                        printf("            words='%s'\n", c->words);
                else if (*actions[c->kind])
                        printf("            words=\"%s\"\n", actions[c->kind]);
                if (c->kind == COMPLETE_FILES || c->kind == COMPLETE_COMMANDS || c->kind == COMPLETE_PROFILES)
                        puts("            files=1");
                puts("            ;;");
        }
}

static void completion_bash(void) {
        puts("# bash completion for nonoctl\n"
             "_nonoctl() {\n"
             "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
             "    local verb=${COMP_WORDS[1]} sub='' options='' words='' files=''\n"
             "    if ((COMP_CWORD == 1)); then");
        fputs("        COMPREPLY=($(compgen -W '", stdout);
        completion_verbs();
        puts(" --help --version' -- \"$current\"))\n"
             "        return\n"
             "    fi\n"
             "    case $previous in\n"
             "        --profile|--extends|-p) COMPREPLY=($(compgen -W \"$(nonoctl completion profiles 2>/dev/null)\" -- \"$current\")); return;;\n"
             "        --op) COMPREPLY=($(compgen -W 'read write readwrite exec' -- \"$current\")); return;;\n"
             "        --scope) COMPREPLY=($(compgen -W 'file folder parent signal abstract-unix-socket' -- \"$current\")); return;;\n"
             "        --format) COMPREPLY=($(compgen -W 'profile manifest' -- \"$current\")); return;;\n"
             "        --for) COMPREPLY=($(compgen -W 'once 15m session' -- \"$current\")); return;;\n"
             "        --path|--allow|--read|--write|--allow-file|--read-file|--write-file|--workdir|--output|-o) COMPREPLY=($(compgen -f -- \"$current\")); return;;\n"
             "    esac\n"
             "    if [[ ($verb == policy || $verb == profile) && COMP_CWORD -gt 2 ]]; then sub=${COMP_WORDS[2]}; fi\n"
             "    case \"$verb $sub\" in");
        completion_cases();
        puts("    esac\n"
             "    if [[ $current == -* ]]; then words=$options; files=''; fi\n"
             "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
             "    if [[ -n $files ]]; then COMPREPLY+=($(compgen -f -- \"$current\")); fi\n"
             "}\n"
             "complete -o filenames -F _nonoctl nonoctl");
}

static void completion_zsh(void) {
        puts("#compdef nonoctl\n"
             "_nonoctl() {\n"
             "    local verb=${words[2]} sub='' options='' files=''\n"
             "    local current=$words[CURRENT] previous=$words[CURRENT-1] position=$CURRENT third=${words[3]}\n"
             "    if (( position == 2 )); then");
        fputs("        compadd -- ", stdout);
        completion_verbs();
        puts(" --help --version\n"
             "        return\n"
             "    fi\n"
             "    case $previous in\n"
             "        --profile|--extends|-p) compadd -- ${(f)\"$(nonoctl completion profiles 2>/dev/null)\"}; return;;\n"
             "        --op) compadd -- read write readwrite exec; return;;\n"
             "        --scope) compadd -- file folder parent signal abstract-unix-socket; return;;\n"
             "        --format) compadd -- profile manifest; return;;\n"
             "        --for) compadd -- once 15m session; return;;\n"
             "        --path|--allow|--read|--write|--allow-file|--read-file|--write-file|--workdir|--output|-o) _files; return;;\n"
             "    esac\n"
             "    if [[ ($verb == policy || $verb == profile) && $position -gt 3 ]]; then sub=$third; fi\n"
             "    local words=''\n"
             "    case \"$verb $sub\" in");
        completion_cases();
        puts("    esac\n"
             "    if [[ $current == -* ]]; then words=$options; files=''; fi\n"
             "    compadd -- ${(z)words}\n"
             "    if [[ -n $files ]]; then _files; fi\n"
             "}\n"
             "if [[ $funcstack[1] == _nonoctl ]]; then _nonoctl \"$@\"; else compdef _nonoctl nonoctl; fi");
}

static void completion_fish_options(const struct completion *c, const char *condition) {
        _cleanup_free_ char *copy = mem_copy(c->options);
        char *rest = copy;

        for (char *option = strsep(&rest, " "); option; option = strsep(&rest, " "))
                if (strncmp(option, "--", 2) == 0)
                        printf("complete -c nonoctl -n '%s' -l %s\n", condition, option + 2);
}

static void completion_fish(void) {
        static const char *const actions[] = {
                [COMPLETE_NOTHING] = "",           [COMPLETE_PROFILES] = " -a '(nonoctl completion profiles 2>/dev/null)'",
                [COMPLETE_GROUPS] = " -a '(nonoctl completion groups 2>/dev/null)'",
                [COMPLETE_FILES] = " -F",          [COMPLETE_COMMANDS] = " -F",
                [COMPLETE_WORDS] = "",
        };

        puts("# fish completion for nonoctl\ncomplete -c nonoctl -f");
        for (size_t i = 0; i < ELEMENTSOF(completions); i++) {
                const struct completion *c = &completions[i];
                _cleanup_free_ char *condition = NULL;

                if (*c->sub)
                        condition = mem_format("__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s", c->verb, c->sub);
                else
                        condition = mem_format("__fish_seen_subcommand_from %s", c->verb);
                if (!*c->sub)
                        printf("complete -c nonoctl -n __fish_use_subcommand -a %s\n", c->verb);
                if (c->kind == COMPLETE_WORDS)
                        printf("complete -c nonoctl -n '%s; and not __fish_seen_subcommand_from %s' -a '%s'\n", condition, c->words,
                               c->words);
                else if (*actions[c->kind])
                        printf("complete -c nonoctl -n '%s'%s\n", condition, actions[c->kind]);
                completion_fish_options(c, condition);
        }
}

static int completion_names(enum policy_kind kind) {
        _cleanup_(library_done) struct library l = { .store = NULL };
        _cleanup_free_ const char **names = NULL;
        size_t n;

        if (library_load(&l))
                return 1;
        if (policy_store_names(l.store, kind, &names, &n))
                mem_need(NULL);
        for (size_t i = 0; i < n; i++)
                puts(names[i]);
        return out_finish();
}

int cmd_completion(int argc, char **argv) {
        static const struct {
                const char *name;
                void (*print)(void);
        } shells[] = { { "bash", completion_bash }, { "zsh", completion_zsh }, { "fish", completion_fish } };
        _cleanup_free_ char *shown = NULL;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_completion, NULL, 1, 1, &args, &n);
        if (r)
                return options_status(r);
        if (strcmp(args[0], "profiles") == 0)
                return completion_names(POLICY_PROFILE);
        if (strcmp(args[0], "groups") == 0)
                return completion_names(POLICY_GROUP);
        for (size_t i = 0; i < ELEMENTSOF(shells); i++)
                if (strcmp(args[0], shells[i].name) == 0) {
                        shells[i].print();
                        return out_finish();
                }
        shown = out_escaped(args[0]);
        (void)say_error("'%s': expected bash, zsh or fish", shown);
        return EXIT_USAGE;
}
