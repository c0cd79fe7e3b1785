/*
 * One function for every place where text of others reaches a person.
 * Runs as: anyone.   Input: any bytes.
 */
#include "common/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

/* Decodes one UTF-8 scalar strictly (no overlong, no surrogate). Return: its length, 0 when malformed. */
static size_t escape_decode(const unsigned char *s, size_t n, uint32_t *ret) {
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        size_t len;
        uint32_t c;

        if (s[0] < 0x80) {
                *ret = s[0];
                return 1;
        }
        if ((s[0] & 0xe0) == 0xc0)
                len = 2, c = s[0] & 0x1f;
        else if ((s[0] & 0xf0) == 0xe0)
                len = 3, c = s[0] & 0x0f;
        else if ((s[0] & 0xf8) == 0xf0)
                len = 4, c = s[0] & 0x07;
        else
                return 0;
        if (len > n)
                return 0;
        for (size_t i = 1; i < len; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3f);
        }
        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret = c;
        return len;
}

/* Unicode 15: general categories Cc, Cf, Co, Zl, Zp and Default_Ignorable_Code_Point, as ranges. */
static bool escape_is_hidden(uint32_t c) {
        static const struct {
                uint32_t first, last;
        } ranges[] = {
                { 0x00, 0x1f },       { 0x7f, 0xa0 },       { 0xad, 0xad },       { 0x34f, 0x34f },
                { 0x600, 0x605 },     { 0x61c, 0x61c },     { 0x6dd, 0x6dd },     { 0x70f, 0x70f },
                { 0x890, 0x891 },     { 0x8e2, 0x8e2 },     { 0x115f, 0x1160 },   { 0x17b4, 0x17b5 },
                { 0x180b, 0x180f },   { 0x2000, 0x200f },   { 0x2028, 0x202f },   { 0x205f, 0x206f },
                { 0x3000, 0x3000 },   { 0x3164, 0x3164 },   { 0xe000, 0xf8ff },   { 0xfe00, 0xfe0f },
                { 0xfeff, 0xfeff },   { 0xffa0, 0xffa0 },   { 0xfff0, 0xfffb },   { 0x110bd, 0x110bd },
                { 0x110cd, 0x110cd }, { 0x13430, 0x1343f }, { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a },
                { 0xe0000, 0xe0fff }, { 0xf0000, 0x10ffff },
        };

        for (size_t i = 0; i < ELEMENTSOF(ranges); i++)
                if (c >= ranges[i].first && c <= ranges[i].last)
                        return true;
        return false;
}

size_t escape_text(const char *in, size_t n, char *out, size_t cap) {
        const unsigned char *s = (const unsigned char *)in;
        static const char cut[] = "…";
        size_t used = 0;

        for (size_t i = 0; i < n;) {
                char piece[16];
                size_t len, m;
                uint32_t c;

                len = escape_decode(s + i, n - i, &c);
                if (len == 0) {
                        m = (size_t)snprintf(piece, sizeof(piece), "\\x%02x", s[i]);
                        len = 1;
                } else if (c == '\\')
                        m = (size_t)snprintf(piece, sizeof(piece), "\\\\");
                else if (c == '\n' || c == '\t' || c == '\r' || c == 0x1b)
                        m = (size_t)snprintf(piece, sizeof(piece), "\\%c",
                                             c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : 'e');
                else if (c == ' ' && (i + 1 == n || s[i + 1] == ' '))
                        m = (size_t)snprintf(piece, sizeof(piece), "\\x20");
                else if (c < 0x80 && escape_is_hidden(c))
                        m = (size_t)snprintf(piece, sizeof(piece), "\\x%02x", c);
                else if (escape_is_hidden(c))
                        m = (size_t)snprintf(piece, sizeof(piece), "\\u{%x}", c);
                else {
                        memcpy(piece, s + i, len);
                        m = len;
                }
                if (used + m + sizeof(cut) > cap) {
                        memcpy(out + used, cut, sizeof(cut));
                        return used + sizeof(cut) - 1;
                }
                memcpy(out + used, piece, m);
                used += m;
                i += len;
        }
        out[used] = '\0';
        return used;
}

const char *escape_str(const char *in, char *out, size_t cap) {
        escape_text(in, strlen(in), out, cap);
        return out;
}
