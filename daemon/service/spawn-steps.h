/*
 * Spawn's steps — what spawn.c, spawn-resolve.c and spawn-view.c share while a session is being made. For them alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/broker/message.h"
#include "daemon/service/spawn.h"

struct command;

enum { SPAWN_ITEMS_MAX = 6000 };

enum spawn_purpose { SPAWN_RULE, SPAWN_DENY, SPAWN_WORKDIR, SPAWN_PROGRAM };

/* One path that the broker looks at. */
struct spawn_item {
        struct run *run;
        enum spawn_purpose purpose;
        uint64_t rule;
        unsigned access; /* of the rule */
        bool file;
        char *path, *canonical; /* canonical: NULL until known */
        int error;
        enum object_kind kind;
        int fd;
};

struct spawn_link {
        char *path, *target;
};

struct spawn {
        struct command *command;
        char *program;
        int fd_spec, fds_stdio[3], fd_notifier;
        uint32_t umask;
        uint32_t ports[2 * SPAWN_PORTS_MAX];
        size_t n_ports;
        struct spawn_item *items;
        size_t n_items, n_left;
        struct spawn_link *links;
        size_t n_links, cap_links;
        uint32_t levels_left;
        bool failed;
};

/* Nothing of the host's is attached there. */
bool spawn_is_own_place(const struct run *r, const char *path);
/* Has the broker look at everything that the rules and the command name; then spawn_compose(). */
void spawn_resolve(struct run *r);
/* The rules on real paths, the view's nodes, and the start. */
void spawn_compose(struct run *r);
