/*
 * Patterns — the denied names of a session that hold inside granted directories too ("**" and "*" as in the policy).
 * Runs as: the user, in the broker and in the sentry.   Input: patterns of the service; paths of anyone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATTERNS_MAX = 2048 };

struct pattern;
struct patterns {
        struct pattern *list;
        size_t n_all, n; /* with those that lift; those that deny */
};

/**
 * patterns_add() - one more
 * @flags: BROKER_F_FILE, BROKER_F_LITERAL, BROKER_F_LIFTS of a BROKER_PATTERN
 * @lift:  POLICY_LIFT_*: what lifts it; with BROKER_F_LIFTS: what it lifts
 * Return: 0; -EINVAL; -ENOSPC; -ENOMEM.
 */
int patterns_add(struct patterns *p, const char *text, uint32_t flags, uint32_t lift);
void patterns_done(struct patterns *p);
bool patterns_match(const struct patterns *p, const char *path);
/* A directory at @path that gets another name could take something denied out of a pattern's reach. */
bool patterns_need_place(const struct patterns *p, const char *path);
/* As patterns_match(), for a path as /proc shows it: an unlinked object's name goes on behind its last letter. */
bool patterns_match_shown(const struct patterns *p, const char *path);

/**
 * patterns_walk() - look for what the patterns deny below a directory
 * @fd_dir: borrowed; @path is what it is called
 * @fn:     gets the path of each object that matches, and where fstatat(2) finds it; something else than 0 ends the walk
 * Stops after @max_entries. Other file systems are not entered.
 * Return: 0; 1: the bound was met; what @fn returned; -errno.
 */
typedef int (*patterns_found_fn)(void *arg, const char *path, const char *access_path);
int patterns_walk(const struct patterns *p, int fd_dir, const char *path, size_t max_entries, int max_ms,
                  patterns_found_fn fn, void *arg);
