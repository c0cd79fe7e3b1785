/*
 * View — the monitor's table of one session's nodes, and live changes to it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/monitor/request.h"

struct view_node {
        uint32_t kind, flags, parent;
        int fd; /* where children are placed; -1: none can be */
        char *name;
        char *inside; /* VIEW_INSIDE: path below the parent's root */
};

struct view {
        struct view_node *nodes; /* indexed by id; kind 0: free */
        size_t n_nodes;
        int fd_namespace; /* the session's mount namespace; -1 until it runs */
        int fd_hidden;    /* tmpfs of single files' bind mounts */
        int fd_sentry;    /* judges opens below VIEW_SENTRY nodes; borrowed; -1: there is none */
        int fd_pipe;      /* write end of the packet pipe */
        pid_t pgrp;       /* group that levels never ask */
};

void view_init(struct view *v);
void view_done(struct view *v);

/**
 * view_check() - is this node one that may be added: kind, name, parent, id, descriptor
 * @fd: the object's descriptor; -1 for kinds without
 * Return: 0; -EINVAL, -EEXIST, -EPERM (an object that is never granted), -errno.
 */
int view_check(const struct view *v, const struct monitor_message *m, int fd);
/* Remembers a node that the builder made, or is about to make. */
int view_record(struct view *v, const struct monitor_message *m);
/* The builder could not attach it after all. */
void view_unrecord(struct view *v, uint32_t node);
/* The builder's descriptor of a node; consumed. */
int view_record_fd(struct view *v, uint32_t node, int fd);

/**
 * view_attach() - add a node to the running session
 * @fd: borrowed object descriptor of VIEW_DIR, VIEW_FILE; for VIEW_MASK the stand-in's
 * @ret_level: set for VIEW_LEVEL: its root, owned by the view
 * Answers m->token with READY once the node stands, except for levels. On failure nothing is left.
 */
int view_attach(struct view *v, const struct monitor_message *m, int fd, int *ret_level);
/* Detaches a node and everything below it; open descriptors in the session survive. Return: 0; -ENOENT; -errno. */
int view_revoke(struct view *v, uint32_t node);
int view_widen(struct view *v, uint32_t node, bool write);
/* Nobody reads the packets any more: levels stop asking, whoever waits gets ENOENT. Without it the first walk would be
 * met by SIGPIPE. */
void view_orphan(struct view *v);
/* The nearest level at or above @node; 0 when there is none. */
uint32_t view_level_of(const struct view *v, uint32_t node);
