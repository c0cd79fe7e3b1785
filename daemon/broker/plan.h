/*
 * Plan — what has to happen for one trapped path call, judged from the broker's own copy of its arguments.
 *
 * Made twice: when the call arrives, to know what to ask; and after the verdict, because minutes may have passed. Only
 * when both agree is it performed, on the descriptors of the second.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/broker/message.h"
#include "daemon/broker/place.h"
#include "daemon/broker/syscalls.h"

struct grants;
struct levels;

/* A copy of the call: nothing in here is read from the caller again. */
struct plan_call {
        enum call call; /* UNLINK with AT_REMOVEDIR has become RMDIR, CREAT and OPENAT2 have become OPEN */
        pid_t tid;
        uint64_t flags;
        mode_t mode;
        char *path;  /* absolute in the view */
        char *path2; /* rename: the new name; link: the old one; symlink: the target text; else NULL */
};

enum plan_action {
        PLAN_CONTINUE = 0, /* the kernel says what is right */
        PLAN_ERROR,        /* .error, without asking anybody */
        PLAN_ASK,          /* in a level: do it on the host if the service agrees */
        PLAN_WIDEN,        /* ask for the grant .node to become writable; the kernel decides */
};

struct plan {
        enum plan_action action;
        int error;
        uint32_t node;
        enum operation operation;
        struct place place;  /* object; of a rename the old name; of a link the new one */
        struct place place2; /* rename: the new name; link: the old one */
        struct side side, side2;
        int fd_source;                            /* link: O_PATH of the file */
        char path[PATH_BYTES], path2[PATH_BYTES]; /* as they are told */
};

/* plan_done() afterwards. */
void plan_make(const struct levels *levels, const struct grants *grants, const struct plan_call *call,
               struct plan *ret);
void plan_done(struct plan *p);

/* What plan_perform() made. */
struct performed {
        int fd;        /* an open's file */
        int fd_object; /* O_PATH of what stands there now; -1 after a delete */
        bool created;
        enum object_kind kind;
};
/**
 * plan_perform() - do it on the host, with the user's rights and the caller's umask
 * Return: 0; errno, positive. performed_done() afterwards in either case.
 */
int plan_perform(const struct plan_call *call, const struct plan *plan, mode_t caller_umask, struct performed *ret);
void performed_done(struct performed *p);
