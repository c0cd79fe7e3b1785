/*
 * Caller — what a waiting thread of the session wants, read from /proc and from its memory.
 *
 * Everything here is for display and for choosing what is offered: the thread's siblings can change its memory while it is
 * read. Only change.c and connect.c act on it, and then on their own copy.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/broker/message.h"
#include "daemon/broker/path.h"

enum {
        CALLER_CHAIN_BYTES = 1024,
        CALLER_CHAIN_DEPTH = 32,
        CALLER_CHAIN_SEPARATOR = 0x1f,
};
/* DENIED: the process is not dumpable, nobody but root may look at it. */
enum { CALLER_OK = 0, CALLER_E_GONE = 1, CALLER_E_FAULT, CALLER_E_TOO_LONG, CALLER_E_DENIED };

/* One system call in progress. */
struct caller_call {
        int nr; /* -1: unknown */
        uint64_t args[6];
};

struct caller_wish {
        enum operation operation;
        unsigned access;        /* POLICY_READ 1 | POLICY_WRITE 2 */
        bool creates;           /* a missing last component is no failure */
        bool follow;            /* a final link is followed */
        char path[PATH_BYTES];  /* as given, made absolute; "" when it cannot be known */
        char path2[PATH_BYTES]; /* the new name of a rename, the old one of a link; else "" */
};

/**
 * caller_status() - thread group, umask
 * Return: 0; CALLER_E_GONE.
 */
int caller_status(pid_t tid, pid_t *ret_tgid, mode_t *ret_umask);
/* Return: 0; CALLER_E_GONE. */
int caller_parent(pid_t pid, pid_t *ret);
/**
 * caller_chain() - names of the programs from the session's first one down to @tgid, joined by \x1f
 * @stop: the broker; the session's init, its child, is not named
 */
void caller_chain(pid_t tgid, pid_t stop, char *ret, size_t cap);
/* Copies @n bytes of another process, all or nothing. Return: 0; CALLER_E_FAULT; CALLER_E_GONE; CALLER_E_DENIED. */
int caller_read(pid_t tid, uint64_t address, void *ret, size_t n);
/**
 * caller_read_string() - copy a string page by page
 * @ret: @cap bytes, NUL-terminated on success
 * Return: 0; CALLER_E_FAULT; CALLER_E_GONE; CALLER_E_DENIED; CALLER_E_TOO_LONG.
 */
int caller_read_string(pid_t tid, uint64_t address, char *ret, size_t cap);
/**
 * caller_absolute() - make a path of a call absolute, in the view of the session
 * @dirfd: the descriptor argument, AT_FDCWD included
 * @ret:   PATH_BYTES; not normalised
 */
int caller_absolute(pid_t tid, int dirfd, const char *path, char *ret);
/* The call in which @tid waits. Return: 0; CALLER_E_GONE when it does not wait or cannot be looked at. */
int caller_call(pid_t tid, struct caller_call *ret);
/* What @call means. Never fails: what cannot be read stays unknown. */
void caller_wish(pid_t tid, const struct caller_call *call, struct caller_wish *ret);
