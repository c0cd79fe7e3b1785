/*
 * Levels — the autofs levels of one session's view: packets in, answers and questions out.
 *
 * What does not exist on the host is answered here at once (the hot path). What exists becomes a BROKER_REQUEST; the
 * answer comes back as BROKER_FAIL, as BROKER_LEVEL with a token, or never: then the monitor answered the kernel itself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

struct loop;
struct peer;
struct levels;

enum {
        LEVELS_MAX = 8192,          /* MONITOR_NODES_MAX */
        LEVELS_DEFERRED_MAX = 4096, /* packets of levels not announced yet; beyond it the pipe is left alone */
        LEVELS_MISSES = 256,        /* names whose misses are counted */
        LEVELS_MISSES_PLANT = 3,    /* misses of one name until it is planted */
        LEVELS_PLANTED_MAX = 1024,
};

/* @fd_packets: read end of the O_DIRECT pipe, consumed on success, made non-blocking. @peer: borrowed. */
int levels_new(struct loop *l, struct peer *peer, int fd_packets, struct levels **ret);
struct levels *levels_free(struct levels *l);
DEFINE_CLEANUP(struct levels, levels_free);

/**
 * levels_add() - a level stands
 * @fd:    its root directory, consumed on success
 * @token: the request that led to it, of the level above; answered with READY. 0: none
 * Return: 0; -errno (-EEXIST: node or device known; -ENOSPC).
 */
int levels_add(struct levels *l, uint32_t node, uint32_t dev, const char *path, int fd, uint32_t token);
/* The level was revoked. Unknown nodes are ignored. Return: true when it was a level. */
bool levels_remove(struct levels *l, uint32_t node);
/* Answers @token with ENOENT. Tokens answered already are ignored. */
void levels_fail(struct levels *l, uint32_t token);
/* The monitor answered @token. */
void levels_answered(struct levels *l, uint32_t token);
/* The service is gone: everything that waits gets ENOENT, and so does all that comes. */
void levels_orphan(struct levels *l);
/* No writer is left: the session's levels are gone. */
bool levels_are_over(const struct levels *l);

/* Return: host path (= view path) of the level with this device number as stat(2) shows it, and its node; NULL: not ours. */
const char *levels_by_stat_dev(const struct levels *l, dev_t dev, uint32_t *ret_node);
const char *levels_by_node(const struct levels *l, uint32_t node);
/* @name is a planted negative name of level @node: its symlink in the view stands for nothing. */
bool levels_is_planted(const struct levels *l, uint32_t node, const char *name);
/* @name of level @node exists on the host now: a planted negative name is taken back. */
void levels_appeared(struct levels *l, uint32_t node, const char *name);
