/*
 * Flags — what run and spawn share: from the command line to the rules of a Spawn message.
 * Runs as: the user.   Input: the person's arguments and environment.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "nono.pb-c.h"

struct flags {
        Nono__Rule **rules; /* owned, with their strings */
        size_t n_rules, cap_rules;
        uint32_t *open_ports;
        size_t n_open_ports;
        const char *profile, *name, *workdir; /* borrowed from argv or the environment; NULL: not given */
        bool allow_cwd, sealed, dry_run, json, silent, verbose;
};

enum { FLAGS_OK = 0, FLAGS_DONE = 2 /* help was printed */ };

/**
 * flags_parse() - options up to the command or profile
 * @help:     printed for --help
 * @no_profile: -p is refused (spawn names it)
 * @f:        zeroed, or from an earlier call: added to; freed with flags_done() whatever is returned
 * @ret_next: index of the first argument that is no option
 * Return: 0; FLAGS_DONE; CLIENT_E_TOLD.
 */
int flags_parse(int argc, char **argv, const char *help, bool no_profile, struct flags *f, int *ret_next);
/* NONO_ALLOW and NONO_PROFILE, after the options. Return: 0; CLIENT_E_TOLD. */
int flags_environment(struct flags *f, bool no_profile);
/* Copies; NULL strings stay empty. */
void flags_add_rule(struct flags *f, Nono__Access access, bool file, const char *path, const char *raw,
                    const char *source);
void flags_add_port(struct flags *f, uint32_t port);
void flags_done(struct flags *f);

struct policy_plan;
/* The rules and ports of the person's own profile, in place of the daemon's. Ceiling rules are the daemon's to add. */
void flags_add_plan(struct flags *f, const struct policy_plan *plan);
