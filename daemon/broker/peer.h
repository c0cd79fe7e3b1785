/*
 * Peer — the broker's end of the socket to the service: sending without ever blocking, and payloads.
 * Used by: the broker.   Input: none (receiving is broker.c's).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "daemon/broker/message.h"

struct loop;
struct peer;

enum {
        PEER_QUEUE_BYTES = 8 * 1024 * 1024, /* unsent messages; beyond it a message is refused */
        PEER_QUEUE_FDS = 4096,              /* descriptors that wait with them */
        PEER_FDS_MAX = 4,
};
enum { PEER_OK = 0, PEER_E_FULL = 1, PEER_E_CLOSED };

/**
 * peer_new() - @fd is consumed on success and made non-blocking
 * @on_ready: called when the socket is readable
 */
int peer_new(struct loop *l, int fd, void (*on_ready)(void *arg), void *arg, struct peer **ret);
struct peer *peer_free(struct peer *p);
DEFINE_CLEANUP(struct peer, peer_free);

int peer_fd(const struct peer *p);
/* The service is gone: the socket is closed, the queue dropped, every later peer_send() says PEER_E_CLOSED. */
void peer_close(struct peer *p);
bool peer_is_closed(const struct peer *p);
/* Nothing is left to send. */
bool peer_is_idle(const struct peer *p);

/* One string of a payload, sent with a NUL behind it; or, when @raw, bytes as they are. NULL text is an empty string. */
struct peer_text {
        const char *text;
        size_t n; /* of raw bytes */
        bool raw;
};
#define PEER_TEXT(s) ((struct peer_text){ .text = (s) })

/**
 * peer_send() - queue or send one message; order is kept
 * @m:   .size is filled in
 * @fds: borrowed, at most PEER_FDS_MAX
 * Return: 0; PEER_E_FULL (queue, or payload over BROKER_PAYLOAD_MAX); PEER_E_CLOSED; -errno.
 */
int peer_send(struct peer *p, struct broker_message *m, const struct peer_text *texts, size_t n_texts, const int *fds,
              size_t n_fds);

/* Between the two, what is sent travels in as few messages as it fits in. Corking does not nest. */
void peer_cork(struct peer *p);
void peer_uncork(struct peer *p);

/**
 * peer_string() - next string of a received payload
 * @cursor: starts as the payload; moved behind the string
 * @end:    one behind the payload
 * Return: the string, or NULL when there is none or its NUL is missing.
 */
const char *peer_string(const char **cursor, const char *end);
