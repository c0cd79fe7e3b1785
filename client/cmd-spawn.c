/*
 * nonoctl spawn — the program that a profile is for.
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

static const char help_spawn[] =
        "Usage: nonoctl spawn PROFILE [OPTION]... [-- ARGUMENT...]\n"
        "\n"
        "Runs the program that PROFILE is for, in the current directory, with what PROFILE grants. PROFILE is a name, or a\n"
        "file when it has a '/' or ends in .json. The ARGUMENTs are the program's own.\n"
        "\n"
        "Options are those of nonoctl run, except --profile; what they grant comes on top:\n"
        "  -a, --allow DIR   -r, --read DIR   -w, --write DIR   --allow-file, --read-file, --write-file FILE\n"
        "      --allow-cwd   --workdir DIR    --open-port PORT  --name NAME   --sealed   --dry-run [--json]\n"
        "  -s, --silent      -v, --verbose    --socket PATH     -h, --help\n"
        "\n"
        "Exit status: as of nonoctl run.\n"
        "\n"
        "Examples:\n"
        "  nonoctl spawn claude-code\n"
        "  nonoctl spawn codex -r ~/notes -- exec 'summarise the notes'\n"
        "  nonoctl spawn claude-code --dry-run\n"
        "  nonoctl spawn ./my-agent.json -- --verbose\n";

/* argv of the program: its name, the profile's own arguments, the person's. Heap list of borrowed strings. */
static char **spawn_arguments(const char *name, const char *const *args, char **rest, int n_rest) {
        size_t n = 0;
        char **argv;

        while (args && args[n])
                n++;
        argv = mem_need(calloc(n + (size_t)n_rest + 2, sizeof(*argv)));
        argv[0] = (char *)name;
        for (size_t i = 0; i < n; i++)
                argv[i + 1] = (char *)args[i];
        for (int i = 0; i < n_rest; i++)
                argv[n + 1 + (size_t)i] = rest[i];
        return argv;
}

static int spawn_program(struct flags *f, const char *profile, char **rest, int n_rest) {
        _cleanup_(client_vars_done) struct client_vars vars = { 0 };
        _cleanup_(policy_plan_freep) struct policy_plan *plan = NULL;
        _cleanup_free_ char *workdir = NULL, *program = NULL, *shown = out_escaped(profile);
        _cleanup_free_ char **argv = NULL;
        struct start s = { .flags = f, .vars = &vars, .profile = profile };
        const struct policy_settings *settings = NULL;
        bool user = false;
        int r;

        if (userpath_workdir(f->workdir, &workdir))
                return EXIT_OWN;
        client_vars_init(&vars, workdir);
        s.workdir = workdir;
        r = profile_load(profile, &vars, &plan, &user);
        if (r == CLIENT_E_TOLD)
                return EXIT_OWN;
        if (r == PROFILE_E_UNREADABLE) { /* the daemon may know it */
                argv = spawn_arguments(profile, NULL, rest, n_rest);
                s.program = profile;
                s.program_of_profile = true;
                s.argv = argv;
                return start_session(&s);
        }
        settings = policy_plan_settings(plan);
        if (!settings->program) {
                (void)say_error("profile '%s' names no program", shown);
                say_hint("run one with it: nonoctl run -p %s -- COMMAND", shown);
                return EXIT_OWN;
        }
        r = userpath_program(settings->program, &program);
        if (r) {
                say_hint("profile '%s' is for this program: is it installed, and on your PATH?", shown);
                return r;
        }
        if (user) {
                s.plan = plan;
                s.profile = settings->name;
                flags_add_plan(f, plan);
        }
        argv = spawn_arguments(settings->program, settings->args, rest, n_rest);
        s.program = program;
        s.argv = argv;
        return start_session(&s);
}

int cmd_spawn(int argc, char **argv) {
        struct flags f = { 0 };
        char *profile = NULL;
        int next, r;

        r = flags_parse(argc, argv, help_spawn, true, &f, &next);
        if (r == 0 && (next >= argc || strcmp(argv[next - 1], "--") == 0)) {
                r = say_error("spawn: no profile is given");
                fputs("Usage: nonoctl spawn PROFILE [OPTION]... [-- ARGUMENT...]\n", stderr);
        }
        if (r == 0) {
                /* options may follow the profile too; what comes after "--", or the first other word, is the program's */
                profile = argv[next];
                argv[next] = argv[0];
                argv += next;
                argc -= next;
                r = flags_parse(argc, argv, help_spawn, true, &f, &next);
        }
        if (r == 0 && next < argc && strcmp(argv[next - 1], "--") != 0) {
                _cleanup_free_ char *shown = out_escaped(argv[next]);

                r = say_error("spawn: '%s' is no option; arguments of the program come after --", shown);
        }
        if (r == 0)
                r = flags_environment(&f, true);
        if (r == FLAGS_DONE)
                r = out_finish();
        else
                r = r ? EXIT_OWN : spawn_program(&f, profile, argv + next, argc - next);
        flags_done(&f);
        return r;
}
