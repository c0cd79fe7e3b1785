/*
 * Builder — makes one session's mount namespace and view, then starts its init there.
 * Runs as: root, one short-lived process per session, child of the broker, in the autofs daemon's process group.
 * Input: struct monitor_message of the monitor only (names checked by it; sources are detached mounts).
 */
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include "daemon/target/identity.h"

struct build_options {
        const struct identity *identity;
        const struct sock_fprog *filter;
        const char *staging; /* empty directory of ours where the root level is mounted */
        int fd_monitor;      /* SOCK_SEQPACKET */
        int fd_pipe;         /* write end of the autofs pipe */
        int fd_control;      /* init's end of its socket to the service */
        int fd_lifeline;     /* read end of the monitor's lifeline */
        int fd_cgroup;       /* directory of the session's control group; -1: none */
        pid_t pgrp;
};

/*
 * MONITOR_NODE (DIR, FILE, MASK: one detached mount; FILE in a level: two) … then MONITOR_START.
 * Answers: MONITOR_LEVEL per level, then MONITOR_STARTED .pid [pidfd of init, mount namespace, hidden tmpfs];
 * or MONITOR_REPLY .error .node at the first failure.
 */
_Noreturn void build_run(const struct build_options *options);
