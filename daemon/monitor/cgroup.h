/*
 * One control group (v2) per session, below the daemon's own.
 */
#pragma once

#include <stdint.h>

struct cgroup {
        int fd_base; /* directory nonod-XXXXXXXX; -1: no cgroup v2 on this system */
        char path[512]; /* of fd_base */
};

/**
 * cgroup_init() - make the directory of this daemon instance, removing what an earlier one left in it
 * @instance: number that is the same for every nonod with this runtime directory, and only for those
 * Return: 0 (also without cgroup v2, with a warning); -errno.
 */
int cgroup_init(struct cgroup *c, uint32_t instance);
void cgroup_done(struct cgroup *c);
/* @ret_dir: O_PATH descriptor of the new group's directory, for CLONE_INTO_CGROUP; -1 without cgroup v2. Return: 0; -errno. */
int cgroup_create(struct cgroup *c, uint32_t session, int *ret_dir);
/* SIGKILL to everything in it, at once (cgroup.kill, Linux 5.14). */
void cgroup_kill(struct cgroup *c, uint32_t session);
/* Return: 0 when it is gone; -EBUSY while a process still leaves it. */
int cgroup_remove(struct cgroup *c, uint32_t session);
