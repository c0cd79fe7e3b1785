/*
 * Tty — the person's terminal: raw mode while we relay, and its state given back on every way out.
 * Runs as: the user.   Input: none.
 */
#pragma once

#include <stdbool.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "common/cleanup.h"

struct tty {
        int fd;       /* our own open of the terminal, non-blocking: the shell's descriptors keep their flags */
        bool raw;     /* we changed it; `saved` is what was before */
        struct termios saved, set;
};

enum { TTY_OK = 0, TTY_E_NONE = 1 };

/* The first of descriptors 0..2 that is a terminal. @ret_mask: bit n: descriptor n is one. */
int tty_open(struct tty *ret, unsigned *ret_mask);
/* The process's controlling terminal. */
int tty_open_controlling(struct tty *ret);
void tty_done(struct tty *t);
DEFINE_CLEANUP(struct tty, tty_done);

/* Return: 0; -errno. The state at the first call is what tty_cooked() gives back. */
int tty_raw(struct tty *t);
void tty_cooked(struct tty *t);
/* Still raw as we left it. When somebody else has set it since, it counts as not ours. */
bool tty_is_as_set(struct tty *t);
/* Our process group is the terminal's foreground. */
bool tty_is_foreground(const struct tty *t);
/* Lines are edited by the terminal: no program (pager, editor) has taken it over. */
bool tty_is_canonical(const struct tty *t);
/* {0} when unknown. */
struct winsize tty_size(const struct tty *t);
/* Writes all, waiting at most @timeout_ms for a terminal that does not take it. Return: 0; -errno. */
int tty_write(const struct tty *t, const char *data, size_t n, int timeout_ms);

/* Before anything changes: exit(3) and the signals of a crash give the terminal back too. */
void tty_guard(struct tty *t);
/* What to write on the way out to undo what programs left set (alternate screen, mouse); copied, bounded. */
void tty_guard_undo(const char *text);
