/*
 * Sessions — the list of them, and which one a word of the person means.
 * Runs as: the user.   Input: replies of the daemon.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "nono.pb-c.h"

struct conn;

struct session_list {
        Nono__Reply **frames; /* owners of the infos */
        size_t n_frames;
        Nono__SessionInfo **infos;
        size_t n_infos;
};

/* @all: of every user. Return: 0; CLIENT_E_TOLD. */
int session_list_get(struct conn *c, bool all, struct session_list *ret);
void session_list_done(struct session_list *l);

enum { SESSION_FIND_OK = 0, SESSION_FIND_E_NONE = 1, SESSION_FIND_E_MANY = 2 };
/* Pure. @word: an id, a name, or the beginning of one id; NULL: the only session there is. */
int session_find(Nono__SessionInfo *const *infos, size_t n, const char *word, const Nono__SessionInfo **ret);

/* Asks the daemon and finds; tells when there is none or more than one. @ret_id: heap. Return: 0; CLIENT_E_TOLD. */
int session_resolve(struct conn *c, const char *word, char **ret_id);
