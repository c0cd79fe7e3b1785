/*
 * Userpath — from what a person typed to an absolute path, and from a command's name to its program.
 * Runs as: the user.   Input: arguments and environment of the person.
 */
#pragma once

#include <stdbool.h>

enum userpath_kind { USERPATH_ANY = 0, USERPATH_DIRECTORY, USERPATH_FILE };

/**
 * userpath_resolve() - make an argument absolute
 * @what: for messages: "--read"
 * @raw:  as typed; relative to the working directory
 * @kind: FILE is anything but a directory
 * @ret:  heap; absolute and normalised: the parent with its links resolved, then the last name as typed
 * Refused with a message: empty, too long, not there (a dangling link included), of the other kind.
 * Return: 0; CLIENT_E_TOLD.
 */
int userpath_resolve(const char *what, const char *raw, enum userpath_kind kind, char **ret);

/**
 * userpath_program() - find what the user's shell would run
 * @name: with a '/', a path; else it is looked up in $PATH
 * Return: 0; or the exit status, EXIT_NOT_FOUND or EXIT_NOT_EXECUTABLE, after a message.
 */
int userpath_program(const char *name, char **ret);
/* A directory for the session to start in; resolved completely. @raw: NULL for the current one. */
int userpath_workdir(const char *raw, char **ret);
