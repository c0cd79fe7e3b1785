/*
 * Service — clients, sessions, decisions. One process; started by the monitor.
 * Runs as: user nono; it confines itself (seccomp, Landlock) once the policy is loaded.
 * Input: clients (hostile), brokers and inits (as the user), the monitor (trusted), root-owned policy files.
 */
#pragma once

#include <stdint.h>

struct service_options {
        int fd_monitor;                 /* SOCK_SEQPACKET to the monitor, consumed */
        const char *const *policy_dirs; /* NULL-terminated; each has groups/ and profiles/; later ones win */
        const char *ceiling_dir;        /* /etc/nono/policy.d; may not exist */
        int fd_state;                   /* O_DIRECTORY descriptor of the state directory, owned by nono; consumed */
};

/* Runs until the monitor's socket closes. Return: exit status of the process. */
int service_run(const struct service_options *options);
