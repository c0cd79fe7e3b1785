/*
 * Sentry — the monitor's side of judged opens: one fanotify group per session that needs it, its reader, marked mounts.
 *
 * Only detached clones are ever marked, before anybody can walk into them: a permission mark on a mount of the host would
 * hold up the machine.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct identity;
struct sentry_options;

struct sentry {
        pid_t pid;     /* 0: there is none */
        int fd_events; /* kept: opens wait, and are not allowed, when the reader is gone. -1: none */
};

void sentry_init(struct sentry *s);
/**
 * sentry_start() - a group and its reader, which becomes the user
 * @ret: the service's end of its socket
 * Return: 0; -EOPNOTSUPP: this kernel cannot judge opens; -errno.
 */
int sentry_start(struct sentry *s, const struct identity *identity, int fd_lifeline,
                 int (*main)(const struct sentry_options *options), int *ret);
/**
 * sentry_clone() - a detached mount of @fd whose opens are judged
 * What is mounted below @fd is left out: each mount would need a mark of its own.
 * Return: its descriptor; -errno.
 */
int sentry_clone(int fd_events, int fd, bool write);
/* Ends the reader. */
void sentry_release(struct sentry *s);
