/*
 * Monitor link — requests to the root process and its answers.
 * Runs as: user nono.   Input: the monitor (trusted).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/monitor/request.h"
#include "daemon/service/pending.h"

struct run;
struct service;

int monitor_link_open(struct service *service, int fd);
/* No answer is awaited. @fds: consumed in every case. Return: 0; an error ends the run's hope, see run_kill(). */
int monitor_link_send(struct run *r, struct monitor_message *m, int *fds, size_t n_fds);
/* @fn gets the MONITOR_REPLY, MONITOR_LEVEL or MONITOR_SESSION_OK with our tag, or NULL when the run ends first. On an error
 * @fn is not called. */
int monitor_link_ask(struct run *r, struct monitor_message *m, int *fds, size_t n_fds, pending_fn fn, void *arg);
