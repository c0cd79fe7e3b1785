/*
 * Landlock scopes: a second wall beside the namespaces.
 */
#pragma once

/* Signals and abstract sockets stay inside the session (Landlock ABI 6, Linux 6.12); older kernels: nothing, returns 0.
 * File rights are not handled: such a domain could never be widened and would forbid mount(2) inside. */
int landlock_scope(void);
