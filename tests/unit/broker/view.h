/*
 * A miniature of the monitor's and the service's work, for tests of the broker against the real kernel: private mount
 * namespace, four levels, two granted trees, an init that runs one-line programs, all gone when the test ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/broker/message.h"

#define TEST_HOME "/mnt/home/u"

enum {
        TEST_UID = 61234,
        TEST_LEVEL_ROOT = 1,
        TEST_LEVEL_MNT,
        TEST_LEVEL_HOME,
        TEST_LEVEL_U, /* TEST_HOME */
        TEST_LEVELS,
        TEST_GRANT_WORK = 10, /* TEST_HOME/work, read-write */
        TEST_GRANT_RO,        /* TEST_HOME/ro, read-only */
};

/* What a program of the session does. */
enum act {
        ACT_STAT,
        ACT_OPEN,   /* flags, mode; writes "text" when it can; result.extra: F_GETFD */
        ACT_MKDIR,  /* mode */
        ACT_RENAME, /* path, path2 */
        ACT_LINK,
        ACT_SYMLINK,
        ACT_UNLINK,
        ACT_RMDIR,
        ACT_MKNOD,
        ACT_EXECUTE,
        ACT_STAT_LOOP,    /* flags times; result.us */
        ACT_OPEN_LOOP,    /* open for writing and close, flags times */
        ACT_BURST,        /* flags threads, each stats path + its number once, mode rounds */
        ACT_CONNECT,      /* port = flags; mode: enum connect_mode; result.extra: bytes echoed */
        ACT_CONNECT_LOOP, /* port = flags, mode times: value: successes */
        ACT_OWN_SERVER,   /* listens on port = flags, connects to it, mode: non-blocking; result.extra: bytes */
        ACT_BULK,         /* port = flags, mode MiB echoed */
        ACT_BAD_POINTER,  /* an open whose path pointer leads nowhere */
        ACT_HOLD,         /* holds path open, or with mode works in it, until it is killed */
        ACT_WRITABLE,     /* opens path read-only, then again through /proc/self/fd for writing: result of the second */
};
enum connect_mode {
        CONNECT_BLOCKING,
        CONNECT_NONBLOCK,
        CONNECT_EPOLL_FIRST,
        CONNECT_CLOEXEC,
        CONNECT_IPV6,
        CONNECT_UDP,
        CONNECT_UNIX,
        CONNECT_TWICE,
        CONNECT_DISCONNECT, /* AF_UNSPEC afterwards */
        CONNECT_UNLOCK,     /* result.extra: what was refused: 1 another device, 2 another filter */
        CONNECT_BAD_FD,
};

struct command {
        int32_t act, flags, mode;
        uint32_t id;
        char path[512], path2[512];
};
struct result {
        uint32_t id;
        int32_t value, error, extra;
        int64_t us;
};

struct view {
        int fd_service; /* our end: the service's */
        int fd_command;
        int fd_levels[TEST_LEVELS];
        uint32_t devs[TEST_LEVELS];
        int fd_namespace, fd_notifier, fd_pipe_write;
        pid_t broker, init;
        uint32_t id;
};

struct received {
        struct broker_message m;
        char payload[BROKER_PAYLOAD_MAX + 1];
        const char *texts[16];
        unsigned n_texts;
        int fds[8];
        size_t n_fds;
};

/* Enters a private mount namespace with a fresh /mnt. Return: 0; 77: this machine cannot. */
int view_prepare(void);
/* @announce: send the levels and grants to the broker. */
void view_start(struct view *v, bool announce);
/* Ends everything; checks that broker and init are gone. */
void view_stop(struct view *v);

void view_send(struct view *v, const struct broker_message *m, const char *const *texts, unsigned n_texts, int fd);
/* Next message within two seconds; false: none. Give it back with received_done(). */
bool view_receive(struct view *v, struct received *ret);
/* Nothing comes within @ms. */
bool view_is_silent(struct view *v, int ms);
void received_done(struct received *r);

/* Starts an act; its result comes with view_result(). Return: its id. */
uint32_t view_act(struct view *v, int act, const char *path, const char *path2, int flags, int mode);
bool view_result(struct view *v, struct result *ret, int ms);
/* Starts an act, expects no message meanwhile, and returns its result: value, or -errno. */
int view_quiet(struct view *v, int act, const char *path, const char *path2, int flags, int mode);

/* Like the monitor: attaches @fd_object at @name of level @node. A directory, or a file by way of a hidden mount. */
int view_attach(struct view *v, int node, const char *name, int fd_object, bool write);
int view_detach(struct view *v, int node, const char *name);
/* Mounts a level at @name of level @parent and announces it; the broker answers @token. */
int view_attach_level(struct view *v, int parent, const char *name, int node, const char *path, uint32_t token);
int view_plant(struct view *v, int node, const char *name);
int view_widen(struct view *v, const char *path);
/* Mounts the file @fd over the file @path of a granted tree. */
int view_mask(struct view *v, const char *path, int fd);
void view_ready(struct view *v, int node, uint32_t token);
