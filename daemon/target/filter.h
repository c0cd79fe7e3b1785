/*
 * The seccomp filter of every session: one, generated once, loaded from cached bytes.
 */
#pragma once

#include <linux/filter.h>

/**
 * filter_build() - generate the filter
 * Costs about 2 ms (libseccomp); done once, by the monitor, at start.
 * Return: 0, *ret owned by the caller (free ret->filter); -errno.
 */
int filter_build(struct sock_fprog *ret);
/**
 * filter_install() - load it into the calling thread, for ever
 * Needs no_new_privs. Always with SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (Linux 5.19): without it every signal to a
 * waiting process makes a new notification.
 * Return: the user-notification listener; -errno (-EINVAL: the kernel lacks WAIT_KILLABLE_RECV).
 */
int filter_install(const struct sock_fprog *filter);
