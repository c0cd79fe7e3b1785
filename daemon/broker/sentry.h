/*
 * Sentry — judges each open of a session whose rules deny name patterns, by the path of what is opened.
 *
 * A process of its own, of the user's: it reads the permission events of the session's mounts (fanotify(7)) and answers
 * them. It is not the broker, because whoever holds that descriptor could hold up opens of the whole machine: here
 * nothing is read but patterns of the service and paths of the kernel. The monitor keeps a second descriptor: when this
 * process dies, opens wait, killably, and the monitor ends the session.
 */
#pragma once

struct sentry_options {
        int fd_service;  /* BROKER_PATTERN, BROKER_SCAN, BROKER_SERVE */
        int fd_events;   /* the fanotify group */
        int fd_lifeline; /* end of file: the monitor is gone */
};

/* Return: exit status. */
int sentry_run(const struct sentry_options *options);
