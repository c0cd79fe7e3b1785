/*
 * Verbs — what nonoctl can do, one row each. A verb gets argv[0] = "nonoctl VERB" and returns the exit status.
 */
#pragma once

struct verb {
        const char *name, *arguments, *summary;
        int (*run)(int argc, char **argv);
};

int cmd_run(int argc, char **argv);
int cmd_spawn(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_prompts(int argc, char **argv);
int cmd_approve(int argc, char **argv);
int cmd_deny(int argc, char **argv);
int cmd_grants(int argc, char **argv);
int cmd_grant(int argc, char **argv);
int cmd_revoke(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_stop(int argc, char **argv);
