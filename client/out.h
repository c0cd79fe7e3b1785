/*
 * Out — tables and JSON on standard output; the only ways by which foreign bytes leave nonoctl.
 * Runs as: the user.   Input: bytes of the daemon's messages (names that programs and others chose).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/wire.h"

/* Heap string for a terminal: everything escaped, never cut. */
char *out_text(const ProtobufCBinaryData *b);
char *out_escaped(const char *s);
/* Columns that printable UTF-8 takes on a terminal. Needs out_init(). */
size_t out_width(const char *s);

/* Sets the locale's character type, so that widths are right. */
void out_init(void);
/* The terminal shows UTF-8. */
bool out_is_utf8(void);

struct table;
struct table *table_new(const char *const *heads, size_t n);
/* @cells: n strings, copied; must be escaped already. */
void table_add(struct table *t, const char *const *cells);
/* Heads in bold on a terminal, unless NO_COLOR is set (no-color.org). */
void table_print(const struct table *t);
struct table *table_free(struct table *t);
DEFINE_CLEANUP(struct table, table_free);

/**
 * out_json_bytes() - a member whose value may be any bytes, so that the bytes can be had back
 * Valid UTF-8 becomes the string itself. Anything else: "KEY" with U+FFFD for each bad byte, to look at, and
 * "KEY_base64" with the exact bytes.
 */
void out_json_bytes(json_t *object, const char *key, const ProtobufCBinaryData *b);
/* The same for a list: "KEY_base64" lists all of them when one is not UTF-8. */
void out_json_list(json_t *object, const char *key, const ProtobufCBinaryData *list, size_t n);
void out_json_set(json_t *object, const char *key, json_t *value);
/* RFC 3339 in UTC with microseconds; 0 becomes null. */
void out_json_time(json_t *object, const char *key, uint64_t realtime_us);
/* Pure ASCII (\uXXXX), so that it is safe on a terminal too; consumes @value. One line when @line, then flushed. */
int out_json_print(json_t *value, bool line);

/* "3s", "12m", "4h", "9d". */
void out_age(uint64_t us, char *ret, size_t cap);
/* Ends a verb: checks that standard output took everything. Return: 0, or 1 when it did not. */
int out_finish(void);
