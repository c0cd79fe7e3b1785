/*
 * Grants — what a session may do, as the daemon says: for `grants` and `--dry-run`.
 * Runs as: the user.   Input: replies of the daemon (foreign paths inside).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "nono.pb-c.h"

struct conn;

/* A reply may come in several frames. */
struct grants_reply {
        Nono__Reply **frames;
        size_t n_frames;
};

/* The answer to the last request. Return: 0; CLIENT_E_TOLD. */
int grants_receive(struct conn *c, struct grants_reply *ret);
/* @plan: before a session runs: no ids, but program and profile. Return: 0. */
int grants_print(const struct grants_reply *g, bool plan);
int grants_print_json(const struct grants_reply *g);
void grants_done(struct grants_reply *g);
