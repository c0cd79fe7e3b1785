/*
 * State — the monitor's one object, shared by its loop (monitor.c) and its table of requests (requests.c).
 * Runs as: root.   Input: none of its own.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "daemon/monitor/cgroup.h"
#include "daemon/monitor/monitor.h"
#include "daemon/monitor/request.h"
#include "daemon/monitor/session.h"

/* What an epoll event is about; the session's table index in the low half. */
enum monitor_watch { WATCH_LISTEN = 1, WATCH_SERVICE, WATCH_SIGNALS, WATCH_BUILDER, WATCH_INIT };

struct monitor {
        const struct monitor_options *options;
        int fd_epoll, fd_service, fd_signals, fd_autofs, fd_lifeline[2], fd_mask[2]; /* mask: file, directory */
        pid_t service, pgrp;
        char staging[512];
        struct sock_fprog filter;
        struct cgroup cgroup;
        struct pack pack;         /* nodes on their way to the builder of pack_session, with the mounts that are ours */
        uint32_t pack_session;
        struct identity identity; /* of the session being made; large, so not on the stack */
        struct session_spare spare; /* for the next session */
        struct session *sessions; /* MONITOR_SESSIONS_MAX + 1; index 0 is never used */
        uint32_t generation;
        uint32_t leaving[MONITOR_SESSIONS_MAX]; /* control groups to be removed */
        size_t n_leaving;
        unsigned n_restarts;
        time_t service_start; /* a service that dies at once will not get better by trying */
        bool stopping, no_spare;
        int status;
};

int monitor_watch(struct monitor *m, int fd, enum monitor_watch watch, uint32_t index);
/* To the service; when it is gone that is only logged. @fds: borrowed. */
void monitor_send(struct monitor *m, struct monitor_message *message, const int *fds, size_t n_fds);
void monitor_reply(struct monitor *m, const struct monitor_message *request, uint32_t session, int r);
void monitor_remove_cgroups(struct monitor *m);
/* Every way a session ends leads here, once. */
void monitor_end(struct monitor *m, struct session *s);
struct session_spawn monitor_spawn(struct monitor *m);

/* --- requests.c --- */

/* One record of the service. Return: 0; -errno: it broke the protocol and ends. */
int monitor_dispatch(struct monitor *m, struct monitor_message *msg, int *fds, size_t n_fds);
/* Ends every process of it, now. */
void monitor_kill(struct monitor *m, struct session *s);
/* What the requests of this round gathered for a builder goes to it. */
void monitor_flush_nodes(struct monitor *m);
