/*
 * /dev of a session: a small private tmpfs with the usual nodes, its own devpts and shared memory.
 * Runs as: root, in the builder.   Input: none.
 */
#pragma once

/**
 * devices_build() - build /dev on the empty directory @name below @fd_dir
 * Return: O_RDONLY | O_DIRECTORY descriptor of the mounted directory; -errno.
 */
int devices_build(int fd_dir, const char *name);
