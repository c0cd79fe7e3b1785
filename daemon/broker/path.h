/*
 * Path — lexical work on absolute paths: joining, normalising, prefixes. Looks at no file.
 * Used by: the broker.   Input: strings of hostile processes, already bounded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
        PATH_BYTES = 4096, /* with the NUL, as the kernel's PATH_MAX */
};
enum { PATH_OK = 0, PATH_E_INVALID = 1 };

/* Copies at most PATH_BYTES - 1 bytes and a NUL. */
void path_copy(char *ret, const char *path);
/**
 * path_join() - @path as seen from directory @base, not normalised
 * @base: absolute; ignored when @path is absolute
 * @ret:  PATH_BYTES
 * Return: 0; PATH_E_INVALID when @path is empty or the result does not fit.
 */
int path_join(const char *base, const char *path, char *ret);
/**
 * path_normalise() - remove empty components, "." and ".." as text
 * @path: absolute
 * @ret:  PATH_BYTES; not @path itself
 * Text only: where a component before ".." is a symlink the kernel arrives elsewhere. Good for looking things up in a table whose
 * answer grants nothing, and for display.
 * Return: 0; PATH_E_INVALID when @path is relative or too long.
 */
int path_normalise(const char *path, char *ret);
/* True when @path is @prefix or lies below it; both absolute and normalised. */
bool path_is_below(const char *path, const char *prefix);
/**
 * path_split() - the last component and what stands before it
 * @parent:  gets PATH_BYTES; "/" when nothing stands before
 * @ret_name: points into @path, not NUL-terminated
 * @ret_n:   bytes of the name
 * @ret_directory: slashes follow the name, so only a directory will do
 * Return: 0; PATH_E_INVALID when there is no name ("/"), it is "." or "..", or it is longer than NAME_MAX.
 */
int path_split(const char *path, char *parent, const char **ret_name, size_t *ret_n, bool *ret_directory);
/* The view's own directories, never the host's: the same path means something else outside. */
bool path_is_private(const char *path);
