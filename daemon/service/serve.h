/*
 * Serve — service_run() with its confinement as a choice, because sanitizers need what the sandbox takes, and with other
 * limits, because tests have no ten minutes.
 * Runs as: user nono; tests.   Input: see service.h.
 */
#pragma once

#include <stdbool.h>

struct decide_limits;
struct service_options;

/* @limits: of waiting requests; NULL: the usual ones. Return: exit status. */
int serve(const struct service_options *options, bool confine, const struct decide_limits *limits);
