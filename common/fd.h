/*
 * Descriptors over SEQPACKET and STREAM sockets, and small descriptor helpers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/cleanup.h"

enum {
        FD_PER_MESSAGE_MAX = 64, /* well below SCM_MAX_FD (253) */
};
enum { FD_OK = 0, FD_E_AGAIN = 1, FD_E_CLOSED, FD_E_MALFORMED };

/**
 * fd_send() - one message with descriptors
 * @data:  borrowed; @n > 0 bytes (a descriptor cannot travel without data)
 * @fds:   borrowed; stay open in this process
 * Never raises SIGPIPE. Return: 0; FD_E_AGAIN when the socket is full and non-blocking; -errno.
 */
int fd_send(int fd, const void *data, size_t n, const int *fds, size_t n_fds);

/**
 * fd_recv() - one message with at most @cap_fds descriptors, all close-on-exec
 * @ret_n:     bytes read
 * @fds:       array of @cap_fds; the caller owns the first *ret_n_fds
 * On anything but 0 no descriptor is left open.
 * Return: 0; FD_E_AGAIN; FD_E_CLOSED; FD_E_MALFORMED (data or descriptors did not fit); -errno.
 */
int fd_recv(int fd, void *data, size_t cap, size_t *ret_n, int *fds, size_t cap_fds, size_t *ret_n_fds);

/* The same, never waiting: FD_E_AGAIN when nothing is there, whatever mode the socket is in. */
int fd_recv_now(int fd, void *data, size_t cap, size_t *ret_n, int *fds, size_t cap_fds, size_t *ret_n_fds);

void fd_close_many(int *fds, size_t n);
/* F_DUPFD_CLOEXEC from 3 up. Return: the new descriptor, or -errno. */
int fd_dup(int fd);
int fd_set_nonblock(int fd, bool on);
/* Return: bytes read until @n or end of file; -errno. Restarts after EINTR. */
ssize_t fd_read_full(int fd, void *data, size_t n);
/* Return: 0 or -errno. Restarts after EINTR, blocks on a full pipe. */
int fd_write_full(int fd, const void *data, size_t n);

/**
 * fd_keep_only() - close every descriptor from 3 up that is not listed
 * @keep: pointers to the descriptors to keep; -1 entries are skipped; those below 3 are first moved up
 */
void fd_keep_only(int *const *keep, size_t n);
