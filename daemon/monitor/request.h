/*
 * Monitor requests — the closed table between nonod's service (user nono) and its monitor (root).
 *
 * One SOCK_SEQPACKET pair. Every record in either direction is one struct monitor_message, fixed size,
 * with the descriptors its table row says; several may travel in one message. The monitor believes nothing the service writes except within
 * these fields; a message that is not in the table, or not allowed in the session's state, ends the peer.
 * No text is parsed: names are single path components, compared and passed to mkdirat(2) as they are.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/pack.h"

enum {
        MONITOR_NAME_MAX = 255,
        MONITOR_TARGET_MAX = 1023, /* bytes of a symlink's target */
        MONITOR_NODES_MAX = 65536, /* node ids of one session's view; ids only rise, so also its changes */
        MONITOR_SESSIONS_MAX = 1024,
};

/* What a node of the view is. Node ids are chosen by the service, rising; 1 is the root level. */
enum view_kind {
        VIEW_LEVEL = 1, /* autofs level: asks about each missing name. No descriptor */
        VIEW_DIR,       /* granted directory: O_PATH descriptor opened with the user's rights */
        VIEW_FILE,      /* granted file, program or socket: O_PATH descriptor */
        VIEW_SYMLINK,   /* symbolic link in a level or plain directory, @target. Also a planted negative name */
        VIEW_PLAIN,     /* empty read-only directory (0755, root), inside a level, VIEW_TMP or VIEW_PLAIN */
        VIEW_TMP,       /* private tmpfs, 01777 */
        VIEW_PROC,      /* procfs of the session's pid namespace */
        VIEW_DEV,       /* private /dev with its own devpts */
        VIEW_MASK,      /* unreadable stand-in over @name below a VIEW_DIR; MASK_DIR says which kind */
};
enum {
        VIEW_WRITE = 1,    /* attach read-write; else read-only. Always nosuid, nodev */
        VIEW_MASK_DIR = 2, /* the masked object is a directory */
        VIEW_SENTRY = 8,   /* of a VIEW_DIR: each open in it is judged by the session's sentry; without what is mounted below */
        VIEW_INSIDE = 4,   /* @parent is a VIEW_DIR (or MASK's): @name may hold several components, walked with
                              openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS) */
};

enum {
        SESSION_SENTRY = 1, /* SESSION: its rules deny name patterns, so some nodes will be VIEW_SENTRY */
};

enum monitor_type {
        /*                       service → monitor; descriptors; allowed in state */
        MONITOR_SESSION = 1, /* [client's accepted socket]: who is it? fork its broker and builder     (no session)
                                → MONITOR_SESSION_OK [service end of the broker's socket, service end of init's socket]
                                  with SESSION_SENTRY in .flags also its sentry [service end of its socket]
                                  with .session, .uid, .gid, .pid (of the client)
                                → or MONITOR_REPLY with .error */
        MONITOR_NODE,        /* one node of the static view, [object] for DIR and FILE                 BUILDING; no reply */
        MONITOR_START,       /* [exec spec memfd, then the stdio descriptors of .flags: bit n = descriptor n is passed, the
                                rest come from the pty]; .umask                                        BUILDING
                                → MONITOR_LEVEL per level [level root], then MONITOR_STARTED or MONITOR_REPLY with .error */
        MONITOR_ATTACH,      /* live: node of any kind but PROC, DEV, TMP at @parent/@name             RUNNING
                                token != 0: AUTOFS_IOC_READY once it stands. → MONITOR_REPLY
                                for a VIEW_LEVEL → MONITOR_LEVEL [level root] instead; READY is then the broker's */
        MONITOR_REFUSE,      /* answer .token of level .node with -.error (EACCES …)                   RUNNING; no reply */
        MONITOR_REVOKE,      /* detach .node and everything below it. → MONITOR_REPLY                  RUNNING */
        MONITOR_WIDEN,       /* .node becomes read-write or read-only by .flags. → MONITOR_REPLY       RUNNING */
        MONITOR_KILL,        /* end every process of the session now. → MONITOR_EXITED follows         any */

        /*                       monitor → service */
        MONITOR_SESSION_OK = 64,
        MONITOR_REPLY,       /* .tag of the request, .session, .error: 0 or errno; .node where it applies */
        MONITOR_LEVEL,       /* .node .dev [level root descriptor, O_RDONLY | O_DIRECTORY]; .tag as in REPLY */
        MONITOR_STARTED,     /* .pid of init in the host's pid namespace */
        MONITOR_EXITED,      /* all processes of .session are gone; it is forgotten */
        MONITOR_CLIENT,      /* [accepted client socket]; .uid .gid .pid; the monitor accepts, the service reads.
                                .error EXDEV: a container or a session of ours; to be told so and closed */
        MONITOR_GONE,        /* .node of a view being built: its object was replaced on the host before it was attached. The
                                node does not stand; the first walk to the name asks */
        MONITOR_ADOPT,       /* [service end of init's socket]; .session .uid .gid, .pid of init: a session that an earlier
                                service process left. Its broker refuses everything from now on: it keeps what it has */
};

struct monitor_message {
        uint32_t type;
        uint32_t session; /* index and generation, chosen by the monitor; 0 is none */
        uint64_t tag;     /* copied into the reply */
        uint32_t node, parent;
        uint32_t kind, flags;
        uint32_t token; /* autofs wait-queue token; 0 for none */
        uint32_t dev;   /* level's st_dev as the autofs packet carries it: new_encode_dev */
        int32_t error;  /* errno, positive */
        uint32_t uid, gid, umask;
        int32_t pid;
        uint32_t n_fds; /* of this record, when several travel in one message: common/pack.h */
        uint16_t name_len, target_len;
        char name[MONITOR_NAME_MAX + 1];     /* not NUL-terminated on the wire beyond name_len */
        char target[MONITOR_TARGET_MAX + 1]; /* VIEW_SYMLINK; with VIEW_INSIDE: the relative path instead of name */
};

static inline size_t monitor_message_size(const void *record) {
        return sizeof(struct monitor_message);
}
static const struct pack_format monitor_format __attribute__((unused)) = {
        .header = sizeof(struct monitor_message),
        .offset_n_fds = offsetof(struct monitor_message, n_fds),
        .size = monitor_message_size,
};
