/*
 * State file — what a session may use, as text inside it: $NONO_STATE_FILE, for `nonoctl why --self`.
 *
 * A file of ours in the state directory, attached read-only as STATE_FILE_PATH. It has a name on the host only until it is
 * attached. It says what was ruled at the start; what came or went later is not in it.
 */
#pragma once

struct run;
struct service;

#define STATE_FILE_PATH "/.nono-state.json"

/* Return: an O_PATH descriptor of a new file with the session's rules; -errno. */
int state_file_make(struct run *r);
/* Takes its name away, if it has one. */
void state_file_unlink(struct run *r);
/* Those of an earlier service process that was killed. */
void state_file_clean(struct service *s);
