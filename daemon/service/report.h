/*
 * Report — lists for clients: grants, prompts, sessions; in as many frames as they need.
 * Runs as: user nono.   Input: none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct policy_plan;
struct run;
struct service;

struct report_plan {
        const struct policy_plan *plan;
        const struct run *run; /* NULL: of a dry run */
        const char *profile, *program;
        const uint32_t *ports;
        size_t n_ports;
};
void report_grants(struct client *c, uint32_t seq, const struct report_plan *what);
/* @text: one session; "": every session that the client may see. */
void report_prompts(struct client *c, uint32_t seq, const char *text);
void report_sessions(struct client *c, uint32_t seq, bool all);
