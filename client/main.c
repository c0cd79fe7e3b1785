/*
 * nonoctl — the unprivileged client: a table of verbs, and the options before the verb.
 * Runs as: the user.   Input: the person's arguments.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "client/out.h"
#include "client/policy-verbs.h"
#include "client/say.h"
#include "client/verbs.h"
#include "common/log.h"
#include "config.h"

static const struct verb verbs[] = {
        { "run", "-- COMMAND...", "run a command in a session", cmd_run },
        { "spawn", "PROFILE", "run the program that a profile is for", cmd_spawn },
        { "ps", "", "list sessions", cmd_ps },
        { "stop", "SESSION", "end a session", cmd_stop },
        { "watch", "[SESSION]", "see requests, denials and grants as they happen", cmd_watch },
        { "prompts", "[SESSION]", "list the requests that wait for an answer", cmd_prompts },
        { "approve", "ID", "let a request go on", cmd_approve },
        { "deny", "ID", "refuse a request", cmd_deny },
        { "grants", "[SESSION]", "show what a session may use", cmd_grants },
        { "grant", "[SESSION] PATH", "let a running session use a path", cmd_grant },
        { "revoke", "[SESSION] GRANT", "take a grant away from a running session", cmd_revoke },
        { "policy", "groups|show|...", "look at groups and profiles", cmd_policy },
        { "profile", "init|show|...", "write and check profiles of your own", cmd_profile },
        { "why", "--path PATH", "say why a path is granted, asked for or denied", cmd_why },
        { "completion", "SHELL", "print completion for a shell", cmd_completion },
};

static int main_help(void) {
        printf("Usage: nonoctl [--socket PATH] VERB [OPTION]... [ARGUMENT]...\n"
               "\n"
               "Runs programs in sessions of nonod: they see and reach only what is granted, and you decide about the rest.\n"
               "\n");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                printf("  %-10s %-16s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].summary);
        printf("\n"
               "  nonoctl VERB --help tells more about one; nonoctl --version prints the version.\n"
               "\n"
               "Examples:\n"
               "  nonoctl spawn claude-code\n"
               "  nonoctl run --allow . -- make test\n"
               "  nonoctl watch --answer\n");
        return out_finish();
}

/* Descriptors 0, 1 and 2 exist from here on: nothing of ours may land there. */
static void main_standard_descriptors(void) {
        for (int fd = 0; fd < 3; fd++)
                if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
                        (void)!open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
}

static int main_verb(int argc, char **argv) {
        _cleanup_free_ char *name = NULL, *shown = NULL;

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strcmp(argv[0], verbs[i].name) == 0) {
                        name = mem_format("nonoctl %s", verbs[i].name);
                        argv[0] = name;
                        return verbs[i].run(argc, argv);
                }
        shown = out_escaped(argv[0]);
        (void)say_error("there is no verb '%s'", shown);
        fputs("Try 'nonoctl --help'.\n", stderr);
        return EXIT_OWN;
}

int main(int argc, char **argv) {
        int i = 1;

        main_standard_descriptors();
        out_init();
        log_init("nonoctl", getenv("NONO_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
        for (; i < argc && argv[i][0] == '-'; i++) {
                if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
                        return main_help();
                if (strcmp(argv[i], "--version") == 0) {
                        puts("nonoctl " NONOD_VERSION);
                        return out_finish();
                }
                if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc)
                        i++;
                else if (strncmp(argv[i], "--socket=", 9) == 0)
                        argv[i] += 9;
                else
                        break;
                if (setenv("NONO_SOCKET", argv[i], 1) < 0)
                        mem_need(NULL);
        }
        if (i < argc && argv[i][0] != '-')
                return main_verb(argc - i, argv + i);
        if (i < argc) {
                _cleanup_free_ char *shown = out_escaped(argv[i]);

                (void)say_error("unknown option '%s'", shown);
        }
        fputs("Usage: nonoctl [--socket PATH] VERB [OPTION]... [ARGUMENT]...\nTry 'nonoctl --help'.\n", stderr);
        return EXIT_OWN;
}
