/*
 * Profile file — what a profile says, read with the person's rights: the shipped policy, and files of the person's own.
 * Runs as: the user.   Input: policy files, root's or the person's.
 */
#pragma once

#include <stdbool.h>

#include "daemon/policy/policy.h"

struct client_vars {
        struct policy_vars policy;
        char *memory[16]; /* owns the strings of `policy` */
};

/* Home, XDG directories, TMPDIR from the environment; /etc/os-release. @workdir: borrowed. */
void client_vars_init(struct client_vars *v, const char *workdir);
void client_vars_done(struct client_vars *v);
DEFINE_CLEANUP(struct client_vars, client_vars_done);

enum { PROFILE_OK = 0, PROFILE_E_UNREADABLE = 2 }; /* beside CLIENT_E_TOLD */

/* A profile is a file when it has a '/' or ends in ".json"; or when ~/.config/nono/profiles/NAME.json exists. */
bool profile_is_file(const char *profile, const struct client_vars *v);

/**
 * profile_load() - compile a profile
 * @profile: as the person named it
 * @ret_user: it is the person's own file: the daemon has to be sent its rules
 * Return: 0; PROFILE_E_UNREADABLE: a name, and no policy directory that we can read has it: the daemon may;
 * CLIENT_E_TOLD.
 */
int profile_load(const char *profile, const struct client_vars *v, struct policy_plan **ret, bool *ret_user);
