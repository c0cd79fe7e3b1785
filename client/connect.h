/*
 * Connection — to the daemon's socket, with the handshake done.
 * Runs as: the user.   Input: replies of the daemon (decoded and bounded by common/wire.c).
 */
#pragma once

#include "client/say.h"
#include "common/wire.h"

struct conn {
        struct wire *wire; /* NULL when closed */
        uint32_t seq;      /* of the last request */
};

/* $NONO_SOCKET or the default. */
const char *conn_path(void);
/* Return: 0; CLIENT_E_TOLD. */
int conn_open(struct conn *ret);
void conn_close(struct conn *c);

/* Gives the request its number and sends it. Return: 0; CLIENT_E_TOLD. */
int conn_send(struct conn *c, Nono__Request *q, const int *fds, size_t n_fds);
/* Waits for the answer to the last request; events that come first are dropped. Return: 0; CLIENT_E_TOLD. */
int conn_answer(struct conn *c, Nono__Reply__BodyCase want, Nono__Reply **ret);
/* Both. */
int conn_call(struct conn *c, Nono__Request *q, Nono__Reply__BodyCase want, Nono__Reply **ret);

/* Tells what an error reply says. Return: CLIENT_E_TOLD. */
int conn_tell(const Nono__Error *e);
/* Tells that the daemon went away or talks nonsense. @r: of wire_*(). Return: CLIENT_E_TOLD. */
int conn_lost(int r);
