/*
 * Run — one session: a program, its view, its broker, its grants, and who waits for what in it.
 * Runs as: user nono.   Input: the broker's and init's messages (as the user: claims), the monitor's (trusted).
 *
 *      NEW ─session ok─► RESOLVING ─all known─► BUILDING ─started─► STARTING ─exec─► RUNNING
 *       │                    │                     │                    │               │
 *       └────────────────────┴─────────────────────┴────────────────────┴──► ENDING ◄───┘ ─exited─► (freed)
 *
 * A session that an earlier service process left is adopted: RUNNING from the first moment, without plan, broker and client.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/service/core.h"
#include "daemon/service/decide.h"
#include "daemon/service/feed.h"

struct approval;
struct loop_source;
struct policy_plan;
struct request;
struct revoke;
struct spawn;
struct tree;

enum run_state { RUN_NEW, RUN_RESOLVING, RUN_BUILDING, RUN_STARTING, RUN_RUNNING, RUN_ENDING };

enum {
        RUN_ID_BYTES = 17,
        RUN_START_US = 30 *
                       1000000, /* from Spawn to the program's start; a dead file system must not hold it for ever */
        RUN_HANGUP_US = 2 * 1000000, /* between SIGHUP and the end */
        RUN_STOP_US = 10 * 1000000,  /* between SIGTERM and the end */
        RUN_APPROVALS_MAX = 1024,
};

struct run {
        struct run *next, **at;
        struct service *service;
        char id[RUN_ID_BYTES]; /* hexadecimal */
        char *name, *profile, *command, *workdir, *home;
        uint32_t uid, gid, monitor_id; /* monitor_id 0: not known yet */
        int32_t pid;                   /* of init, on the host */
        enum run_state state;
        uint64_t started_us; /* realtime */
        bool own_tmp, broker_lost, killed, exit_told;
        bool spawn_gone; /* init was told to start the program */
        int early_signal; /* from the client before that; 0: none */
        bool adopted;    /* keeps what it has; plan is NULL */
        bool state_file; /* has a name in the state directory */

        struct client *client; /* attached; NULL: it left */
        uint32_t client_seq;
        bool can_prompt;

        struct policy_plan *plan;
        struct tree *tree;
        struct channel *broker, *init, *sentry;
        struct pending_table *pending; /* questions to the broker */
        struct spawn *spawn;           /* until the program runs */
        struct decide *decide;
        struct request *requests;
        size_t n_requests;
        struct approval *approvals;
        size_t n_approvals;
        struct revoke *revokes; /* that end who holds what they take back */
        unsigned n_detaching;   /* MONITOR_REVOKE sent, not answered */
        struct loop_source *deadline; /* of prompts */
        struct loop_source *timer;    /* of the start, of a stop */
        struct feed_ring recent;
        struct feed_rate rate;
        bool attended, replaying, replay_again;
};

/* Charged to @uid; in the list. Return: 0; RUN_E_QUOTA; -errno. */
enum { RUN_OK = 0, RUN_E_QUOTA = 1 };
int run_new(struct service *service, uint32_t uid, struct run **ret);
/* One that an earlier service process left; @fd of its init, consumed in every case. */
void run_adopt(struct service *service, uint32_t monitor_id, uint32_t uid, uint32_t gid, int32_t pid, int fd);
/* Ends it when the monitor has forgotten it (or never knew it). The memory goes after the round. */
void run_free(struct run *r);

/* Asserts the table of moves. */
void run_set_state(struct run *r, enum run_state state);
const char *run_state_name(enum run_state state);
/* What a person is told: its state, or that it was adopted. */
const char *run_describe(const struct run *r);
/* Ends every process now; MONITOR_EXITED follows. */
void run_kill(struct run *r);
/* SIGTERM and then the end; @force: the end at once. */
void run_stop(struct run *r, bool force);
void run_signal(struct run *r, int signo);
void run_continue(struct run *r);
/* The attached client is gone. */
void run_hang_up(struct run *r);
/* Nothing runs, or will: tells the client, ends the session. @hint may be NULL. */
void run_fail(struct run *r, uint32_t step, int error, const char *message, const char *hint);
/* The broker is gone: what waits is denied, what is attached stays. */
void run_lose_broker(struct run *r);

/* Fills in what every event of the session carries, and tells it. */
void run_tell(struct run *r, struct feed_event *e);
/* Rule denials: the same, unless there were too many this second. */
void run_tell_denied(struct run *r, struct feed_event *e);
/* Somebody who can answer came or left. */
void run_update_attended(struct run *r);
/* Sets the timer to the next prompt's deadline. */
void run_arm_deadline(struct run *r);
/* By id, by a beginning of the id (4 characters at least) or by name; only what @uid may see. NULL: none, or several. */
struct run *run_find(struct service *service, uint32_t uid, const char *text);
struct run *run_by_monitor_id(struct service *service, uint32_t id);

/* --- messages of init (control.h) --- */
int run_take_init(struct run *r, int fd);
