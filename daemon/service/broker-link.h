/*
 * Broker link — messages to one session's broker, and the decoder of its messages.
 * Runs as: user nono.   Input: a process of the user (hostile); every text is bounded, every path checked here.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/broker/message.h"
#include "daemon/service/pending.h"

struct run;

int broker_link_open(struct run *r, int fd);
/* @text2 may be NULL. @fd: consumed in every case; -1: none. Return: 0; an outcome of channel_send(); -errno. */
int broker_link_send(struct run *r, struct broker_message *m, const char *text, const char *text2, int fd);

/* What lies at a path on the host; the user's eyes. */
struct resolved_object {
        int error; /* errno, positive; ECANCELED: the broker is gone */
        enum object_kind kind;
        int fd;                   /* O_PATH; the callback takes it by setting -1 */
        const char *canonical;    /* checked; "" on an error */
        const char *const *links; /* pairs: path, target; all checked */
        size_t n_links;           /* pairs */
};
enum { BROKER_LINK_LINKS_MAX = 40 };
typedef void (*resolved_fn)(struct run *r, void *arg, struct resolved_object *o);
/* @fn is called exactly once, later, unless an error is returned. */
int broker_link_resolve(struct run *r, const char *path, uint32_t flags, resolved_fn fn, void *arg);
