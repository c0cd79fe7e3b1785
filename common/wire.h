/*
 * Wire — the one door to protobuf-c: frames on an AF_UNIX stream socket.
 *
 * A frame is a 4-byte little-endian length (1..WIRE_FRAME_MAX) and that many bytes of one nono.Request or nono.Reply.
 * Descriptors travel with the first byte of the frame's header.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "nono.pb-c.h"

enum {
        WIRE_FRAME_MAX = 64 * 1024,
        WIRE_ARENA_MAX = 1024 * 1024, /* bytes one decoded message may take */
        WIRE_FDS_MAX = 8,
        WIRE_QUEUE_MAX = 4 * 1024 * 1024, /* unsent bytes of one connection; beyond it the peer is too slow */
        WIRE_VERSION = 1,
};
enum { WIRE_OK = 0, WIRE_E_AGAIN = 1, WIRE_E_CLOSED, WIRE_E_MALFORMED, WIRE_E_SLOW };

struct wire;

/* @fd is consumed; made non-blocking. @server: we decode Request and send Reply, else the other way round. */
int wire_new(int fd, bool server, struct wire **ret);
struct wire *wire_free(struct wire *w);
DEFINE_CLEANUP(struct wire, wire_free);
int wire_fd(const struct wire *w);
/* Unsent bytes wait: ask the loop for LOOP_WRITE too. */
bool wire_wants_write(const struct wire *w);
/* Return: 0; WIRE_E_AGAIN while some is left; WIRE_E_CLOSED; -errno. */
int wire_flush(struct wire *w);

/**
 * wire_recv_request() / wire_recv_reply() - next whole frame, decoded and checked
 * @fds:  WIRE_FDS_MAX entries; the first *ret_n_fds are the caller's now
 * The message is freed with wire_message_free(). Checked: size, arena, no unknown field, every enum value known, a body
 * is present, no field of type bytes that holds a path or name contains NUL.
 * Return: 0; WIRE_E_AGAIN; WIRE_E_CLOSED; WIRE_E_MALFORMED (end the connection); -errno.
 */
int wire_recv_request(struct wire *w, Nono__Request **ret, int *fds, size_t *ret_n_fds);
int wire_recv_reply(struct wire *w, Nono__Reply **ret, int *fds, size_t *ret_n_fds);
void wire_request_free(Nono__Request *m);
void wire_reply_free(Nono__Reply *m);

/* Queues and tries to send at once. @fds are duplicated as needed; the caller keeps its own.
 * Return: 0; WIRE_E_SLOW (queue full: end the connection); WIRE_E_CLOSED; -EMSGSIZE; -errno. */
int wire_send_request(struct wire *w, const Nono__Request *m, const int *fds, size_t n_fds);
int wire_send_reply(struct wire *w, const Nono__Reply *m, const int *fds, size_t n_fds);

/* Helpers for bytes fields: borrow a C string; copy a field into a NUL-terminated heap string (NULL on ENOMEM). */
ProtobufCBinaryData wire_bytes(const char *s);
char *wire_string(const ProtobufCBinaryData *b);
bool wire_is(const ProtobufCBinaryData *b, const char *s);
