/*
 * Prompt — what one question looks like, and which key means what. Pure.
 * Runs as: the user.   Input: a request event (foreign path and names); keys of the person, or of whoever types there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "nono.pb-c.h"

enum prompt_answer { PROMPT_NOTHING = 0, PROMPT_ONCE, PROMPT_SESSION, PROMPT_FOLDER, PROMPT_DENY };

/**
 * prompt_key() - the answer that one read of the terminal stands for
 * @data: everything that came in one read: more than one key at once is a paste or a report of the terminal, not an answer
 * y, s, f; n, Enter, Esc, ^C and ^D deny; everything else, mouse and focus reports included, is nothing.
 */
enum prompt_answer prompt_key(const unsigned char *data, size_t n);

struct prompt_block {
        char **lines; /* no control characters; each at most the given width */
        size_t n_lines;
        bool can_allow; /* false: the path could not be shown, so only "no" is taken here */
};

/**
 * prompt_layout() - the framed block for one request
 * @waiting: other requests behind this one
 * @columns, @rows: of the terminal; 0 means 80 and 24
 * @utf8:    frame and arrows in Unicode, else in ASCII
 * The path is whole; only when it does not fit on the screen is its middle left out, with a mark that says how much, and
 * never a part of its last component. When even that does not fit, or the whole block does not, @ret->can_allow is false.
 */
void prompt_layout(const Nono__Event *e, size_t waiting, unsigned columns, unsigned rows, bool utf8,
                   struct prompt_block *ret);
void prompt_block_done(struct prompt_block *b);

/* The request that carries @a's answer (never PROMPT_NOTHING); @ret points into @approve or @deny. */
void prompt_request(const Nono__Event *e, enum prompt_answer a, Nono__Request *ret, Nono__Approve *approve,
                    Nono__Deny *deny);
