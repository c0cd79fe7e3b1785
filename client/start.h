/*
 * Start — from flags and a command to a running session; what run and spawn do once they know the program.
 * Runs as: the user.   Input: the person's own command and environment.
 */
#pragma once

#include <stdbool.h>

struct client_vars;
struct flags;
struct policy_plan;

struct start {
        struct flags *flags;
        const struct client_vars *vars;
        const char *workdir;             /* canonical */
        const char *profile;             /* name for the daemon; NULL: the default */
        const struct policy_plan *plan;  /* of the person's own profile; NULL: the daemon knows it */
        bool program_of_profile;         /* the daemon names the program */
        const char *program;             /* absolute path; or a name with program_of_profile */
        char **argv;
};

/* Return: the exit status. */
int start_session(const struct start *s);
