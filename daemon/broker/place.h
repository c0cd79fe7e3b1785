/*
 * Place — where a path of a trapped call ends: its parent directory and last name, in the view and on the host.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "daemon/broker/message.h"
#include "daemon/broker/path.h"

struct grants;
struct levels;

enum { PLACE_OK = 0, PLACE_E_ELSEWHERE = 1 };

/* In the view; found by a walk like the kernel's own, in the caller's root. */
struct place {
        char path[PATH_BYTES]; /* canonical parent and name */
        char name[NAME_MAX + 1];
        bool directory; /* slashes followed: only a directory will do */
        bool level;     /* the parent is a level of this session */
        uint32_t node;  /* that level */
        bool exists;    /* the name stands in the view, and is no planted negative */
        bool planted;
        bool read_only; /* the parent's mount */
        struct stat parent, object;
};

/* The same place on the host, with the user's rights. */
struct side {
        int fd_dir;            /* O_PATH of the parent; -1: there is none for us */
        bool exists, writable; /* names can be made and removed there */
        struct stat object;
        enum object_kind kind;
};

/* Return: O_PATH of the caller's root; -1. */
int place_root(pid_t tid);
/**
 * place_find() - walk to the parent of @path
 * @path: absolute in the view, not normalised
 * Return: 0; PLACE_E_ELSEWHERE: no name, no parent, or nothing we know; the kernel will say what is wrong.
 */
int place_find(const struct levels *levels, int fd_root, const char *path, struct place *ret);
/* Opens @path in the caller's root. Return: descriptor, -errno. */
int place_open(int fd_root, const char *path, uint64_t flags);

/* The level's directory on the host, and @place's name there. side_done() afterwards. */
void side_of_level(const struct place *place, const char *level_path, struct side *ret);
/**
 * side_of_tree() - the host's side of a place in a granted tree
 * Return: true when the host has the very same directory and object at that path: nothing of the view's own (private
 * directory, mask, single file) is in between.
 */
bool side_of_tree(const struct place *place, const struct grants *grants, struct side *ret);
void side_done(struct side *s);
