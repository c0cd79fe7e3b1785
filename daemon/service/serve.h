/*
 * Serve — service_run() with its confinement as a choice: sanitizers need what the sandbox takes.
 * Runs as: user nono; tests.   Input: see service.h.
 */
#pragma once

#include <stdbool.h>

struct service_options;

/* Return: exit status. */
int serve(const struct service_options *options, bool confine);
