/*
 * Landlock scopes: a second wall beside the namespaces.
 */
#pragma once

/* Every TCP connect is the broker's (ABI 4, Linux 6.7): a session that got hold of a host socket cannot point it elsewhere.
 * Signals and abstract sockets stay inside the session (ABI 6, Linux 6.12). Older kernels: less, returns 0.
 * File rights are not handled: such a domain could never be widened and would forbid mount(2) inside. */
int landlock_scope(void);
