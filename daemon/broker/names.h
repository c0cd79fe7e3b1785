/*
 * Names — trapped calls against the denied name patterns of a session.
 *
 * Opens are judged by the sentry, by the path of what was opened. So no call of the session may take a denied object away
 * from its name: renames and links are never left to the kernel, which would read their arguments once more, but
 * performed here, on our own copy. What only makes or removes a name is refused by that name.
 * Runs as: the user, in the broker.   Input: copies of what hostile processes passed.
 */
#pragma once

#include <stdbool.h>

#include "daemon/broker/plan.h"

struct grants;
struct patterns;

/* Return: true: a name of the call is denied inside a granted directory. EACCES. */
bool names_deny(const struct patterns *p, const struct grants *g, const struct plan_call *call);
/* Does the call change which name an object has? Then CONTINUE is never the answer. */
bool names_own(const struct patterns *p, enum call call);
/* Performs a rename or link of the view. Return: 0; errno, positive. */
int names_perform(const struct patterns *p, const struct grants *g, const struct plan_call *call);
