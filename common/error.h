/*
 * Errors. r == 0 done; r < 0 is -errno, unexpected, goes up unchanged; r > 0 is an outcome that the
 * function documents and its direct caller handles. The macros leave a trail at debug level.
 */
#pragma once

#include <errno.h>

/* Marks where an error is born. Takes and returns -errno. */
#define err_raise(r) err_raise_at((r), __FILE__, __LINE__, __func__)
/* Marks a frame that an error crosses; an unhandled outcome (r > 0) becomes -ENOTRECOVERABLE. */
#define err_pass(r) err_pass_at((r), __FILE__, __LINE__, __func__)

int err_raise_at(int r, const char *file, int line, const char *func);
int err_pass_at(int r, const char *file, int line, const char *func);
