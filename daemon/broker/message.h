/*
 * Broker messages — between the service (user nono) and one session's broker (the user).
 *
 * One SOCK_SEQPACKET pair per broker. A record is a struct broker_message followed by `size` payload bytes
 * (paths and names, as NUL-terminated strings in the order given below), plus descriptors.
 * The service treats everything here as the claim of a process of the user: it can ask for nothing that the
 * user could not open, and no verdict of the service is ever wider than the rule that a person approved.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/pack.h"

enum {
        BROKER_PAYLOAD_MAX = 24 * 1024,
        BROKER_WAITING_MAX = 4096, /* unanswered requests of one session; beyond: denied by the broker itself */
};

/* What lies at a path on the host. */
enum object_kind { OBJECT_MISSING = 0, OBJECT_DIR, OBJECT_FILE, OBJECT_SYMLINK, OBJECT_SOCKET, OBJECT_FIFO, OBJECT_DEVICE };

/* What the waiting process wants; for display, and to choose the access that is offered. */
enum operation {
        OPERATION_UNKNOWN = 0,
        OPERATION_LOOK, /* stat, access, readlink, chdir, list */
        OPERATION_READ,
        OPERATION_WRITE,
        OPERATION_EXECUTE,
        OPERATION_CREATE, /* a file */
        OPERATION_MKDIR,
        OPERATION_RENAME,
        OPERATION_LINK,
        OPERATION_SYMLINK,
        OPERATION_DELETE,
        OPERATION_CONNECT,
};

enum broker_type {
        /* service → broker */
        BROKER_RESOLVE = 1, /* .tag; "path" ["home"]. BROKER_F_CREATE_DIR: make missing directories below the home: the one
                               given (used from the first such message on), else the one of the user database */
        BROKER_LEVEL,       /* .node .dev; "path of the level" [level root]; token != 0: IOC_READY afterwards */
        BROKER_FAIL,        /* answer .token of level .node with ENOENT */
        BROKER_NOTIFIER,    /* [seccomp listener] */
        BROKER_VERDICT,     /* .tag of a BROKER_CHANGE; .error 0: do it; else fail with that errno */
        BROKER_RELEASE,     /* .tag of a BROKER_CHANGED: the new object stands in the view, answer the caller */
        BROKER_PORT,        /* .port: this host loopback port may be connected to */
        BROKER_GRANT,       /* .node; "path": a granted tree; BROKER_F_WRITE. So that EROFS can be traced to its grant */
        BROKER_UNGRANT,     /* .node of a grant, or of a level that was detached: its waiting requests get ENOENT */
        BROKER_ANSWERED,    /* .token: the monitor answered it (ATTACH, REFUSE); not watched any longer. Optional: a request
                               also ends when its thread asks again, and then BROKER_GONE may come late for a known tag */
        BROKER_PATTERN,     /* .access (POLICY_LIFT_*); "pattern": names denied inside granted directories too; BROKER_F_FILE,
                               BROKER_F_LITERAL, BROKER_F_LIFTS. To broker and sentry */
        BROKER_SCAN,        /* to the sentry: "path" of a granted directory [its O_PATH descriptor] */
        BROKER_SERVE,       /* to the sentry: it knows the patterns, opens may be judged */
        BROKER_GUARD,       /* "path": denied, below a granted directory; say when something appears there */
        BROKER_HOLDERS,     /* .node; "path": a grant that is about to be taken back: remember its mount.
                               tag != 0 → BROKER_HELD when that is done */
        BROKER_END_HOLDERS, /* .tag: end the processes that hold something of a remembered grant that was taken back since
                               (BROKER_UNGRANT, and the monitor has detached it) → BROKER_HELD. Forgets what is remembered */

        /* broker → service */
        BROKER_READY = 64, /* privileges are dropped, requests are read */
        BROKER_RESOLVED,   /* .tag .kind .error; "canonical path" then ("link path" "target")… for each symlink crossed
                              [O_PATH descriptor] when error is 0. BROKER_F_EXECUTABLE */
        BROKER_REQUEST,    /* a walk waits: .tag .token .node (level) .kind .operation .pid (tgid) .access;
                              "name" "full path or empty" "canonical path of name's object" "symlink target or empty"
                              "program chain, outermost first, joined by \x1f" [O_PATH of the object, pidfd of the caller].
                              The full path begins with the level's path and name. Of a symlink: the descriptor is the
                              link's, the canonical path that of what it leads to (empty: nothing). .access: POLICY_READ 1 |
                              POLICY_WRITE 2 */
        BROKER_CHANGE,     /* a creating or writing call waits: .tag .node (level, or the read-only grant) .operation .pid
                              "path" "second path or empty" "chain" [pidfd]. BROKER_F_WIDEN: .node is a grant to be widened */
        BROKER_CHANGED,    /* .tag .kind .operation; "path" "second path"; it is done on the host [O_PATH of the new object]
                              (no descriptor after a delete) */
        BROKER_GONE,       /* .tag: that request's caller was killed; drop the prompt */
        BROKER_PLANT,      /* .node (level); "name": missed again and again; plant a negative name */
        BROKER_UNPLANT,    /* .node (level); "name": it exists on the host now */
        BROKER_CONNECTED,  /* .port .pid (of the thread) .error: a brokered connect, for events */
        BROKER_HELD,         /* .tag; of END_HOLDERS: .token is how many processes were ended */
        BROKER_TOUCHED,      /* "path" of a GUARD: it, or a directory above it, was made or replaced on the host */
};
enum {
        BROKER_F_CREATE_DIR = 1,
        BROKER_F_WRITE = 2,
        BROKER_F_EXECUTABLE = 4,
        BROKER_F_WIDEN = 8,
        BROKER_F_DIRECTORY = 16, /* REQUEST: the full path is a directory on the host */
        BROKER_F_FILE = 64, /* PATTERN: the object alone, not what lies below it */
        BROKER_F_LITERAL = 128, /* PATTERN: a path */
        BROKER_F_LIFTS = 256, /* PATTERN: denies nothing, but takes back denies of these classes */
        BROKER_F_UNREACHABLE = 32, /* REQUEST: on the host the user may not do this; nobody needs to be asked */
};

struct broker_message {
        uint32_t type;
        uint32_t size; /* payload bytes that follow */
        uint64_t tag;
        uint32_t node, token, dev;
        uint32_t kind, operation, access, flags;
        int32_t error; /* errno, positive */
        int32_t pid;
        uint32_t port;
        uint32_t n_fds; /* of this record, when several travel in one message: common/pack.h */
};

static inline size_t broker_message_size(const void *record) {
        uint32_t size; /* paths have any length, so records start anywhere */

        memcpy(&size, (const char *)record + offsetof(struct broker_message, size), sizeof(size));
        return size <= BROKER_PAYLOAD_MAX ? sizeof(struct broker_message) + size : 0;
}
static const struct pack_format broker_format __attribute__((unused)) = {
        .header = sizeof(struct broker_message),
        .offset_n_fds = offsetof(struct broker_message, n_fds),
        .size = broker_message_size,
};
