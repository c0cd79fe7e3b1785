/*
 * Channel — one SOCK_SEQPACKET socket on the loop with a bounded queue of outgoing messages. Never blocks.
 * Runs as: user nono.   Input: messages of the monitor, a broker or an init; only framed here.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/pack.h"

struct loop;
struct channel;

enum {
        CHANNEL_MESSAGE_MAX = PACK_BYTES_MAX,
        CHANNEL_FDS_MAX = PACK_FDS_MAX,
        CHANNEL_BURST_MAX = 64, /* messages taken in one round of the loop */
};
enum { CHANNEL_OK = 0, CHANNEL_E_FULL = 1, CHANNEL_E_CLOSED };

/* @data is @n bytes, valid during the call; the descriptors belong to the callback: it takes (sets to -1) what it
 * keeps, the rest is closed afterwards. */
typedef void (*channel_message_fn)(void *arg, const void *data, size_t n, int *fds, size_t n_fds);
/* Once, when the peer closed, sent something that does not fit, or the queue overflowed. The channel may be freed here. */
typedef void (*channel_closed_fn)(void *arg);

/**
 * channel_new() - take over a socket
 * @fd:        consumed on success, made non-blocking
 * @format:    of the records; what is sent during one round of the loop then travels together. NULL: one record each
 * @queue_max: bytes that may wait; beyond it the channel is closed
 */
int channel_new(struct loop *loop, int fd, const struct pack_format *format, size_t queue_max,
                channel_message_fn on_message, channel_closed_fn on_closed, void *arg, struct channel **ret);
struct channel *channel_free(struct channel *c);
DEFINE_CLEANUP(struct channel, channel_free);

/**
 * channel_send() - queue one record; without a format it is sent at once when nothing waits
 * @fds: consumed in every case, set to -1; entries of -1 are not allowed
 * Return: 0; CHANNEL_E_FULL and CHANNEL_E_CLOSED (on_closed is called in the next round); -errno.
 */
int channel_send(struct channel *c, const void *data, size_t n, int *fds, size_t n_fds);
