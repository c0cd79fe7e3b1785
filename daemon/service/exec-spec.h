/*
 * Exec spec — checks what a client wants to run, filters its environment, and writes the spec that init reads.
 * Runs as: user nono.   Input: a memfd of the client's (hostile); sealed, so that it is read once and stays so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct policy_settings;

struct command {
        char *program, *workdir;
        char **argv, **env; /* NULL-terminated lists into memory */
        size_t n_argv, n_env;
        uint16_t rows, columns;
        uint32_t tty_mask;
        char *memory;
};

/* Outcomes: @ret_why says what is wrong, in words for the client. */
enum { EXEC_SPEC_OK = 0, EXEC_SPEC_E_INVALID = 1 };

/* @fd: borrowed. Return: 0; EXEC_SPEC_E_INVALID; -errno. */
int command_read(int fd, struct command **ret, const char **ret_why);
struct command *command_free(struct command *c);
DEFINE_CLEANUP(struct command, command_free);

/* Always stripped: names that make a loader, a shell or an interpreter run something else first. */
bool environment_is_dangerous(const char *name, size_t n_name);
/* Value of @name in @env; NULL. */
const char *environment_get(char *const *env, const char *name);

/**
 * command_write() - make the memfd for init
 * @settings:  of the plan; environment.* and, with @program_of_profile, the program and its first arguments
 * @keep_tmpdir: TMPDIR is granted; else it becomes /tmp
 * @state_file:  value of NONO_STATE_FILE; NULL: none
 * Return: a sealed memfd, close-on-exec; -E2BIG; -EINVAL when the profile names no program; -errno.
 */
int command_write(const struct command *c, const struct policy_settings *settings, bool program_of_profile,
                  bool keep_tmpdir, const char *session_id, const char *state_file);
/* argv joined by spaces, cut at @cap, for display. */
void command_describe(const struct command *c, const struct policy_settings *settings, bool program_of_profile,
                      char *ret, size_t cap);
