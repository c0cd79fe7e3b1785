/*
 * Mounts of the view: levels, clones, placements. Each function is one or two system calls with their traps spelled out.
 * Runs as: root, in the monitor or in the builder.   Input: descriptors and single path components.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Name, in the root level, of the hidden tmpfs that holds the bind mounts of single files. */
#define MOUNT_HIDDEN ".nono"

/**
 * mount_clone() - detached private copy of what a descriptor names, submounts included
 * @fd:    O_PATH; must lie in the caller's own mount namespace (open_tree(2) says EINVAL otherwise)
 * @write: else read-only. Always nosuid and nodev
 * Return: a mount descriptor, close-on-exec; -errno. Needs mount_setattr(2), Linux 5.12.
 */
int mount_clone(int fd, bool write);
/* Attaches @fd_mount on @name below @fd_dir, or on @fd_dir itself when @name is "". Symlinks are not followed. */
int mount_place(int fd_mount, int fd_dir, const char *name);
/* Switches every mount at @fd_dir/@name between read-only and read-write. Must run in the mount's own namespace. */
int mount_set_write(int fd_dir, const char *name, bool write);

/**
 * mount_level() - mount an autofs level on an existing empty directory and open its root
 * @name:    directory below @fd_dir; a walk by name is what crosses into the new mount
 * @fd_pipe: write end of the session's packet pipe
 * @pgrp:    process group that is never asked (the daemon's), as seen in the caller's pid namespace
 * Must run inside the session's mount namespace: elsewhere it loops inner namespaces, or is dead on Linux 7.3.
 * Return: O_RDONLY | O_DIRECTORY descriptor of the level; -errno.
 */
int mount_level(int fd_dir, const char *name, int fd_pipe, pid_t pgrp);
/* The same for any other type; @options as in mount(8). Changes the working directory to @fd_dir. The name must be a
 * directory that only root can have put there: mount(2) follows symlinks. */
int mount_type(int fd_dir, const char *name, const char *type, unsigned long flags, const char *options);
/* O_PATH of a relative path that leaves @fd_dir neither by "..", symlink nor magic link: openat2(2). */
int mount_resolve_beneath(int fd_dir, const char *path);
/* The level's device number as autofs packets carry it (new_encode_dev). */
int mount_level_dev(int fd_level, uint32_t *ret);
