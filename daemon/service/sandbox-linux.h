/*
 * Sandbox — the service confines itself once everything it needs from the file system is read.
 * Runs as: user nono, once.   Input: none.
 */
#pragma once

/**
 * sandbox_apply() - seccomp allowlist and Landlock
 * @fd_state: directory below which files may be written
 * Landlock may be missing (then it is said in the log); seccomp may not.
 * Return: 0; -errno.
 */
int sandbox_apply(int fd_state);
