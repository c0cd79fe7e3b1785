/*
 * The rules of a prompt, apart from any terminal, so that tests can hold every one of them: a fixed frame, one field per
 * line, foreign text escaped and only inside the frame, no colour from data, "no" as the answer to everything unclear.
 *
 * Runs as: the user.   Input: see prompt.h.
 */
#include "client/prompt.h"

#include <stdio.h>
#include <string.h>

#include "client/event.h"
#include "client/out.h"
#include "client/say.h"

enum { PROMPT_COLUMNS_MIN = 24 };

static enum prompt_answer prompt_character(unsigned long c) {
        switch (c) {
        case 'y':
        case 'Y':
                return PROMPT_ONCE;
        case 's':
        case 'S':
                return PROMPT_SESSION;
        case 'f':
        case 'F':
                return PROMPT_FOLDER;
        case 'n':
        case 'N':
        case '\r':
        case '\n':
        case 0x03:
        case 0x04:
        case 0x1b:
                return PROMPT_DENY;
        default:
                return PROMPT_NOTHING;
        }
}

/* Keyboards in "kitty" mode send CSI code[;modifiers[:event]] u; event 3 is the key's release. */
static enum prompt_answer prompt_csi_u(const char *text) {
        unsigned code = 0, modifiers = 1, event = 1;
        int used = 0;

        if (sscanf(text, "\033[%6uu%n", &code, &used) == 1 && used > 0 && !text[used])
                return prompt_character(code);
        used = 0;
        if (sscanf(text, "\033[%6u;%3uu%n", &code, &modifiers, &used) != 2 || used == 0) {
                used = 0;
                if (sscanf(text, "\033[%6u;%3u:%1uu%n", &code, &modifiers, &event, &used) != 3 || used == 0)
                        return PROMPT_NOTHING;
        }
        if (text[used] || event == 3)
                return PROMPT_NOTHING;
        if (modifiers == 5 && (code == 'c' || code == 'd' || code == '['))
                return PROMPT_DENY;
        /* lock keys (64, 128) and shift (1) do not make another key of a letter */
        return ((modifiers - 1) & ~(1U | 64U | 128U)) == 0 ? prompt_character(code) : PROMPT_NOTHING;
}

enum prompt_answer prompt_key(const unsigned char *data, size_t n) {
        char text[24];

        if (n == 1)
                return prompt_character(data[0]);
        if (n == 0 || n >= sizeof(text) || data[0] != 0x1b || memchr(data, '\0', n))
                return PROMPT_NOTHING;
        memcpy(text, data, n);
        text[n] = '\0';
        return prompt_csi_u(text);
}

struct layout {
        struct prompt_block *block;
        unsigned columns;
        const char *edge; /* of each line */
        size_t cap;
};

static void layout_line(struct layout *l, char *line) {
        if (l->block->n_lines == l->cap) {
                l->cap = l->cap ? 2 * l->cap : 16;
                l->block->lines = mem_need(reallocarray(l->block->lines, l->cap, sizeof(char *)));
        }
        l->block->lines[l->block->n_lines++] = line;
}

/* Bytes of @s that fit into @width columns, at least one character. */
static size_t layout_fit(const char *s, size_t width) {
        size_t used = 0, n = 0;

        while (s[n]) {
                char one[8] = "";
                size_t len = 1, w;

                while (len < 7 && (s[n + len] & 0xc0) == 0x80)
                        len++;
                memcpy(one, s + n, len);
                w = out_width(one);
                if (used + w > width && n > 0)
                        break;
                used += w;
                n += len;
        }
        return n;
}

static size_t layout_count(const char *s, size_t width) {
        size_t lines = 0;

        do {
                s += layout_fit(s, width);
                lines++;
        } while (*s);
        return lines;
}

/* Wraps @text into lines behind the frame's edge; @indent is part of each. */
static void layout_wrap(struct layout *l, const char *indent, const char *text) {
        size_t width = l->columns - 2 - strlen(indent);

        do {
                size_t n = layout_fit(text, width);

                layout_line(l, mem_format("%s %s%.*s", l->edge, indent, (int)n, text));
                text += n;
        } while (*text);
}

/* The path in at most @max lines; see prompt_layout(). Return: false when its last component does not fit. */
static bool layout_path(struct layout *l, const char *text, size_t max) {
        size_t width = l->columns - 2 - 2, total = layout_count(text, width), head, left;
        const char *last = strrchr(text, '/'), *tail;
        char mark[64];

        if (total <= max) {
                layout_wrap(l, "  ", text);
                return true;
        }
        last = last && last[1] ? last + 1 : text;
        if (max < 3 || layout_count(last, width) > max - 2) {
                snprintf(mark, sizeof(mark), "(too long to show: %zu characters)", strlen(text));
                layout_wrap(l, "  ", mark);
                return false;
        }
        /* first line, mark, and as many whole components at the end as fit */
        head = layout_fit(text, width);
        for (tail = last; tail - 1 > text + head;) {
                const char *before = tail - 1;

                while (before > text + head && before[-1] != '/')
                        before--;
                if (before <= text + head || layout_count(before, width) > max - 2)
                        break;
                tail = before;
        }
        {
                _cleanup_free_ char *first = mem_format("%.*s", (int)head, text);

                layout_wrap(l, "  ", first);
        }
        left = (size_t)(tail - (text + head));
        snprintf(mark, sizeof(mark), "[... %zu characters left out ...]", left);
        layout_wrap(l, "  ", mark);
        layout_wrap(l, "  ", tail);
        return true;
}

