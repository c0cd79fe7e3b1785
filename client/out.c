/*
 * Two forms of the same facts: tables for people (escaped), JSON for programs (exact).
 * Runs as: the user.   Input: see out.h.
 */
#include "client/out.h"

#include <langinfo.h>
#include <locale.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "client/say.h"
#include "common/escape.h"

void out_init(void) {
        if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
                (void)setlocale(LC_CTYPE, "C.UTF-8"); /* widths only; what is printed is UTF-8 in any case */
}

bool out_is_utf8(void) {
        const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const char *s = getenv(names[i]);

                if (s && *s)
                        return strcasestr(s, "UTF-8") || strcasestr(s, "UTF8");
        }
        return false;
}

static char *out_escape(const char *s, size_t n) {
        size_t cap = 6 * n + 16; /* the longest escape of one byte is \xNN, of two \u{ad}, of three \u{200b} */
        char *out = mem_need(malloc(cap));

        escape_text(s ? s : "", n, out, cap);
        return out;
}

char *out_text(const ProtobufCBinaryData *b) {
        return out_escape((const char *)b->data, b->len);
}

char *out_escaped(const char *s) {
        return out_escape(s, strlen(s));
}

size_t out_width(const char *s) {
        mbstate_t state = { 0 };
        size_t width = 0, left = strlen(s);

        while (left > 0) {
                wchar_t c;
                size_t n = mbrtowc(&c, s, left, &state);
                int w;

                if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
                        memset(&state, 0, sizeof(state));
                        n = 1;
                        w = 1;
                } else
                        w = wcwidth(c);
                width += w > 0 ? (size_t)w : 0;
                s += n;
                left -= n;
        }
        return width;
}

struct table {
        size_t n_columns, n_cells, cap;
        char **cells; /* row by row, the first row is the heads */
};

static void table_put(struct table *t, const char *text) {
        if (t->n_cells == t->cap) {
                t->cap = t->cap ? 2 * t->cap : 64;
                t->cells = mem_need(reallocarray(t->cells, t->cap, sizeof(*t->cells)));
        }
        t->cells[t->n_cells++] = mem_copy(text);
}

struct table *table_new(const char *const *heads, size_t n) {
        struct table *t = mem_need(calloc(1, sizeof(*t)));

        t->n_columns = n;
        table_add(t, heads);
        return t;
}

void table_add(struct table *t, const char *const *cells) {
        for (size_t i = 0; i < t->n_columns; i++)
                table_put(t, cells[i] ? cells[i] : "");
}

void table_print(const struct table *t) {
        const char *no_color = getenv("NO_COLOR");
        bool bold = isatty(STDOUT_FILENO) && !(no_color && *no_color);

        for (size_t k = 0; k < t->n_cells; k++) {
                size_t column = k % t->n_columns, widest = 0;
                bool last = column + 1 == t->n_columns, head = k < t->n_columns;

                for (size_t i = column; !last && i < t->n_cells; i += t->n_columns)
                        widest = MAX_OF(widest, out_width(t->cells[i]));
                printf("%s%s%s", head && bold ? "\033[1m" : "", t->cells[k], head && bold ? "\033[0m" : "");
                if (last)
                        putchar('\n');
                else
                        printf("%*s", (int)(widest - out_width(t->cells[k]) + 2), "");
        }
}

struct table *table_free(struct table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i]);
        free(t->cells);
        free(t);
        return NULL;
}

void out_json_set(json_t *object, const char *key, json_t *value) {
        if (json_object_set_new(object, key, mem_need(value)) < 0)
                mem_need(NULL);
}

static json_t *out_base64(const ProtobufCBinaryData *b) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        _cleanup_free_ char *out = mem_need(malloc(b->len / 3 * 4 + 5));
        size_t n = 0;

        for (size_t i = 0; i < b->len; i += 3) {
                size_t left = b->len - i;
                uint32_t v = (uint32_t)b->data[i] << 16 | (left > 1 ? (uint32_t)b->data[i + 1] << 8 : 0) |
                             (left > 2 ? (uint32_t)b->data[i + 2] : 0);

                out[n++] = digits[v >> 18 & 63];
                out[n++] = digits[v >> 12 & 63];
                out[n++] = left > 1 ? digits[v >> 6 & 63] : '=';
                out[n++] = left > 2 ? digits[v & 63] : '=';
        }
        return json_stringn(out, n);
}

