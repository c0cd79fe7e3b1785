/*
 * Spawn — from a client's request to a running program.
 * Runs as: user nono.   Input: one decoded Spawn message (hostile), its descriptors; then the monitor's and broker's answers.
 *
 *      checked, rules compiled ─► monitor: who is it? ─► broker: what is there? ─► layout ─► monitor: nodes, start
 *      ─► levels and seccomp listener go to the broker ─► init: go
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nono.pb-c.h"

struct client;
struct monitor_message;
struct run;
struct spawn;

enum { SPAWN_RULES_MAX = 2048, SPAWN_PORTS_MAX = 64, SPAWN_NAME_MAX = 64 };

/* Answers the client with an error, or with Grants (dry run), or starts a session that will. Takes from @fds what it keeps. */
void spawn_request(struct client *c, uint32_t seq, const Nono__Spawn *m, int *fds, size_t n_fds);

/* --- the session's answers while it is being made --- */
void spawn_level(struct run *r, const struct monitor_message *m, int *fd);
void spawn_view_failed(struct run *r, uint32_t node, int error);
void spawn_started(struct run *r, int32_t pid);
/* init's seccomp listener; consumed. */
void spawn_notifier(struct run *r, int fd);
struct spawn *spawn_free(struct spawn *s);
