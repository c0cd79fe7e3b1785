/*
 * Session — the monitor's record of one: its processes, its view, its control group.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "daemon/monitor/cgroup.h"
#include "daemon/monitor/peer.h"
#include "daemon/monitor/view.h"

/*
 *  BUILDING ──START──► STARTING ──builder says started──► RUNNING ──┐
 *     │                   │                                         │ init gone, or killed
 *     └───────────────────┴──────────────────────────────► ENDING ◄─┘ ──► (freed)
 */
enum session_state { SESSION_FREE = 0, SESSION_BUILDING, SESSION_STARTING, SESSION_RUNNING, SESSION_ENDING };

struct session {
        uint32_t id; /* index in the table and a generation, never 0 */
        enum session_state state;
        struct peer peer;
        pid_t broker, init;  /* 0: none (any more) */
        int fd_builder;      /* SOCK_SEQPACKET to the builder; -1 after it has finished */
        int fd_control;      /* the service's end of init's socket, kept for a service that has to be started again */
        int pidfd_init;      /* readable when the session's last process is gone */
        uint64_t start_tag;  /* of the START request */
        struct view view;
};

struct broker_options;

struct session_spawn {
        const struct identity *identity;
        const struct sock_fprog *filter;
        const char *staging;
        int fd_lifeline; /* read end */
        pid_t pgrp;
        int (*broker_main)(const struct broker_options *options);
        struct cgroup *cgroup;
};

/**
 * session_start() - fork broker and builder
 * @ret_broker: the service's end of the broker's socket, the caller's. Not kept: its end of file tells the broker that
 *              nobody decides any more
 * Return: 0 (state BUILDING); -errno, nothing is left.
 */
int session_start(struct session *s, const struct session_spawn *spawn, int *ret_broker);
void session_init(struct session *s);
/* Ends every process of it, now; the rest follows from pidfd_init or the builder's socket. */
void session_kill(struct session *s, struct cgroup *cgroup);
/* Releases what it holds; the record is free afterwards, its cgroup may still need cgroup_remove(). */
void session_release(struct session *s);
