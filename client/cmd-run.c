/*
 * nonoctl run — any command in a session.
 * Runs as: the user.   Input: the person's arguments.
 */
#include <stdio.h>
#include <string.h>

#include "client/flags.h"
#include "client/out.h"
#include "client/profile-file.h"
#include "client/say.h"
#include "client/start.h"
#include "client/userpath.h"
#include "client/verbs.h"

static const char help_run[] =
        "Usage: nonoctl run [OPTION]... -- COMMAND [ARGUMENT]...\n"
        "\n"
        "Runs COMMAND in a session: it sees and reaches only what the profile and the options below grant. An access\n"
        "outside of that waits while you decide: in this terminal, or with nonoctl prompts, approve and deny.\n"
        "\n"
        "What it may use (a path is relative to the current directory; each may be given more than once):\n"
        "  -a, --allow DIR        read and write DIR and all below it\n"
        "  -r, --read DIR         only read DIR and all below it\n"
        "  -w, --write DIR        only write\n"
        "      --allow-file FILE  read and write this one file\n"
        "      --read-file FILE   only read it\n"
        "      --write-file FILE  only write it\n"
        "      --allow-cwd        the working directory, as the profile says; only reading when it says nothing\n"
        "      --open-port PORT   connect to this TCP port of the host's 127.0.0.1\n"
        "  -p, --profile NAME     what this profile grants; a file when it has a '/' or ends in .json\n"
        "\n"
        "How it runs:\n"
        "      --workdir DIR      start in DIR\n"
        "      --name NAME        call the session NAME\n"
        "      --sealed           ask nobody: what is not granted is denied at once\n"
        "  -s, --silent           show no prompt and no summary in this terminal\n"
        "  -v, --verbose          say more, on standard error\n"
        "      --dry-run          only show what would be granted; with --json as JSON\n"
        "      --socket PATH      the daemon's socket\n"
        "  -h, --help             this text\n"
        "\n"
        "Environment: NONO_ALLOW (directories as for --allow, separated by commas), NONO_PROFILE, NONO_SOCKET,\n"
        "NONO_POLICY_DIR (where profiles and groups are, when not installed).\n"
        "\n"
        "Exit status: the command's own; 128+N when signal N ended it; 125 when nonoctl or nonod failed, 126 when COMMAND\n"
        "cannot be executed, 127 when it is not found.\n"
        "\n"
        "Examples:\n"
        "  nonoctl run -a . -- make test\n"
        "  nonoctl run -a . -r ~/.config/git --open-port 5432 -- python3 agent.py\n"
        "  nonoctl run -p ./my-agent.json --dry-run -- my-agent\n"
        "  git diff | nonoctl run -s --sealed -- my-formatter > out.txt\n";

/* The person's own profile is compiled here and sent as rules. Return: 0; CLIENT_E_TOLD. */
static int run_profile(struct start *s, struct flags *f, const struct client_vars *v, struct policy_plan **ret_plan) {
        bool user = false;
        int r;

        s->profile = f->profile;
        if (!f->profile || !profile_is_file(f->profile, v))
                return 0;
        r = profile_load(f->profile, v, ret_plan, &user);
        if (r)
                return CLIENT_E_TOLD;
        s->plan = *ret_plan;
        s->profile = policy_plan_settings(s->plan)->name;
        flags_add_plan(f, s->plan);
        return 0;
}

static int run_command(struct flags *f, char **argv) {
        _cleanup_(client_vars_done) struct client_vars vars = { 0 };
        _cleanup_(policy_plan_freep) struct policy_plan *plan = NULL;
        _cleanup_free_ char *workdir = NULL, *program = NULL;
        struct start s = { .flags = f, .vars = &vars, .argv = argv };
        int r;

        if (userpath_workdir(f->workdir, &workdir))
                return EXIT_OWN;
        client_vars_init(&vars, workdir);
        if (run_profile(&s, f, &vars, &plan))
                return EXIT_OWN;
        r = userpath_program(argv[0], &program);
        if (r)
                return r;
        s.workdir = workdir;
        s.program = program;
        return start_session(&s);
}

int cmd_run(int argc, char **argv) {
        struct flags f = { 0 };
        int next, r;

        r = flags_parse(argc, argv, help_run, false, &f, &next);
        if (r == 0)
                r = flags_environment(&f, false);
        if (r == 0 && next >= argc) {
                r = say_error("run: no command is given");
                fputs("Usage: nonoctl run [OPTION]... -- COMMAND [ARGUMENT]...\n", stderr);
        }
        if (r == FLAGS_DONE)
                r = out_finish();
        else
                r = r ? EXIT_OWN : run_command(&f, argv + next);
        flags_done(&f);
        return r;
}
