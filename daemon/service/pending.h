/*
 * Pending — questions that wait for an answer with the same tag.
 * Runs as: user nono.   Input: none; tags are ours, an answer with an unknown tag finds nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pending_table;
struct run;

/* @answer: the message struct of the peer; NULL when the question was given up. */
typedef void (*pending_fn)(struct run *s, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                           size_t n_fds);

enum { PENDING_MAX = 65536 };

struct pending_table *pending_new(void);
struct pending_table *pending_free(struct pending_table *t);
/* Return: 0 and the tag to send; -ENOBUFS when too much waits; -ENOMEM. */
int pending_add(struct pending_table *t, struct run *owner, pending_fn fn, void *arg, uint64_t *ret_tag);
/* Calls and forgets. Return: 0; -ENOENT for a tag that waits for nothing (of this owner, when @owner is not NULL). */
int pending_answer(struct pending_table *t, uint64_t tag, struct run *owner, const void *answer, const char *text,
                   size_t n_text, int *fds, size_t n_fds);
/* The question could not be sent: nothing is called. */
void pending_forget(struct pending_table *t, uint64_t tag);
bool pending_has(const struct pending_table *t, const struct run *owner);
/* Calls every function of @owner (NULL: of everybody) with no answer. */
void pending_give_up(struct pending_table *t, struct run *owner);
