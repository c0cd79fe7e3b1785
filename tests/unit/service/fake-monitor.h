/*
 * Fake monitor — runs the real service in a child process and plays everybody it talks to: monitor, broker, init, clients.
 */
#pragma once

#include "tests/unit/service/service-test.h"

#include <sys/types.h>

#include "common/pack.h"
#include "common/wire.h"
#include "daemon/broker/message.h"
#include "daemon/monitor/request.h"
#include "daemon/target/control.h"

enum { FAKE_FDS = 8, FAKE_NODES = 128 };

/* Records that came together in one message. */
struct fake_inbox {
        char data[PACK_BYTES_MAX];
        int fds[PACK_FDS_MAX];
        struct pack_reader reader;
};

struct fake {
        pid_t pid;
        int fd_monitor;
        struct fake_inbox inbox;
        char dir[64]; /* policy */
};

/* One session, as its broker and init see it. */
struct fake_session {
        struct fake *fake;
        uint32_t id;
        int fd_broker, fd_init;
        struct fake_inbox inbox; /* of the broker */
        struct monitor_message nodes[FAKE_NODES];
        size_t n_nodes, n_ports;
        struct monitor_message start;
        char session[32];
};

struct fake_client {
        struct fake *fake;
        struct wire *wire;
        uint32_t seq;
};

/* What lies on the host: directories end in '/', "a -> b" is a link. Everything else is missing. */
extern const char *const *fake_host;

struct decide_limits;
void fake_start(struct fake *f);
void fake_start_with(struct fake *f, const struct decide_limits *limits);
/* Closes the monitor's socket; the service must end with status 0. */
void fake_stop(struct fake *f);

void fake_monitor_send(struct fake *f, struct monitor_message *m, const int *fds, size_t n_fds);
/* The next message, which must be of @type. */
struct monitor_message fake_monitor_expect(struct fake *f, uint32_t type, int *fds, size_t *n_fds);
/* Nothing arrives for a while. */
void fake_monitor_expect_silence(struct fake *f);

struct fake_client fake_connect(struct fake *f, uint32_t uid);
/* With hello. */
struct fake_client fake_client(struct fake *f, uint32_t uid);
void fake_hang_up(struct fake_client *c);
void fake_send(struct fake_client *c, Nono__Request *q, const int *fds, size_t n_fds);
/* Next reply; NULL when the service closed the connection. Free with wire_reply_free(). */
Nono__Reply *fake_receive(struct fake_client *c);
/* Skips events; the next reply of that kind, or the test fails. */
Nono__Reply *fake_expect(struct fake_client *c, Nono__Reply__BodyCase body);
Nono__Reply *fake_expect_event(struct fake_client *c, Nono__EventType type);
void fake_expect_error(struct fake_client *c, Nono__ErrorCode code);
void fake_expect_closed(struct fake_client *c);

/* A sealed exec spec of /usr/bin/true in /home/u/proj. */
int fake_spec(unsigned tty_mask);
void fake_spawn_init(Nono__Spawn *m, Nono__Vars *v);
/* Sends Spawn with three /dev/null. */
void fake_send_spawn(struct fake_client *c, const Nono__Spawn *m);
/* Answers MONITOR_SESSION. */
void fake_session_begin(struct fake *f, struct fake_session *s, uint32_t uid);
/* Answers every BROKER_RESOLVE from fake_host until the nodes come; takes them up to MONITOR_START. */
void fake_session_build(struct fake_session *s);
/* The same for a spawn that ends there: answers questions until none come any more. */
void fake_session_resolve(struct fake_session *s);
/* Levels, listener, go. */
void fake_session_run(struct fake_session *s, struct fake_client *c);
/* All of it, attached to @c. */
void fake_session(struct fake *f, struct fake_session *s, struct fake_client *c, uint32_t uid, const Nono__Spawn *m);
/* Ends it: MONITOR_EXITED. */
void fake_session_end(struct fake_session *s);

const struct monitor_message *fake_node(const struct fake_session *s, const char *path, char *buf);
uint32_t fake_node_id(const struct fake_session *s, const char *path);

void fake_broker_send(struct fake_session *s, struct broker_message *m, const char *const *texts, size_t n_texts,
                      const int *fds, size_t n_fds);
/* The next message but GRANT, UNGRANT and ANSWERED, which must be of @type; RESOLVE is answered from fake_host on the way,
 * unless it is what is expected. */
struct broker_message fake_broker_expect(struct fake_session *s, uint32_t type, char *text, size_t cap);
/* BROKER_RESOLVE of @path, answered from fake_host. */
void fake_broker_expect_resolve(struct fake_session *s, const char *path);
/* Answers what questions have come; nothing else may have. */
void fake_broker_answer(struct fake_session *s);
/* A walk to @name in @level; @pidfd -1: our own. */
void fake_walk(struct fake_session *s, uint64_t tag, uint32_t level, const char *name, const char *full,
               enum object_kind kind, const char *canonical, const char *target, int pidfd);
void fake_change(struct fake_session *s, uint64_t tag, enum operation operation, uint32_t node, uint32_t flags,
                 const char *path, const char *second);
void fake_init_send(struct fake_session *s, uint32_t type, int32_t value, uint32_t step);
struct control_message fake_init_expect(struct fake_session *s, uint32_t type);
