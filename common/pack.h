/*
 * Pack — several records with their descriptors in one SOCK_SEQPACKET message.
 *
 * A wakeup of the peer costs more than all that most records ask for, so what is sent in one go travels as one message.
 * A record knows its own size, and how many of the message's descriptors are its own, in the order of the records; a
 * message with one record needs no count: all are its.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fd.h"

enum {
        PACK_BYTES_MAX = 32 * 1024,
        PACK_FDS_MAX = FD_PER_MESSAGE_MAX,
};

/* How records of one kind look: where the count of descriptors stands, and how long a record at @record is. */
struct pack_format {
        size_t header;         /* bytes that must be there to know the size */
        size_t offset_n_fds;   /* of a uint32_t in the header */
        size_t (*size)(const void *record);
};

struct pack {
        size_t n, n_fds;
        int fds[PACK_FDS_MAX];
        _Alignas(8) char data[PACK_BYTES_MAX];
};

/* Room for one more such record? An empty pack has room for every legal one. */
bool pack_fits(const struct pack *p, size_t n, size_t n_fds);
/* Appends a copy; the descriptors are only noted, and must stay open until the pack is sent. */
void pack_add(struct pack *p, const struct pack_format *f, const void *record, size_t n, const int *fds, size_t n_fds);
/* Sends and empties it; nothing to send is fine. The descriptors are not closed. Return: as fd_send(). */
int pack_send(struct pack *p, int fd);

/* Walks the records of a received message. Zero-initialise, then fill data, n, fds, n_fds. */
struct pack_reader {
        const char *data;
        size_t n, n_fds, used, used_fds;
        int *fds;
};
enum { PACK_OK = 0, PACK_E_END = 1, PACK_E_MALFORMED };
/* Next record, with its slice of the descriptors. Return: 0; PACK_E_END; PACK_E_MALFORMED. */
int pack_next(struct pack_reader *r, const struct pack_format *f, const void **ret, size_t *ret_n, int **ret_fds,
              size_t *ret_n_fds);
