/*
 * Runs as: anyone.   Input: messages of the peer process; sizes are bounded here, contents are the caller's to check.
 */
#include "common/pack.h"

#include <assert.h>
#include <string.h>

bool pack_fits(const struct pack *p, size_t n, size_t n_fds) {
        return n <= PACK_BYTES_MAX - p->n && n_fds <= PACK_FDS_MAX - p->n_fds;
}

void pack_add(struct pack *p, const struct pack_format *f, const void *record, size_t n, const int *fds, size_t n_fds) {
        uint32_t count = (uint32_t)n_fds;

        assert(pack_fits(p, n, n_fds));
        memcpy(p->data + p->n, record, n);
        memcpy(p->data + p->n + f->offset_n_fds, &count, sizeof(count));
        if (n_fds)
                memcpy(p->fds + p->n_fds, fds, n_fds * sizeof(int));
        p->n += n;
        p->n_fds += n_fds;
}

int pack_send(struct pack *p, int fd) {
        int r = p->n ? fd_send(fd, p->data, p->n, p->fds, p->n_fds) : 0;

        if (r != FD_E_AGAIN)
                p->n = p->n_fds = 0;
        return r;
}

int pack_next(struct pack_reader *r, const struct pack_format *f, const void **ret, size_t *ret_n, int **ret_fds,
              size_t *ret_n_fds) {
        size_t left = r->n - r->used, n;
        uint32_t n_fds;

        if (left == 0)
                return PACK_E_END;
        if (left < f->header)
                return PACK_E_MALFORMED;
        n = f->size(r->data + r->used);
        if (n < f->header || n > left)
                return PACK_E_MALFORMED;
        memcpy(&n_fds, r->data + r->used + f->offset_n_fds, sizeof(n_fds));
        if (r->used == 0 && n == r->n)
                n_fds = (uint32_t)r->n_fds; /* the only record */
        if (n_fds > r->n_fds - r->used_fds)
                return PACK_E_MALFORMED;
        *ret = r->data + r->used;
        *ret_n = n;
        *ret_fds = r->fds + r->used_fds;
        *ret_n_fds = n_fds;
        r->used += n;
        r->used_fds += n_fds;
        return 0;
}
