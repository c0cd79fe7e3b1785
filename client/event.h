/*
 * Event — the daemon's events in words and in JSON. One vocabulary for watch, prompts and the prompt in the terminal.
 * Runs as: the user.   Input: events (foreign paths and program names inside).
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "nono.pb-c.h"

/* "read", "write", "readwrite", "none". */
const char *event_access(Nono__Access a);
/* "15m", "session", "once" and so on; NULL for the default. */
const char *event_duration(Nono__Duration d);
const char *event_scope(Nono__Scope s);
/* What the program wants: "wants to read", "wants to run". */
const char *event_wish(const Nono__Event *e);
/* "claude › bash › cat", escaped; heap. "a program" when unknown. @utf8: else " > ". */
char *event_programs(const Nono__Event *e, bool utf8);
/* Why it was not let through, or why it ended: "a rule says no (profiles/x.json:12)"; escaped, heap. */
char *event_reason(const Nono__Event *e);

/* One line for `nonoctl watch`, without newline, heap. */
char *event_line(const Nono__Event *e);
/* One object of `nonoctl prompts --json`. */
json_t *event_prompt_json(const Nono__Event *e);
/* One object of `nonoctl watch --json`. */
json_t *event_json(const Nono__Event *e);
