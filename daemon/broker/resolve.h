/*
 * Resolve — what a path is on the host, with the user's own rights.
 *
 * The walk goes component by component, so that every symbolic link crossed is known by name: the service turns each into
 * a symlink of the view. The result is a descriptor and the path the kernel itself has for it; judge that, not the text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "daemon/broker/message.h"
#include "daemon/broker/path.h"

enum {
        RESOLVE_LINKS_MAX = 40, /* as the kernel's MAXSYMLINKS */
        RESOLVE_LINK_BYTES = 16 * 1024,
};
enum {
        RESOLVE_F_CREATE_DIR = 1, /* make missing directories below @home, mode 0700 */
        RESOLVE_F_NO_FOLLOW = 2,  /* a link as the last component is the object */
};

struct resolved {
        int fd;    /* O_PATH; -1 when error is set */
        int error; /* errno, positive; 0: found */
        enum object_kind kind;
        bool executable; /* a file this user may execute */
        struct stat stat;
        char path[PATH_BYTES]; /* canonical; with an error: how far it is, and the rest as text */
        char *links;           /* "link path" "target", for each link crossed, NUL after each */
        size_t n_links_bytes;
        unsigned n_links;
        bool passed;           /* the walk crossed @via */
        char rest[PATH_BYTES]; /* normalised path from @via on, @via included */
};

/**
 * resolve_path() - walk @path on the host
 * @path: absolute, any text
 * @home: canonical home directory; NULL creates nothing
 * @via:  canonical path that is looked for on the way; NULL for none
 * Return: 0 with the outcome in *ret (also ->error); -errno. resolved_done() afterwards in either case.
 */
int resolve_path(const char *path, unsigned flags, const char *home, const char *via, struct resolved *ret);
void resolved_done(struct resolved *r);

/* O_PATH of @path itself, no symlink anywhere before the last component. Return: descriptor, or -errno (not raised: hot path). */
int resolve_exact(const char *path);
/* Same for a directory. */
int resolve_exact_directory(const char *path);
enum object_kind resolve_kind(mode_t mode);
/* The kernel's own path of a descriptor. Return: 0; PATH_E_INVALID when it has none or was deleted. */
int resolve_fd_path(int fd, char *ret);
/* The user may use the object of the O_PATH descriptor @fd in @mode (R_OK | W_OK | X_OK). */
bool resolve_may(int fd, int mode);
/**
 * resolve_home() - canonical home directory of the user by the user database
 * Return: 0; PATH_E_INVALID when there is none.
 */
int resolve_home(uid_t uid, char *ret);
