/*
 * The session's side of the broker tests: pid 1 and the programs it runs.
 */
#pragma once

/* Installs a filter that traps what the broker wants to see, sends the listener, then runs one child per command. */
_Noreturn void session_run(int fd_command);
