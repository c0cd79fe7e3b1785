/*
 * The mount calls of the view. Placement is by descriptor throughout, so no path of a user's is ever parsed here.
 * Runs as: root.   Input: descriptors opened by the broker with the user's rights; names the monitor has checked.
 */
#include "daemon/target/mount.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"

int mount_clone(int fd, bool write) {
        struct mount_attr attr = {
                .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (write ? 0 : MOUNT_ATTR_RDONLY),
                .propagation = MS_PRIVATE,
        };
        _cleanup_close_ int fd_mount = -1;

        fd_mount = open_tree(fd, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (fd_mount < 0)
                return err_raise(-errno);
        if (mount_setattr(fd_mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
                return err_raise(-errno);
        return steal_fd(&fd_mount);
}

int mount_place(int fd_mount, int fd_dir, const char *name) {
        unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (*name ? 0 : MOVE_MOUNT_T_EMPTY_PATH);

        return move_mount(fd_mount, "", fd_dir, name, flags) < 0 ? err_raise(-errno) : 0;
}

int mount_set_write(int fd_dir, const char *name, bool write) {
        struct mount_attr attr = {
                .attr_set = write ? 0 : MOUNT_ATTR_RDONLY,
                .attr_clr = write ? MOUNT_ATTR_RDONLY : 0,
        };
        int flags = AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);

        return mount_setattr(fd_dir, name, (unsigned)flags, &attr, sizeof(attr)) < 0 ? err_raise(-errno) : 0;
}

int mount_type(int fd_dir, const char *name, const char *type, unsigned long flags, const char *options) {
        int fd_root;

        /* mount(2) takes a path, and in a session /proc/self is not ours: so a relative name, from the directory itself */
        if (fd_dir != AT_FDCWD && fchdir(fd_dir) < 0)
                return err_raise(-errno);
        if (mount("nono", name, type, flags, options) < 0)
                return err_raise(-errno);
        fd_root = openat(fd_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd_root >= 0 ? fd_root : err_raise(-errno);
}

int mount_level(int fd_dir, const char *name, int fd_pipe, pid_t pgrp) {
        char options[128];

        snprintf(options, sizeof(options), "fd=%d,pgrp=%d,minproto=5,maxproto=5,indirect", fd_pipe, (int)pgrp);
        return mount_type(fd_dir, name, "autofs", MS_NOSUID | MS_NODEV, options);
}

int mount_resolve_beneath(int fd_dir, const char *path) {
        struct open_how how = {
                .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        int fd = (int)syscall(SYS_openat2, fd_dir, path, &how, sizeof(how));

        return fd >= 0 ? fd : err_raise(-errno);
}

int mount_level_dev(int fd_level, uint32_t *ret) {
        struct stat st;

        if (fstat(fd_level, &st) < 0)
                return err_raise(-errno);
        /* new_encode_dev() of the kernel: minor bits 0-7, major bits 8-19, minor bits 20-31 */
        *ret = (uint32_t)((minor(st.st_dev) & 0xff) | (major(st.st_dev) << 8) | ((minor(st.st_dev) & ~0xffU) << 12));
        return 0;
}