/* A rule of the frame with a title in it. */
static void layout_rule(struct layout *l, const char *corner, const char *dash, const char *title) {
        char *line = mem_format("%s%s%s", corner, *title ? dash : "", title);

        while (out_width(line) < l->columns) {
                char *longer = mem_format("%s%s", line, dash);

                free(line);
                line = longer;
        }
        line[layout_fit(line, l->columns)] = '\0';
        layout_line(l, line);
}

static char *layout_why(const Nono__Event *e) {
        _cleanup_free_ char *profile = out_text(&e->profile), *count = NULL, *source = out_text(&e->source);

        count = e->count > 1 ? mem_format("; asked %u times", e->count) : mem_copy("");
        if (*source)
                return mem_format("%s%s", source, count);
        return *profile ? mem_format("not granted by profile %s%s", profile, count) : mem_format("not granted%s", count);
}

static char *layout_title(const Nono__Event *e, size_t waiting) {
        _cleanup_free_ char *session = out_text(&e->session);

        return waiting > 0 ? mem_format(" nonod, session %s, 1 of %zu ", session, waiting + 1)
                           : mem_format(" nonod, session %s ", session);
}

/* The choices, each whole, as many per line as fit. */
static void layout_choices(struct layout *l, const Nono__Event *e) {
        const char *const all[] = { "[y] once", "[s] session", "[f] folder for this session", "[n] deny (Enter)" };
        char *line = mem_copy("");

        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                char *longer;

                if (!l->block->can_allow && i < 3)
                        continue;
                if (i == 2 && e->operation == NONO__OPERATION__OP_CONNECT && e->port)
                        continue; /* a port has no folder */
                longer = mem_format("%s%s%s", line, *line ? "  " : "", all[i]);
                if (*line && out_width(longer) > l->columns - 2) {
                        layout_wrap(l, "", line);
                        free(longer);
                        longer = mem_copy(all[i]);
                }
                free(line);
                line = longer;
        }
        layout_wrap(l, "", line);
        free(line);
}

/* One try, with at most @room lines for each path. @allow: offer the keys that allow */
static void layout_block(const Nono__Event *e, size_t waiting, unsigned columns, size_t room, bool utf8, bool allow,
                         struct prompt_block *ret) {
        struct layout l = { .block = ret, .columns = columns, .edge = utf8 ? "│" : "|" };
        _cleanup_free_ char *title = layout_title(e, waiting), *programs = event_programs(e, utf8), *why = layout_why(e);
        _cleanup_free_ char *path = out_text(&e->path), *second = out_text(&e->second_path), *who = NULL;

        *ret = (struct prompt_block){ .can_allow = allow };
        layout_rule(&l, utf8 ? "┌" : "+", utf8 ? "─" : "-", title);
        who = e->pid ? mem_format("%s (pid %u)", programs, e->pid) : mem_copy(programs);
        layout_wrap(&l, "", who);
        layout_wrap(&l, "", event_wish(e));
        if (!*path && e->port) {
                free(path);
                path = mem_format("port %u of this host", e->port);
        }
        ret->can_allow = layout_path(&l, path, room) && ret->can_allow;
        if (*second) {
                layout_wrap(&l, "", "to");
                ret->can_allow = layout_path(&l, second, room) && ret->can_allow;
        }
        layout_wrap(&l, "", why);
        if (!ret->can_allow)
                layout_wrap(&l, "", "does not fit here; see: nonoctl prompts");
        layout_choices(&l, e);
        layout_rule(&l, utf8 ? "└" : "+", utf8 ? "─" : "-", "");
}

void prompt_layout(const Nono__Event *e, size_t waiting, unsigned columns, unsigned rows, bool utf8,
                   struct prompt_block *ret) {
        size_t room;

        /* one column less: a character in the last one makes some terminals wrap */
        columns = MAX_OF(columns ? columns : 80, (unsigned)PROMPT_COLUMNS_MIN + 1) - 1;
        rows = rows ? rows : 24;
        room = rows;
        for (;;) {
                layout_block(e, waiting, columns, room, utf8, true, ret);
                if (ret->n_lines < rows)
                        return; /* the line that the cursor is on stays in sight too */
                prompt_block_done(ret);
                if (room == 1)
                        break;
                room = room > rows / 4 ? room - 1 : 1;
        }
        /* what cannot all be seen at once cannot be allowed: its top would have scrolled away */
        layout_block(e, waiting, columns, 1, utf8, false, ret);
}

void prompt_block_done(struct prompt_block *b) {
        for (size_t i = 0; i < b->n_lines; i++)
                free(b->lines[i]);
        free(b->lines);
        *b = (struct prompt_block){ 0 };
}

void prompt_request(const Nono__Event *e, enum prompt_answer a, Nono__Request *ret, Nono__Approve *approve,
                    Nono__Deny *deny) {
        nono__request__init(ret);
        if (a != PROMPT_ONCE && a != PROMPT_SESSION && a != PROMPT_FOLDER) {
                nono__deny__init(deny);
                deny->request = e->request;
                ret->body_case = NONO__REQUEST__BODY_DENY;
                ret->deny = deny;
                return;
        }
        nono__approve__init(approve);
        approve->request = e->request;
        approve->scope = a == PROMPT_FOLDER ? NONO__SCOPE__SCOPE_FOLDER : NONO__SCOPE__SCOPE_DEFAULT;
        approve->duration = a == PROMPT_ONCE ? NONO__DURATION__DURATION_ONCE : NONO__DURATION__DURATION_SESSION;
        approve->write = e->access & NONO__ACCESS__ACCESS_WRITE; /* what was shown, nothing more */
        ret->body_case = NONO__REQUEST__BODY_APPROVE;
        ret->approve = approve;
}
