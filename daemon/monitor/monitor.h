/*
 * Monitor — the only root process that lives long. Accepts clients, forks brokers and builders, attaches and detaches.
 * Runs as: root.   Input: fixed-size messages of the service and of builders (request.h); never text, never a path.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct service_options;
struct broker_options;
struct sentry_options;

struct monitor_options {
        int fd_listen;              /* listening AF_UNIX stream socket, consumed */
        const char *socket_path;    /* what getsockname(2) of it must say of every client's socket */
        const char *runtime_dir;    /* root's, 0755; holds the staging directory, the masks and the lock */
        const char *state_dir;
        const char *const *policy_dirs;
        const char *ceiling_dir;
        uid_t service_uid;
        gid_t service_gid;
        /* entry points of the other processes; main.c knows them, the monitor's library does not */
        int (*service_main)(const struct service_options *options);
        int (*broker_main)(const struct broker_options *options);
        int (*sentry_main)(const struct sentry_options *options);
};

/* Runs until SIGTERM, SIGINT or the end of the service. Return: exit status of the process. */
int monitor_run(const struct monitor_options *options);
