/*
 * Screen — follows a program's output just far enough: is it between two sequences, and which modes did it set.
 * Runs as: the user.   Input: output of the supervised program (hostile).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct screen {
        uint8_t state, utf8_left, intermediate, marker;
        uint8_t last_escape; /* a string sequence ends with ESC \ */
        bool too_long;
        uint16_t n_params;
        uint32_t params[16];
        uint32_t modes;       /* bits of the table in screen.c that are away from their default */
        uint8_t keyboards;    /* pushed kitty keyboard flags */
        bool keypad, other_keys, cursor_style;
};

void screen_feed(struct screen *s, const char *data, size_t n);
/* Feeds until nothing is half said. Return: bytes taken; screen_is_at_rest() tells whether it came to that. */
size_t screen_feed_to_rest(struct screen *s, const char *data, size_t n);
/* No escape sequence and no UTF-8 character is half out. */
bool screen_is_at_rest(const struct screen *s);
/* A full-screen program draws on the alternate screen. */
bool screen_is_alternate(const struct screen *s);
/* Sequences that end what is half said and undo every mode that is set; NUL-terminated. */
void screen_undo(const struct screen *s, char *ret, size_t cap);
