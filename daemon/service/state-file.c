/*
 * Runs as: user nono.   Input: none but our own rules.
 */
#include "daemon/service/state-file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/policy/show.h"
#include "daemon/service/core.h"
#include "daemon/service/run.h"

#define STATE_FILE_PREFIX "session-"

static void state_file_name(const struct run *r, char ret[64]) {
        snprintf(ret, 64, STATE_FILE_PREFIX "%s", r->id);
}

int state_file_make(struct run *r) {
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *text = NULL;
        char name[64];
        int fd_path, e;

        text = show_plan_text(r->plan);
        if (!text)
                return err_raise(-ENOMEM);
        state_file_name(r, name);
        fd = openat(r->service->fd_state, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
        if (fd < 0)
                return err_raise(-errno);
        r->state_file = true;
        e = fd_write_full(fd, text, strlen(text));
        if (e)
                return err_pass(e);
        fd_path = openat(r->service->fd_state, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        return fd_path >= 0 ? fd_path : err_raise(-errno);
}

void state_file_unlink(struct run *r) {
        char name[64];

        if (!r->state_file)
                return;
        r->state_file = false;
        state_file_name(r, name);
        if (unlinkat(r->service->fd_state, name, 0) < 0)
                log_warning("%s stays in the state directory: %s", name, strerror(errno));
}

void state_file_clean(struct service *s) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *d;
        int fd;

        if (s->fd_state < 0)
                return;
        fd = openat(s->fd_state, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd >= 0 ? fdopendir(fd) : NULL;
        if (!dir) {
                fd_close(&fd);
                log_warning("the state directory cannot be read: %s", strerror(errno));
                return;
        }
        while ((d = readdir(dir)))
                if (strncmp(d->d_name, STATE_FILE_PREFIX, strlen(STATE_FILE_PREFIX)) == 0)
                        (void)unlinkat(s->fd_state, d->d_name, 0);
}
