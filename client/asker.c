/*
 * Drawing over a program's screen without a model of it.
 *
 * On the main screen room is made first (line feeds scroll, and keep the column), then the cursor goes back to where it
 * was and is saved; the block goes below and is wiped line by line afterwards. On the alternate screen the block takes the
 * lowest rows, and the program is made to draw again (the owner jiggles the size).
 *
 * What was half said (an unfinished sequence would swallow our text) is ended with CAN and ST; colours that the program
 * redefined are put back, so that a prompt cannot be made invisible.
 *
 * Runs as: the user.   Input: see asker.h.
 */
#include "client/asker.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "client/out.h"
#include "client/say.h"
#include "client/screen.h"
#include "client/tty.h"
#include "common/error.h"
#include "common/loop.h"
#include "common/wire.h"

enum {
        ASKER_SETTLE_US = 50 * 1000,
        ASKER_ARM_US = 500 * 1000,
        ASKER_WRITE_MS = 2000,
        ASKER_QUEUE_MAX = 256, /* more than the daemon lets wait */
};

enum asker_state { ASKER_IDLE, ASKER_SETTLING, ASKER_ARMING, ASKER_ASKING };

struct asked {
        struct asked *next;
        Nono__Reply *reply;
};

struct asker {
        struct tty *tty;
        const struct screen *screen;
        struct asker_calls calls;
        void *arg;
        struct loop_source *timer;
        enum asker_state state;
        struct asked *first, **last; /* the first is the one on the screen unless IDLE */
        size_t n_asked;
        struct prompt_block block;
        size_t top;     /* alternate screen: the block's first row, 1-based; 0: it is below the cursor */
        bool available, was_raw;
};

static void asker_write(struct asker *a, const char *s) {
        (void)tty_write(a->tty, s, strlen(s), ASKER_WRITE_MS);
}

static bool asker_is_alternate(const struct asker *a) {
        return a->screen && screen_is_alternate(a->screen);
}

/* --- drawing --- */

static void asker_draw(struct asker *a) {
        struct winsize size = tty_size(a->tty);
        _cleanup_free_ char *text = NULL;
        size_t n_text = 0;
        FILE *f;

        prompt_layout(a->first->reply->event, a->n_asked - 1, size.ws_col, size.ws_row, out_is_utf8(), &a->block);
        f = mem_need(open_memstream(&text, &n_text));
        if (a->screen && !screen_is_at_rest(a->screen))
                fputs("\x18\033\\", f);
        if (asker_is_alternate(a)) {
                a->top = size.ws_row > a->block.n_lines ? size.ws_row - a->block.n_lines + 1 : 1;
                fputs("\0337", f);
        } else {
                a->top = 0;
                for (size_t i = 0; i < a->block.n_lines; i++)
                        fputs("\n", f);
                fprintf(f, "\033[%zuA\0337", a->block.n_lines);
        }
        fputs("\033[0m\033(B\017\033[4l", f); /* plain attributes, ASCII, no insert mode: ESC 8 brings theirs back */
        if (a->screen && strcmp(getenv("TERM") ? getenv("TERM") : "", "linux") != 0)
                fputs("\033]104\033\\\033]110\033\\\033]111\033\\", f);
        for (size_t i = 0; i < a->block.n_lines; i++) {
                if (a->top > 0)
                        fprintf(f, "\033[%zu;1H", a->top + i);
                else
                        fputs("\r\n", f);
                fprintf(f, "\033[2K%s", a->block.lines[i]);
        }
        fputs("\a", f);
        (void)fclose(f);
        if (tty_write(a->tty, text, n_text, ASKER_WRITE_MS) < 0)
                a->block.can_allow = false; /* nobody can have seen all of it */
}

static void asker_erase(struct asker *a) {
        _cleanup_free_ char *text = NULL;
        size_t n_text = 0;
        FILE *f;

        if (a->block.n_lines == 0)
                return;
        f = mem_need(open_memstream(&text, &n_text));
        if (a->top == 0)
                fputs("\0338", f);
        for (size_t i = 0; i < a->block.n_lines; i++) {
                if (a->top > 0)
                        fprintf(f, "\033[%zu;1H", a->top + i);
                else
                        fputs("\r\n", f);
                fputs("\033[0m\033[2K", f);
        }
        fputs("\0338", f);
        (void)fclose(f);
        (void)tty_write(a->tty, text, n_text, ASKER_WRITE_MS);
        prompt_block_done(&a->block);
        if (a->top > 0 && a->calls.repaint)
                a->calls.repaint(a->arg);
}

void asker_note(struct asker *a, const char *text) {
        _cleanup_free_ char *line = NULL;

        if (asker_is_alternate(a))
                return;
        line = mem_format("\r\n\033[0mnonoctl: %s\033[K\r\n", text);
        asker_write(a, line);
}

/* --- states --- */

static void asker_begin(struct asker *a) {
        if (a->state != ASKER_IDLE || !a->first || !a->available)
                return;
        a->was_raw = a->tty->raw;
        if (!a->was_raw && tty_raw(a->tty) < 0)
                return; /* the terminal is gone: others may answer, or time does */
        a->state = ASKER_SETTLING;
        (void)loop_timer_set(a->timer, a->screen ? ASKER_SETTLE_US : 1);
        a->calls.changed(a->arg);
}

