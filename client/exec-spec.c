/*
 * Sealed before it leaves us: the service may read it once and know that it stays so.
 * Runs as: the user.   Input: see exec-spec.h.
 */
#include "client/exec-spec.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "common/error.h"
#include "common/fd.h"
#include "daemon/target/control.h"

struct buffer {
        char *data;
        size_t n;
};

static int buffer_add(struct buffer *b, const void *data, size_t n) {
        if (n > EXEC_SPEC_MAX - b->n)
                return err_raise(-E2BIG);
        memcpy(b->data + b->n, data, n);
        b->n += n;
        return 0;
}

static int buffer_add_list(struct buffer *b, char *const *list, uint32_t *ret_n) {
        uint32_t n = 0;
        int r;

        for (; *list; list++) {
                if (n++ >= EXEC_SPEC_ARGS_MAX)
                        return err_raise(-E2BIG);
                r = buffer_add(b, *list, strlen(*list) + 1);
                if (r)
                        return err_pass(r);
        }
        *ret_n = n;
        return 0;
}

static int launch_fill(const struct launch *l, struct buffer *b) {
        struct exec_spec h = { .magic = EXEC_SPEC_MAGIC,
                               .rows = l->size.ws_row,
                               .columns = l->size.ws_col,
                               .tty_mask = l->tty_mask };
        int r;

        r = buffer_add(b, &h, sizeof(h));
        if (r == 0)
                r = buffer_add(b, l->program, strlen(l->program) + 1);
        if (r == 0)
                r = buffer_add(b, l->workdir, strlen(l->workdir) + 1);
        if (r == 0)
                r = buffer_add_list(b, l->argv, &h.n_argv);
        if (r == 0)
                r = buffer_add_list(b, l->env, &h.n_env);
        if (r)
                return err_pass(r);
        h.size = (uint32_t)b->n;
        memcpy(b->data, &h, sizeof(h));
        return 0;
}

int launch_memfd(const struct launch *l) {
        _cleanup_free_ char *data = malloc(EXEC_SPEC_MAX);
        struct buffer b = { .data = data };
        _cleanup_close_ int fd = -1;
        int r;

        if (!data)
                return err_raise(-ENOMEM);
        r = launch_fill(l, &b);
        if (r)
                return err_pass(r);
        fd = memfd_create("nono-command", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return err_raise(-errno);
        r = fd_write_full(fd, b.data, b.n);
        if (r)
                return err_pass(r);
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return err_raise(-errno);
        return steal_fd(&fd);
}
