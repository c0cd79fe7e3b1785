/*
 * Peer — who is at the other end of a client's socket, as the kernel says.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "daemon/target/identity.h"

enum { PEER_OK = 0, PEER_E_GONE = 1, PEER_E_FOREIGN, PEER_E_SOCKET };

struct peer {
        pid_t pid;
        uid_t uid;
        gid_t gid;
};

/**
 * peer_check() - credentials of a freshly accepted client
 * Refused: a process that is gone (PEER_E_GONE), or one in another user, pid or mount namespace than ours
 * (PEER_E_FOREIGN): containers, and every session of ours.
 */
int peer_check(int fd, struct peer *ret);

/**
 * peer_identify() - all that a session inherits: ids, groups, resource limits
 * @socket_path: the socket must have been accepted by our listener (PEER_E_SOCKET): credentials of any other socket
 *               that a hijacked service might hand in say nothing about who asked us
 */
int peer_identify(int fd, const char *socket_path, struct peer *ret, struct identity *ret_identity);
