/*
 * Library — all profiles there are: the installed ones and the person's own, broken ones included.
 * Runs as: the user.   Input: policy files, root's and the person's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "client/profile-file.h"

struct library_profile {
        char *name;
        char *error;          /* "FILE:LINE:COLUMN: …" when it does not load; NULL: it does */
        bool user, overrides; /* the person's own; and a profile of that name is installed */
};

struct library {
        struct policy_store *store;
        struct client_vars vars;
        char *workdir; /* owned; what $WORKDIR is */
        struct library_profile *profiles; /* by name */
        size_t n_profiles;
};

/* Return: 0; CLIENT_E_TOLD. library_done() in any case. */
int library_load(struct library *ret);
void library_done(struct library *l);
const struct library_profile *library_find(const struct library *l, const char *name);

/**
 * library_name() - the profile a person means: a name, or a file that is added to the store
 * @ret: heap
 * Return: 0; CLIENT_E_TOLD.
 */
int library_name(struct library *l, const char *arg, char **ret);

/* A whole file of at most POLICY_TEXT_MAX bytes; "-" is standard input. Return: heap text; NULL after a message. */
char *library_read(const char *path, size_t *ret_n);
/* Where the person's profile of that name is, or would be; heap; NULL without a home. */
char *library_own_path(const struct library *l, const char *name);
/**
 * library_write() - put a whole file in place: written beside it, synced, renamed
 * @force: replace what is there; else that is refused
 * Missing directories are made. Return: 0; CLIENT_E_TOLD.
 */
int library_write(const char *path, const char *text, size_t n, bool force);
/* Tells a policy error. Return: CLIENT_E_TOLD. */
int library_tell(const struct policy_error *err);
