/*
 * Layout — from what a session is granted to the ordered list of nodes of its static view. Pure: no system call.
 * Runs as: user nono.   Input: canonical, normalised paths that were judged by the policy already.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

enum {
        LAYOUT_ENTRIES_MAX = 6144,
        LAYOUT_NODES_MAX = 4096, /* leaves half of the view's nodes to what comes later */
};

enum layout_what {
        LAYOUT_GRANT, /* attach the object */
        LAYOUT_LINK,  /* a symbolic link on the way to a grant */
        LAYOUT_MASK,  /* denied, and exists: hidden where it lies inside a grant */
        LAYOUT_FIXED, /* not writable, and exists: attached read-only where it lies inside a writable grant */
        LAYOUT_WALK,  /* has to be reachable as a directory (working directory) */
};

struct layout_entry {
        enum layout_what what;
        const char *path;   /* borrowed */
        const char *target; /* LINK; borrowed */
        bool directory;     /* of the object; GRANT, MASK, FIXED */
        bool write;         /* GRANT */
        int source;         /* the caller's index: which descriptor belongs to it; GRANT and FIXED */
};

struct layout_node {
        uint32_t id, parent; /* 1 is the root; parents come first */
        uint32_t kind, flags;
        char *path;         /* owned; where it stands */
        const char *name;   /* into path: last component, or with VIEW_INSIDE the path below the parent */
        const char *target; /* SYMLINK; borrowed from the entry */
        int source;         /* DIR and FILE; else -1 */
};

struct layout {
        struct layout_node *nodes;
        size_t n_nodes;
};

/* Outcomes: the view would have too many nodes. */
enum { LAYOUT_OK = 0, LAYOUT_E_LIMIT = 1 };

/**
 * layout_make() - order the view
 * @own_tmp: "/tmp" is a private tmpfs, with grants below it attached inside; else /tmp is a path like any other
 * /proc and /dev are always the session's own; entries at or below them, and a grant of "/", are ignored.
 * Return: 0; LAYOUT_E_LIMIT; -ENOMEM.
 */
int layout_make(const struct layout_entry *entries, size_t n_entries, bool own_tmp, struct layout **ret);
struct layout *layout_free(struct layout *p);
DEFINE_CLEANUP(struct layout, layout_free);
