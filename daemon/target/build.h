/*
 * Builder — makes one session's mount namespace and view, then starts its init there.
 * Runs as: root, one process per session that ends with its start, child of the broker, in the autofs daemon's process group.
 * Input: struct monitor_message of the monitor only (names checked by it; sources are detached mounts).
 */
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include "daemon/target/identity.h"

struct build_options {
        const struct sock_fprog *filter;
        const char *staging; /* empty directory of ours where the root level is mounted */
        int fd_monitor;      /* SOCK_SEQPACKET */
        int fd_pipe;         /* write end of the autofs pipe */
        int fd_control;      /* init's end of its socket to the service */
        int fd_lifeline;     /* read end of the monitor's lifeline */
        pid_t pgrp;
};

/*
 * Prepares at once what every session needs (namespaces, root level, /dev), then waits: it may be made long before its
 * session. First message: the struct identity of the session, with the directory of its control group (if there is one).
 * Then records: MONITOR_NODE (DIR, FILE, MASK: one detached mount; FILE in a level: two) … then MONITOR_START.
 * Answers: MONITOR_LEVEL per level, then MONITOR_STARTED .pid [pidfd of init, mount namespace, hidden tmpfs];
 * or MONITOR_REPLY .error .node at the first failure.
 */
_Noreturn void build_run(const struct build_options *options);
