/*
 * Escaping of foreign text for terminals, logs and prompts.
 */
#pragma once

#include <stddef.h>

/**
 * escape_text() - make foreign bytes printable on one line
 * @in:  borrowed, @n bytes, any content
 * @out: gets NUL-terminated printable UTF-8; @cap >= 8. Too long: cut, and "…" appended
 * Escaped as \n, \t, \r, \e, \xNN (bytes that are not UTF-8, C0, C1) or \u{NNNN}: controls, bidi controls, zero-width and
 * other default-ignorable characters, line and paragraph separators, private use; a backslash becomes "\\",
 * a trailing or doubled space becomes "\x20". Reversible unless cut.
 * Return: length written without the NUL.
 */
size_t escape_text(const char *in, size_t n, char *out, size_t cap);
/* Same for a C string; returns @out. */
const char *escape_str(const char *in, char *out, size_t cap);
