/*
 * Control groups. Names are numbers of ours; nothing a client says gets here.
 * Runs as: root.   Input: /proc/self/cgroup (kernel).
 */
#include "daemon/monitor/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"

static const char *cgroup_mount(void) {
        static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
        struct statfs fs;

        for (size_t i = 0; i < ELEMENTSOF(places); i++)
                if (statfs(places[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
                        return places[i];
        return NULL;
}

/* Our own group: the line "0::/path" of /proc/self/cgroup, cgroups(7). */
static int cgroup_own(char *ret, size_t size) {
        _cleanup_fclose_ FILE *f = fopen("/proc/self/cgroup", "re");
        char line[400];

        if (!f)
                return err_raise(-errno);
        while (fgets(line, sizeof(line), f))
                if (strncmp(line, "0::/", 4) == 0) {
                        line[strcspn(line, "\n")] = '\0';
                        snprintf(ret, size, "%s", strcmp(line + 3, "/") == 0 ? "" : line + 3);
                        return 0;
                }
        return err_raise(-ENOENT);
}

static void cgroup_name(uint32_t session, char ret[32]) {
        snprintf(ret, 32, "s%08x", session);
}

static void cgroup_write(struct cgroup *c, const char *dir, const char *file, const char *value) {
        char path[64];
        _cleanup_close_ int fd = -1;

        snprintf(path, sizeof(path), "%s/%s", dir, file);
        fd = openat(c->fd_base, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || write(fd, value, strlen(value)) < 0)
                log_debug("cgroup %s: %s", path, strerror(errno));
}

/* What a killed daemon left: its sessions ended with it, their empty groups are still here. */
static void cgroup_sweep(struct cgroup *c) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *e;
        int fd = openat(c->fd_base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        d = fd >= 0 ? fdopendir(fd) : NULL;
        while (d && (e = readdir(d))) {
                if (e->d_type != DT_DIR || e->d_name[0] != 's' || strlen(e->d_name) != 9)
                        continue;
                cgroup_write(c, e->d_name, "cgroup.kill", "1");
                for (int i = 0; i < 100 && unlinkat(c->fd_base, e->d_name, AT_REMOVEDIR) < 0 && errno == EBUSY; i++)
                        (void)nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
        }
}

int cgroup_init(struct cgroup *c, uint32_t instance) {
        const char *mount = cgroup_mount();
        char own[400];
        int r;

        *c = (struct cgroup){ .fd_base = -1 };
        if (!mount) {
                log_warning("no cgroup v2 hierarchy is mounted: sessions run without a control group of their own");
                return 0;
        }
        r = cgroup_own(own, sizeof(own));
        if (r)
                return err_pass(r);
        if (snprintf(c->path, sizeof(c->path), "%s%s/nonod-%08x", mount, own, instance) >= (int)sizeof(c->path))
                return err_raise(-ENAMETOOLONG);
        if (mkdir(c->path, 0755) < 0 && errno != EEXIST) {
                log_warning("cannot make a control group at %s: %s; sessions run without one", c->path, strerror(errno));
                return 0;
        }
        c->fd_base = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (c->fd_base < 0)
                return err_raise(-errno);
        cgroup_sweep(c);
        return 0;
}

void cgroup_done(struct cgroup *c) {
        if (c->fd_base < 0)
                return;
        cgroup_sweep(c);
        fd_close(&c->fd_base);
        (void)rmdir(c->path);
}

int cgroup_create(struct cgroup *c, uint32_t session, int *ret_dir) {
        char name[32];

        *ret_dir = -1;
        if (c->fd_base < 0)
                return 0;
        cgroup_name(session, name);
        if (mkdirat(c->fd_base, name, 0755) < 0 && errno != EEXIST)
                return err_raise(-errno);
        *ret_dir = openat(c->fd_base, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return *ret_dir < 0 ? err_raise(-errno) : 0;
}

void cgroup_kill(struct cgroup *c, uint32_t session) {
        char name[32];

        if (c->fd_base < 0)
                return;
        cgroup_name(session, name);
        cgroup_write(c, name, "cgroup.kill", "1");
}

int cgroup_remove(struct cgroup *c, uint32_t session) {
        char name[32];

        if (c->fd_base < 0)
                return 0;
        cgroup_name(session, name);
        if (unlinkat(c->fd_base, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return errno == EBUSY ? -EBUSY : err_raise(-errno);
        return 0;
}
