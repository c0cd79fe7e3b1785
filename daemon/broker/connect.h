/*
 * Connects — connect(2) of the session to what lies outside its empty network namespace.
 *
 * The socket is made and connected here, by the broker's own copy of the address, and put in place of the caller's
 * descriptor. Whom it may be connected to is decided in one function, today by a list of the host's loopback ports.
 */
#pragma once

#include <stdint.h>

#include "common/cleanup.h"

struct connects;
struct loop;
struct notice;
struct notify;
struct peer;

enum {
        CONNECTS_MAX = 256, /* in progress; beyond it EAGAIN */
        CONNECTS_WAIT_US = 10 * 1000 * 1000,
};

int connects_new(struct loop *l, struct peer *peer, struct notify *notify, struct connects **ret);
struct connects *connects_free(struct connects *c);
DEFINE_CLEANUP(struct connects, connects_free);

/* BROKER_PORT. Return: 0; -EINVAL. */
int connects_allow_port(struct connects *c, uint32_t port);
void connects_handle(struct connects *c, const struct notice *notice);
