/*
 * Core — what the modules of the service share: the service itself, its sessions, and what waits in them.
 * Runs as: user nono.   Input: none.
 *
 *      service  one; owns the loop, the policy, the link to the monitor
 *      client   one connection of nonoctl                       client.h
 *      run      one session: a program from Spawn to its end    run.h
 *      request  one process of a session waits in the kernel    request.h
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct channel;
struct pending_table;
struct policy_store;
struct decide_limits;
struct client;
struct run;

enum {
        CORE_RUNS_MAX = 256,
        CORE_RUNS_PER_UID_MAX = 16,
        CORE_CLIENTS_MAX = 512,
        CORE_CLIENTS_PER_UID_MAX = 32,
};

struct service {
        struct loop *loop;
        struct channel *monitor;
        struct pending_table *pending; /* questions to the monitor */
        struct policy_store *store;
        struct client *clients;
        struct run *runs;
        size_t n_runs;
        uint64_t last_client, last_request, last_event;
        char *distro, *distro_like, *os_version;
        const struct decide_limits *limits;
        int fd_state;
};