/* Takes the block away and leaves the terminal as it was found; the request stays first in the queue. */
static void asker_stop(struct asker *a) {
        if (a->state == ASKER_IDLE)
                return;
        (void)loop_timer_set(a->timer, UINT64_MAX);
        asker_erase(a);
        a->state = ASKER_IDLE;
        if (!a->was_raw)
                tty_cooked(a->tty);
        a->calls.changed(a->arg);
}

static void asked_free(struct asked *q) {
        wire_reply_free(q->reply);
        free(q);
}

static void asker_take(struct asker *a, struct asked **at) {
        struct asked *q = *at;

        *at = q->next;
        if (a->last == &q->next)
                a->last = at;
        a->n_asked--;
        asked_free(q);
}

/* Keys typed for the program before it was interrupted are nobody's answer. */
static void asker_drain(struct asker *a) {
        char junk[256];

        (void)tcflush(a->tty->fd, TCIFLUSH);
        if (fcntl(a->tty->fd, F_GETFL) & O_NONBLOCK)
                while (read(a->tty->fd, junk, sizeof(junk)) > 0)
                        ;
}

void asker_settled(struct asker *a) {
        if (a->state != ASKER_SETTLING)
                return;
        asker_drain(a);
        asker_draw(a);
        a->state = ASKER_ARMING;
        (void)loop_timer_set(a->timer, ASKER_ARM_US);
}

static void on_asker_timer(void *arg) {
        struct asker *a = arg;

        if (a->state == ASKER_SETTLING)
                asker_settled(a);
        else if (a->state == ASKER_ARMING) {
                asker_drain(a);
                a->state = ASKER_ASKING;
        }
}

void asker_input(struct asker *a, const unsigned char *data, size_t n) {
        enum prompt_answer answer;

        if (a->state != ASKER_ASKING)
                return;
        answer = prompt_key(data, n);
        if (answer == PROMPT_NOTHING || (answer != PROMPT_DENY && !a->block.can_allow))
                return;
        if (answer == PROMPT_FOLDER && a->first->reply->event->port && a->first->reply->event->path.len == 0)
                return;
        a->calls.answer(a->first->reply->event, answer, a->arg);
        asker_stop(a);
        asker_take(a, &a->first);
        asker_begin(a);
}

/* --- for the owner --- */

int asker_new(struct loop *l, struct tty *tty, const struct screen *screen, const struct asker_calls *calls, void *arg,
              struct asker **ret) {
        _cleanup_(asker_freep) struct asker *a = mem_need(calloc(1, sizeof(*a)));
        int r;

        a->tty = tty;
        a->screen = screen;
        a->calls = *calls;
        a->arg = arg;
        a->last = &a->first;
        a->available = true;
        r = loop_timer(l, UINT64_MAX, on_asker_timer, a, &a->timer);
        if (r)
                return err_pass(r);
        *ret = steal_ptr(&a);
        return 0;
}

struct asker *asker_free(struct asker *a) {
        if (!a)
                return NULL;
        if (a->state != ASKER_IDLE) {
                asker_erase(a);
                if (!a->was_raw)
                        tty_cooked(a->tty);
        }
        while (a->first)
                asker_take(a, &a->first);
        prompt_block_done(&a->block);
        loop_source_free(a->timer);
        free(a);
        return NULL;
}

static struct asked **asker_find(struct asker *a, uint64_t request) {
        struct asked **at;

        for (at = &a->first; *at && (*at)->reply->event->request != request; at = &(*at)->next)
                ;
        return at;
}

void asker_add(struct asker *a, Nono__Reply *reply) {
        struct asked **at = asker_find(a, reply->event->request), *q;

        if (*at) { /* merged once more: the new count is seen when it is drawn next */
                wire_reply_free((*at)->reply);
                (*at)->reply = reply;
                return;
        }
        if (a->n_asked >= ASKER_QUEUE_MAX) {
                wire_reply_free(reply);
                return;
        }
        q = mem_need(calloc(1, sizeof(*q)));
        q->reply = reply;
        *a->last = q;
        a->last = &q->next;
        a->n_asked++;
        asker_begin(a);
}

void asker_remove(struct asker *a, uint64_t request, const char *why) {
        struct asked **at = asker_find(a, request);

        if (!*at)
                return;
        if (at != &a->first || a->state == ASKER_IDLE) {
                asker_take(a, at);
                return;
        }
        asker_stop(a);
        if (why)
                asker_note(a, why);
        asker_take(a, &a->first);
        asker_begin(a);
}

void asker_set_available(struct asker *a, bool available) {
        if (!a)
                return;
        a->available = available;
        if (available)
                asker_begin(a);
        else
                asker_stop(a);
}

bool asker_is_active(const struct asker *a) {
        return a && a->state != ASKER_IDLE;
}

bool asker_is_settling(const struct asker *a) {
        return a && a->state == ASKER_SETTLING;
}

void asker_resized(struct asker *a) {
        if (!a)
                return;
        if (a->state != ASKER_ARMING && a->state != ASKER_ASKING)
                return;
        asker_erase(a);
        asker_draw(a);
}
