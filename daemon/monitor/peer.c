/*
 * Identity of clients: SO_PEERCRED, SO_PEERGROUPS and a pidfd that is checked last, so that a recycled pid cannot pass.
 * Runs as: root.   Input: kernel answers only.
 */
#include "daemon/monitor/peer.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

/* Return: a pidfd of the peer, -ESRCH when it is gone. */
static int peer_pidfd(int fd, pid_t pid) {
        socklen_t len = sizeof(int);
        int pidfd;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
                return pidfd;
        pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        return pidfd >= 0 ? pidfd : err_raise(-errno);
}

static int peer_same_namespace(pid_t pid, const char *name, bool *ret) {
        char path[64];
        struct stat ours, theirs;

        snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
        if (stat(path, &ours) < 0)
                return err_raise(-errno);
        snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
        if (stat(path, &theirs) < 0)
                return err_raise(-errno);
        *ret = ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
        return 0;
}

static int peer_credentials(int fd, struct peer *ret) {
        socklen_t len = sizeof(struct ucred);
        struct ucred cred;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
                return err_raise(-errno);
        if (cred.pid <= 0 || cred.uid == (uid_t)-1)
                return PEER_E_FOREIGN; /* from another pid or user namespace */
        *ret = (struct peer){ .pid = cred.pid, .uid = cred.uid, .gid = cred.gid };
        return 0;
}

int peer_check(int fd, struct peer *ret) {
        static const char *const namespaces[] = { "user", "pid", "mnt" };
        _cleanup_close_ int pidfd = -1;
        int r;

        r = peer_credentials(fd, ret);
        if (r)
                return r;
        pidfd = peer_pidfd(fd, ret->pid);
        if (pidfd < 0)
                return PEER_E_GONE;
        for (size_t i = 0; i < ELEMENTSOF(namespaces); i++) {
                bool same = false;

                if (peer_same_namespace(ret->pid, namespaces[i], &same) < 0)
                        return PEER_E_GONE;
                if (!same)
                        return PEER_E_FOREIGN;
        }
        /* alive now, so everything read by pid above was about it */
        return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0 ? PEER_E_GONE : PEER_OK;
}

static bool peer_is_ours(int fd, const char *socket_path) {
        struct sockaddr_un sun = { .sun_family = AF_UNSPEC };
        socklen_t len = sizeof(sun);

        if (getsockname(fd, (struct sockaddr *)&sun, &len) < 0 || sun.sun_family != AF_UNIX)
                return false;
        return len > offsetof(struct sockaddr_un, sun_path) &&
               strncmp(sun.sun_path, socket_path, sizeof(sun.sun_path)) == 0;
}

static rlim_t peer_limit_value(const char *text) {
        return strncmp(text, "unlimited", 9) == 0 ? RLIM_INFINITY : strtoull(text, NULL, 10);
}

/*
 * prlimit(2) of another user's process needs CAP_SYS_RESOURCE, which containers take from root. The kernel prints the
 * same numbers in /proc/PID/limits: a heading, then one line per resource in their order, values in columns 26 and 47.
 */
static int peer_limits_from_proc(pid_t pid, struct rlimit limits[RLIM_NLIMITS]) {
        _cleanup_fclose_ FILE *f = NULL;
        char path[64], line[160];

        snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
        f = fopen(path, "re");
        if (!f || !fgets(line, sizeof(line), f))
                return err_raise(-ESRCH);
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                if (!fgets(line, sizeof(line), f) || strlen(line) < 68)
                        return err_raise(-EBADMSG);
                limits[i].rlim_cur = peer_limit_value(line + 26);
                limits[i].rlim_max = peer_limit_value(line + 47);
        }
        return 0;
}

static int peer_limits(pid_t pid, struct rlimit limits[RLIM_NLIMITS]) {
        for (int i = 0; i < RLIM_NLIMITS; i++)
                if (prlimit(pid, i, NULL, &limits[i]) < 0)
                        return errno == EPERM ? peer_limits_from_proc(pid, limits) : err_raise(-errno);
        return 0;
}

int peer_identify(int fd, const char *socket_path, struct peer *ret, struct identity *ret_identity) {
        struct identity *id = ret_identity;
        socklen_t len = sizeof(id->groups);
        int r;

        if (!peer_is_ours(fd, socket_path))
                return PEER_E_SOCKET;
        r = peer_credentials(fd, ret);
        if (r)
                return r;
        id->uid = ret->uid;
        id->gid = ret->gid;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, id->groups, &len) < 0)
                return err_raise(-errno);
        id->n_groups = len / sizeof(gid_t);
        r = peer_limits(ret->pid, id->limits);
        if (r)
                return r == -ESRCH ? PEER_E_GONE : err_pass(r);
        return peer_check(fd, ret);
}
