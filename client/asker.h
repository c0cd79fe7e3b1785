/*
 * Asker — puts requests before the person, one after the other, over whatever the terminal shows.
 *
 *      IDLE ──add──► SETTLING ──settled, 50 ms──► ARMING ──500 ms──► ASKING ──key──► IDLE, or the next
 *
 * From SETTLING on the owner writes nothing of its own to the terminal except the rest of a half-said sequence, and hands
 * every key to the asker. Whatever goes wrong here is a "no", or no answer at all: never a "yes".
 *
 * Runs as: the user.   Input: request events; keys.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/prompt.h"
#include "common/cleanup.h"

struct asker;
struct loop;
struct screen;
struct tty;


/* Called from inside the asker; none of them may free it. */
struct asker_calls {
        void (*answer)(const Nono__Event *e, enum prompt_answer a, void *arg); /* send it */
        void (*changed)(void *arg);                                            /* asker_is_active() did */
        void (*repaint)(void *arg); /* a full-screen program has to draw again; may be NULL */
};

/* All borrowed. @screen: NULL when no program draws here. */
int asker_new(struct loop *l, struct tty *tty, const struct screen *screen, const struct asker_calls *calls, void *arg,
              struct asker **ret);
struct asker *asker_free(struct asker *a);
DEFINE_CLEANUP(struct asker, asker_free);

/* @reply: consumed; an event of type REQUEST. The same id again updates what is shown next time. */
void asker_add(struct asker *a, Nono__Reply *reply);
/* Answered elsewhere, or withdrawn. @why: a line for the person when it was on the screen; NULL: none. */
void asker_remove(struct asker *a, uint64_t request, const char *why);
/* The terminal is ours to ask on (not in the background, not taken by a pager). False erases what is shown. */
void asker_set_available(struct asker *a, bool available);

bool asker_is_active(const struct asker *a);
/* Active, and waits until the output is at rest. */
bool asker_is_settling(const struct asker *a);
void asker_settled(struct asker *a);
void asker_input(struct asker *a, const unsigned char *data, size_t n);
void asker_resized(struct asker *a);
/* A line of ours between the program's, on the main screen only. */
void asker_note(struct asker *a, const char *text);
