/*
 * A small state machine after ECMA-48 and the one of vt100.net/emu/dec_ansi_parser. It interprets nothing but modes: what
 * it must know is where a prompt may be put between two sequences, and what to undo when the program is gone without
 * having cleaned up.
 *
 * Runs as: the user.   Input: see screen.h; every state takes every byte, and all fields are bounded.
 */
#include "client/screen.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

enum state { GROUND = 0, ESCAPE, ESCAPE_INTERMEDIATE, CSI, CSI_IGNORE, STRING };

/* DEC private modes that outlive a program; `set`: the state a fresh terminal has. Bit n of `modes`: row n is not so. */
static const struct {
        uint16_t number;
        bool set, alternate;
} screen_modes[] = {
        { 47, false, true },    { 1047, false, true },  { 1049, false, true },  { 1, false, false },    { 5, false, false },
        { 6, false, false },    { 7, true, false },     { 9, false, false },    { 25, true, false },    { 66, false, false },
        { 1000, false, false }, { 1001, false, false }, { 1002, false, false }, { 1003, false, false }, { 1004, false, false },
        { 1005, false, false }, { 1006, false, false }, { 1015, false, false }, { 1016, false, false }, { 2004, false, false },
        { 2026, false, false }, { 2031, false, false }, { 2048, false, false },
};

static void screen_private_mode(struct screen *s, bool set) {
        for (size_t i = 0; i <= s->n_params && i < ELEMENTSOF(s->params); i++)
                for (size_t k = 0; k < ELEMENTSOF(screen_modes); k++) {
                        if (screen_modes[k].number != s->params[i])
                                continue;
                        if (set != screen_modes[k].set)
                                s->modes |= BIT(k);
                        else
                                s->modes &= ~BIT(k);
                }
}

static void screen_csi(struct screen *s, char final) {
        if (s->too_long)
                return;
        if (s->marker == '?' && !s->intermediate && (final == 'h' || final == 'l'))
                screen_private_mode(s, final == 'h');
        else if (s->marker == '>' && final == 'u')
                s->keyboards += s->keyboards < 16;
        else if (s->marker == '<' && final == 'u')
                s->keyboards -= (uint8_t)MIN_OF((uint32_t)s->keyboards, s->params[0] ? s->params[0] : 1);
        else if (s->marker == '>' && final == 'm')
                s->other_keys = s->params[0] == 4 && s->n_params > 0 && s->params[1] != 0;
        else if (s->intermediate == ' ' && final == 'q')
                s->cursor_style = s->params[0] > 0;
        else if (s->intermediate == '!' && final == 'p') /* DECSTR */
                s->modes &= BIT(0) | BIT(1) | BIT(2), s->keypad = false;
}

static void screen_escape(struct screen *s, unsigned char c) {
        s->intermediate = s->marker = 0;
        s->n_params = 0;
        s->too_long = false;
        memset(s->params, 0, sizeof(s->params));
        switch (c) {
        case '[':
                s->state = CSI;
                return;
        case ']':
        case 'P':
        case 'X':
        case '^':
        case '_':
                s->state = STRING;
                s->last_escape = c;
                return;
        case '=':
        case '>':
                s->keypad = c == '=';
                break;
        case 'c': /* RIS */
                s->modes = 0;
                s->keyboards = 0;
                s->keypad = s->other_keys = s->cursor_style = false;
                break;
        default:
                if (c >= 0x20 && c <= 0x2f) {
                        s->state = ESCAPE_INTERMEDIATE;
                        return;
                }
                break;
        }
        s->state = GROUND;
}

