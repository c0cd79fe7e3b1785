/*
 * A scanner that knows strings, comments and brackets, and nothing else of JSON.
 * Runs as: anyone.   Input: foreign bytes.
 */
#include "daemon/policy/jsonc.h"

#include <stdbool.h>

#include "daemon/policy/fault.h"

struct jsonc_place {
        unsigned line, column;
};

static void jsonc_step(struct jsonc_place *at, char c) {
        if (c == '\n') {
                at->line++;
                at->column = 1;
        } else if (((unsigned char)c & 0xc0) != 0x80) { /* columns count characters */
                at->column++;
        }
}

static void jsonc_put_space(char *c) {
        if (*c != '\n' && *c != '\r')
                *c = ' ';
}

int jsonc_blank(char *text, size_t n, const char *source, struct policy_error *err) {
        enum { PLAIN, STRING, LINE, BLOCK } state = PLAIN;
        struct jsonc_place at = { 1, 1 }, opened = at;
        unsigned depth = 0;

        for (size_t i = 0; i < n; i++) {
                char c = text[i], next = i + 1 < n ? text[i + 1] : '\0';
                bool pair = false; /* this byte and the next one belong together */

                if (c == '\0')
                        return fault_set(err, source, at.line, at.column, "NUL byte in the file, expected JSON text");
                switch (state) {
                case PLAIN:
                        if (c == '"') {
                                state = STRING;
                        } else if (c == '/' && (next == '/' || next == '*')) {
                                state = next == '/' ? LINE : BLOCK;
                                opened = at;
                                pair = true;
                        } else if (c == '[' || c == '{') {
                                if (++depth > JSONC_DEPTH_MAX)
                                        return fault_set(err, source, at.line, at.column,
                                                         "nested deeper than %d levels", JSONC_DEPTH_MAX);
                        } else if ((c == ']' || c == '}') && depth) {
                                depth--;
                        }
                        break;
                case STRING:
                        if (c == '\\' && next)
                                pair = true;
                        else if (c == '"' || c == '\n') /* a raw newline is an error that the parser reports */
                                state = PLAIN;
                        break;
                case LINE:
                        if (c == '\n')
                                state = PLAIN;
                        break;
                case BLOCK:
                        if (c == '*' && next == '/') {
                                pair = true;
                                state = PLAIN;
                        }
                        break;
                }
                if (state == LINE || state == BLOCK || (pair && c == '*'))
                        jsonc_put_space(&text[i]);
                jsonc_step(&at, c);
                if (pair) {
                        i++;
                        if (c == '/' || c == '*')
                                jsonc_put_space(&text[i]);
                        jsonc_step(&at, next);
                }
        }
        if (state == BLOCK)
                return fault_set(err, source, opened.line, opened.column, "comment is never closed, expected */");
        return 0;
}
