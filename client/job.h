/*
 * Job — a session in the foreground of this terminal: from the Spawn message to the program's exit status.
 * Runs as: the user.   Input: the daemon's stream; output of the program (hostile); keys; signals.
 */
#pragma once

#include <stdbool.h>

struct conn;
struct tty;

struct job_options {
        bool silent, verbose;
        bool pipeline; /* the terminal is shared with other programs of a pipeline: take it only when it is needed */
};

/**
 * job_run() - be the session's terminal until its program ends
 * @c:   the Spawn message has been sent on it and is its last request
 * @tty: NULL when none of the descriptors 0..2 is a terminal
 * Return: the exit status: the program's own; 128+n when signal n killed it; 125, 126, 127 when it did not start.
 */
int job_run(struct conn *c, struct tty *tty, const struct job_options *options);
