/*
 * Broker — one session's senses and hands on the host.
 * Runs as: the user, no capabilities, not dumpable, outside the session's pid namespace, in the autofs daemon's process
 * group; parent of the session's init (so that Yama lets it read the session's memory).
 * Input: autofs packets and seccomp notifications (kernel), the session's memory (hostile), the service (trusted).
 */
#pragma once

#include <sys/types.h>

struct broker_options {
        int fd_service; /* SOCK_SEQPACKET to the service, consumed */
        int fd_packets; /* read end of the session's autofs pipe (O_DIRECT), consumed */
        uid_t uid;
        gid_t gid;
};

/* Runs until the service's socket closes or the session is gone. Return: exit status of the process. */
int broker_run(const struct broker_options *options);
