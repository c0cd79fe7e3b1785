/*
 * Pathname — text operations on normalised absolute paths. No system call: what a path means is the broker's to find out.
 * Runs as: user nono.   Input: any NUL-terminated bytes.
 */
#pragma once

#include <stdbool.h>

/* One path component: 1..255 bytes, no '/', not "." or "..". */
bool pathname_is_component(const char *name);
/* @ret has POLICY_PATH_MAX bytes. Return: 0; -ENAMETOOLONG. */
int pathname_join(const char *dir, const char *name, char *ret);
/* Parent directory into @ret (may be @path). Return: 0; -ENOENT for "/". */
int pathname_parent(const char *path, char *ret);
const char *pathname_last(const char *path);
/* @path is @dir or lies below it. */
bool pathname_is_below(const char *path, const char *dir);
/* The same, but not @dir itself. */
bool pathname_is_strictly_below(const char *path, const char *dir);
/* Text below @dir, without the leading slash; "" for @dir itself; NULL when not below. */
const char *pathname_relative(const char *path, const char *dir);
/**
 * pathname_normalise() - resolve ".", ".." and "//" by text alone
 * @dir: where a relative @path starts
 * @ret: POLICY_PATH_MAX bytes
 * Return: 0; -ENAMETOOLONG; -EINVAL when @path is empty.
 */
int pathname_normalise(const char *dir, const char *path, char *ret);
