/*
 * Attach — live changes of a session's view: monitor, broker and tree are told in the order that leaves no gap.
 * Runs as: user nono.   Input: paths and descriptors that were judged.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct run;
struct tree_node;

/* @error: 0, or errno (ECANCELED: the session ended). Called once, later. */
typedef void (*attach_fn)(struct run *r, void *arg, int error);

/**
 * attach_node() - one more node
 * @parent: a standing node; with VIEW_INSIDE in @flags the VIEW_DIR that holds @path
 * @target: of a VIEW_SYMLINK; else NULL
 * @fd:     of a VIEW_DIR or VIEW_FILE; consumed in every case
 * @token:  the walk that waits for it in level @parent; 0: none. When the attach fails the walk is refused here
 * @fn:     may be NULL
 * Return: 0; an errno, positive, when nothing was sent: @fn is not called, the token not answered.
 */
int attach_node(struct run *r, uint32_t parent, uint32_t kind, uint32_t flags, const char *path, const char *target,
                int fd, uint32_t token, attach_fn fn, void *arg);
/* Detaches the node and all below it. */
void attach_revoke(struct run *r, struct tree_node *n);
/* Makes it read-write or read-only. Return: as attach_node(). */
int attach_set_write(struct run *r, struct tree_node *n, bool write, attach_fn fn, void *arg);
/* Answers a walk with an error. */
void attach_refuse(struct run *r, uint32_t level, uint32_t token, int error);
/* A negative name: asked again and again, and not there. */
void attach_plant(struct run *r, uint32_t level, const char *name);
void attach_unplant(struct run *r, uint32_t level, const char *name);
