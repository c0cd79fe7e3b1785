/*
 * Exec spec — the sealed memfd that says what to run (format: daemon/target/control.h).
 * Runs as: the user.   Input: the person's own command and environment.
 */
#pragma once

#include <stddef.h>
#include <sys/ioctl.h>

struct launch {
        const char *program, *workdir;
        char *const *argv, *const *env; /* NULL-terminated */
        struct winsize size;
        unsigned tty_mask;
};

/* Return: the memfd, close-on-exec; -E2BIG; -errno. */
int launch_memfd(const struct launch *l);
