/*
 * Say — what nonoctl tells the person on standard error, and the end when memory runs out.
 * Runs as: the user.   Input: our own formats; foreign text arrives escaped (client/out.h).
 */
#pragma once

#include "common/cleanup.h"

/* Exit statuses of our own, as in env(1) and timeout(1). */
enum { EXIT_OWN = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127, EXIT_SIGNAL = 128 };

/* Outcome of client functions: it went wrong, and the person has been told what and what to do. */
enum { CLIENT_E_TOLD = 1 };

/* "nonoctl: …" with a newline. Return: CLIENT_E_TOLD, so that a caller can return it. */
int say_error(const char *format, ...) _printf_(1, 2);
/* An indented line that says what to do about it. */
void say_hint(const char *format, ...) _printf_(1, 2);
/* For an unexpected -errno of a library function of ours. Return: CLIENT_E_TOLD. */
int say_errno(int r, const char *what);

/* Returns @p; when it is NULL says so and ends the process (EXIT_OWN): a client has nothing to save. */
void *mem_need(void *p);
char *mem_format(const char *format, ...) _printf_(1, 2);
char *mem_copy(const char *s);
