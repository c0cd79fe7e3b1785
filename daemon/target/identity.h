/*
 * Identity — who a session is: read from the kernel by the monitor, taken on by broker and init.
 */
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

enum { IDENTITY_GROUPS_MAX = 1024 };

struct identity {
        uid_t uid;
        gid_t gid;
        size_t n_groups;
        gid_t groups[IDENTITY_GROUPS_MAX];
        struct rlimit limits[RLIM_NLIMITS]; /* of the requester, so that a session is never weaker */
};

/**
 * identity_assume() - become @id, without any way back
 * Groups, gid, uid; every capability set emptied, bounding set included; securebits locked so that uid 0 stays an
 * ordinary user; no_new_privs; not dumpable. Verified afterwards.
 * Return: 0; -errno (then the process must exit).
 */
int identity_assume(const struct identity *id);
/* Resource limits, before identity_assume(). A limit above our own hard limit is lowered to it, never raised past @id. */
int identity_limit(const struct identity *id);
