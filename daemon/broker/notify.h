/*
 * Notify — the session's seccomp listener. Receives the trapped calls, hands path calls to change.c and connects to
 * connect.c, and gives their answers back to the kernel.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

struct change;
struct connects;
struct loop;
struct notify;
struct call_shape;

/* One trapped call; the arguments are the kernel's copy, what pointers among them lead to is the caller's. */
struct notice {
        uint64_t id;
        pid_t tid;
        const struct call_shape *shape;
        uint64_t args[6];
};

/* @on_over is called once, when no process with the filter is left. */
int notify_new(struct loop *l, void (*on_over)(void *arg), void *arg, struct notify **ret);
struct notify *notify_free(struct notify *n);
DEFINE_CLEANUP(struct notify, notify_free);
/* Who handles what; borrowed. */
void notify_set_handlers(struct notify *n, struct change *change, struct connects *connects);
/* @fd: the listener, consumed on success. Return: 0; -EBUSY: there is one already. */
int notify_listen(struct notify *n, int fd);
bool notify_has_listener(const struct notify *n);

/* The kernel goes on with the call as if it had not been trapped. Never a grant: the view is the floor. */
void notify_continue(struct notify *n, uint64_t id);
void notify_error(struct notify *n, uint64_t id, int error);
void notify_value(struct notify *n, uint64_t id, int64_t value);
/* The caller still waits in this call. Ask after each read of its memory. */
bool notify_is_valid(struct notify *n, uint64_t id);
/* The call returns a new descriptor of @fd's file. Return: 0; -errno, and the call is not answered yet. */
int notify_return_fd(struct notify *n, uint64_t id, int fd, bool close_on_exec);
/* Puts @fd's file over the caller's descriptor @number; the call is not answered by it. Return: 0; -errno. */
int notify_replace_fd(struct notify *n, uint64_t id, int fd, int number, bool close_on_exec);
