/*
 * Session — the monitor's record of one: its processes, its view, its control group.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "daemon/monitor/cgroup.h"
#include "daemon/monitor/peer.h"
#include "daemon/monitor/sentry.h"
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
        struct sentry sentry;
};

struct broker_options;

/*
 * A broker and a builder that wait for their session: what costs most of a start (two forks, three namespaces, /dev) is
 * done before anybody asks. The broker is still root while it waits, reads one fixed-size message, and is the user then.
 */
struct session_spare {
        pid_t broker; /* 0: there is none */
        int fd_pipe, fd_builder, fd_broker, fd_control, fd_assign;
};

struct session_spawn {
        const struct sock_fprog *filter;
        const char *staging;
        int fd_lifeline; /* read end */
        pid_t pgrp;
        int (*broker_main)(const struct broker_options *options);
        struct cgroup *cgroup;
};

/* Return: 0; -errno, nothing is left. */
int session_prepare(struct session_spare *spare, const struct session_spawn *spawn);
/* Ends the two processes. */
void session_spare_drop(struct session_spare *spare);

/**
 * session_start() - give broker and builder their session
 * @spare:      consumed; prepared here when there is none
 * @ret_broker: the service's end of the broker's socket, the caller's. Not kept: its end of file tells the broker that
 *              nobody decides any more
 * Return: 0 (state BUILDING); -errno, nothing is left.
 */
int session_start(struct session *s, const struct session_spawn *spawn, struct session_spare *spare,
                  const struct identity *identity, int *ret_broker);
void session_init(struct session *s);
/* Ends every process of it, now; the rest follows from pidfd_init or the builder's socket. */
void session_kill(struct session *s, struct cgroup *cgroup);
/* Releases what it holds; the record is free afterwards, its cgroup may still need cgroup_remove(). */
void session_release(struct session *s);
