/*
 * Builds /dev. The devpts instance is new, so no terminal of the host has a name in the session.
 * Runs as: root, in the builder, inside the session's mount namespace.   Input: none.
 */
#include "daemon/target/devices.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "daemon/target/mount.h"

/* Numbers as in Documentation/admin-guide/devices.txt of the kernel. */
static const struct {
        const char *name;
        unsigned major, minor;
} nodes[] = {
        { "null", 1, 3 },    { "zero", 1, 5 }, { "full", 1, 7 },
        { "random", 1, 8 },  { "urandom", 1, 9 }, { "tty", 5, 0 },
};

static const struct {
        const char *name, *target;
} links[] = {
        { "ptmx", "pts/ptmx" },
        { "fd", "/proc/self/fd" },
        { "stdin", "/proc/self/fd/0" },
        { "stdout", "/proc/self/fd/1" },
        { "stderr", "/proc/self/fd/2" },
};

static int devices_mount_below(int fd_dev, const char *name, const char *type, unsigned long flags, const char *options) {
        int fd;

        if (mkdirat(fd_dev, name, 0755) < 0)
                return err_raise(-errno);
        fd = mount_type(fd_dev, name, type, flags, options);
        if (fd < 0)
                return err_pass(fd);
        fd_close(&fd);
        return 0;
}

int devices_build(int fd_dir, const char *name) {
        _cleanup_close_ int fd_dev = -1;
        mode_t old = umask(0);
        int r;

        fd_dev = mount_type(fd_dir, name, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k,nr_inodes=64");
        if (fd_dev < 0) {
                umask(old);
                return err_pass(fd_dev);
        }
        for (size_t i = 0; i < ELEMENTSOF(nodes); i++)
                if (mknodat(fd_dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0) {
                        r = -errno;
                        umask(old);
                        return err_raise(r);
                }
        umask(old);
        for (size_t i = 0; i < ELEMENTSOF(links); i++)
                if (symlinkat(links[i].target, fd_dev, links[i].name) < 0)
                        return err_raise(-errno);
        /* gid 5 is tty on every Linux distribution; mode 620 keeps other users' write(1) out */
        r = devices_mount_below(fd_dev, "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
        if (r)
                return err_pass(r);
        r = devices_mount_below(fd_dev, "shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
        if (r)
                return err_pass(r);
        return steal_fd(&fd_dev);
}