/* Return: a string, or NULL when the bytes are not UTF-8. */
static json_t *out_exact(const ProtobufCBinaryData *b) {
        return json_stringn(b->len > 0 ? (const char *)b->data : "", b->len);
}

/* The longest valid prefixes, each bad byte replaced. jansson is the judge of UTF-8 here as above. */
static json_t *out_lossy(const ProtobufCBinaryData *b) {
        static const char bad[] = "\xef\xbf\xbd";
        _cleanup_free_ char *out = mem_need(malloc(3 * b->len + 1));
        size_t n = 0;

        for (size_t i = 0; i < b->len;) {
                size_t len = 0;

                for (size_t m = 1; len == 0 && m <= 4 && i + m <= b->len; m++) {
                        json_t *one = json_stringn((const char *)b->data + i, m);

                        if (one)
                                len = m;
                        json_decref(one);
                }
                if (len > 0)
                        memcpy(out + n, b->data + i, len);
                else
                        memcpy(out + n, bad, 3);
                n += len > 0 ? len : 3;
                i += len > 0 ? len : 1;
        }
        return json_stringn(out, n);
}

static void out_json_base64(json_t *object, const char *key, json_t *value) {
        char name[64];

        snprintf(name, sizeof(name), "%s_base64", key);
        out_json_set(object, name, value);
}

void out_json_bytes(json_t *object, const char *key, const ProtobufCBinaryData *b) {
        json_t *value = out_exact(b);

        if (value) {
                out_json_set(object, key, value);
                return;
        }
        out_json_set(object, key, out_lossy(b));
        out_json_base64(object, key, out_base64(b));
}

void out_json_list(json_t *object, const char *key, const ProtobufCBinaryData *list, size_t n) {
        json_t *array = mem_need(json_array()), *exact;
        bool lossy = false;

        for (size_t i = 0; i < n; i++) {
                json_t *value = out_exact(&list[i]);

                lossy = lossy || !value;
                if (json_array_append_new(array, mem_need(value ? value : out_lossy(&list[i]))) < 0)
                        mem_need(NULL);
        }
        out_json_set(object, key, array);
        if (!lossy)
                return;
        exact = mem_need(json_array());
        for (size_t i = 0; i < n; i++)
                if (json_array_append_new(exact, mem_need(out_base64(&list[i]))) < 0)
                        mem_need(NULL);
        out_json_base64(object, key, exact);
}

void out_json_time(json_t *object, const char *key, uint64_t realtime_us) {
        time_t seconds = (time_t)(realtime_us / 1000000);
        char text[48];
        struct tm tm;
        size_t n;

        if (realtime_us == 0 || !gmtime_r(&seconds, &tm)) {
                out_json_set(object, key, json_null());
                return;
        }
        n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(text + n, sizeof(text) - n, ".%06uZ", (unsigned)(realtime_us % 1000000));
        out_json_set(object, key, json_string(text));
}

int out_json_print(json_t *value, bool line) {
        int r = json_dumpf(mem_need(value), stdout, JSON_ENSURE_ASCII | (line ? JSON_COMPACT : JSON_INDENT(2)));

        json_decref(value);
        putchar('\n');
        if (line)
                (void)fflush(stdout);
        return r < 0 || ferror(stdout) ? -EIO : 0;
}

void out_age(uint64_t us, char *ret, size_t cap) {
        unsigned long long s = us / 1000000;

        if (s < 60)
                snprintf(ret, cap, "%llus", s);
        else if (s < 3600)
                snprintf(ret, cap, "%llum", s / 60);
        else if (s < 86400)
                snprintf(ret, cap, "%lluh", s / 3600);
        else
                snprintf(ret, cap, "%llud", s / 86400);
}

int out_finish(void) {
        if (fflush(stdout) == 0 && !ferror(stdout))
                return 0;
        if (errno != EPIPE)
                (void)say_errno(errno, "standard output");
        return 1;
}
