/*
 * Init — pid 1 of a session, and the start of its program.
 * Runs as: root until identity_assume(), then the user without capabilities.
 * Input: the exec spec (the user's bytes, checked by the service; read only after privileges are gone),
 * control messages of the service.
 */
#pragma once

#include <linux/filter.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/target/identity.h"

struct init_options {
        const struct identity *identity;
        const struct sock_fprog *filter;
        int fd_root;      /* root level of the view */
        const char *proc; /* name of procfs in the root; "": the view has none */
        int fd_control;   /* to the service */
        int fd_lifeline;  /* readable (end of file) when the monitor is gone */
        int fd_spec;      /* exec spec memfd */
        int fd_stdio[3];  /* -1: the terminal */
        mode_t umask;
};

/* Never returns. Consumes every descriptor of @options. */
_Noreturn void init_run(const struct init_options *options);