static void screen_csi_byte(struct screen *s, unsigned char c) {
        if (c >= 0x40 && c <= 0x7e) {
                if (s->state == CSI)
                        screen_csi(s, (char)c);
                s->state = GROUND;
        } else if (c >= '0' && c <= '9') {
                if (s->n_params < ELEMENTSOF(s->params) && s->params[s->n_params] < 100000)
                        s->params[s->n_params] = 10 * s->params[s->n_params] + (c - '0');
        } else if (c == ';' || c == ':') {
                if (s->n_params < ELEMENTSOF(s->params))
                        s->n_params++;
        } else if (c >= 0x3c && c <= 0x3f) {
                if (s->marker || s->n_params > 0)
                        s->state = CSI_IGNORE;
                s->marker = c;
        } else if (c >= 0x20 && c <= 0x2f)
                s->intermediate = c;
        else if (c >= 0x80)
                s->state = GROUND; /* not part of any sequence: terminals differ, all leave it */
}

/* UTF-8 in the ground state; U+0080..U+009F are C1 controls to some terminals (xterm). */
static void screen_ground(struct screen *s, unsigned char c) {
        if (s->utf8_left > 0 && (c & 0xc0) == 0x80) {
                s->utf8_left--;
                if (s->marker == 0xc2 && c <= 0x9f)
                        screen_escape(s, (unsigned char)(c - 0x40));
                s->marker = s->state == GROUND ? 0 : s->marker;
                return;
        }
        s->utf8_left = c >= 0xf0 && c < 0xf8 ? 3 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xc2 && c < 0xe0 ? 1 : 0;
        s->marker = s->utf8_left ? c : 0;
}

static void screen_byte(struct screen *s, unsigned char c) {
        if (c == 0x18 || c == 0x1a) { /* CAN, SUB end every sequence */
                s->state = GROUND;
                s->utf8_left = s->marker = 0;
                return;
        }
        if (c == 0x1b) {
                /* ends a string sequence; the backslash after it is then an escape of its own */
                s->state = ESCAPE;
                s->utf8_left = 0;
                return;
        }
        switch ((enum state)s->state) {
        case GROUND:
                screen_ground(s, c);
                break;
        case ESCAPE:
                if (c >= 0x20)
                        screen_escape(s, c);
                break;
        case ESCAPE_INTERMEDIATE:
                if (c >= 0x30)
                        s->state = GROUND;
                break;
        case CSI:
        case CSI_IGNORE:
                screen_csi_byte(s, c);
                break;
        case STRING:
                if (c == 0x07 && s->last_escape == ']')
                        s->state = GROUND;
                break;
        }
        if (s->state == GROUND && s->utf8_left == 0)
                s->marker = 0;
}

void screen_feed(struct screen *s, const char *data, size_t n) {
        for (size_t i = 0; i < n; i++)
                screen_byte(s, (unsigned char)data[i]);
}

size_t screen_feed_to_rest(struct screen *s, const char *data, size_t n) {
        size_t i = 0;

        while (i < n && !screen_is_at_rest(s))
                screen_byte(s, (unsigned char)data[i++]);
        return i;
}

bool screen_is_at_rest(const struct screen *s) {
        return s->state == GROUND && s->utf8_left == 0;
}

bool screen_is_alternate(const struct screen *s) {
        for (size_t k = 0; k < ELEMENTSOF(screen_modes); k++)
                if (screen_modes[k].alternate && s->modes & BIT(k))
                        return true;
        return false;
}

void screen_undo(const struct screen *s, char *ret, size_t cap) {
        FILE *f = fmemopen(ret, cap, "w");

        ret[0] = '\0';
        if (!f)
                return;
        if (!screen_is_at_rest(s))
                fputs("\x18\033\\", f);
        for (uint8_t i = 0; i < s->keyboards; i++)
                fputs("\033[<u", f);
        if (s->other_keys)
                fputs("\033[>4m", f);
        /* the alternate screen last: what follows it would be undone on the wrong one */
        for (size_t k = ELEMENTSOF(screen_modes); k-- > 0;)
                if (s->modes & BIT(k))
                        fprintf(f, "\033[?%u%c", screen_modes[k].number, screen_modes[k].set ? 'h' : 'l');
        if (s->keypad)
                fputs("\033>", f);
        if (s->cursor_style)
                fputs("\033[0 q", f);
        if (s->modes || s->keyboards || !screen_is_at_rest(s))
                fputs("\033[0m", f);
        (void)fclose(f);
        ret[cap - 1] = '\0';
}
