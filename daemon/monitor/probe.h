/*
 * Probe — does this kernel do what the live view needs? Asked once, at start.
 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

/**
 * probe_run() - build a throw-away level in a private namespace and walk into it; load the filter
 * @reason: filled with what is missing and what to do, when the result is not 0
 * Return: 0; -EOPNOTSUPP with @reason; -errno.
 */
int probe_run(const char *staging, const struct sock_fprog *filter, char *reason, size_t size);
