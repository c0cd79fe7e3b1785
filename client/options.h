/*
 * Options — of the verbs that only talk to the daemon: getopt_long(3) plus --help and --socket for all of them.
 * Runs as: the user.   Input: the person's arguments.
 */
#pragma once

#include <getopt.h>
#include <stdbool.h>

/* Options of this kind set the flag they point to; others give their value. */
struct option_spec {
        const char *name;
        bool *flag;         /* or */
        const char **value; /* with an argument */
};

enum { OPTIONS_OK = 0, OPTIONS_DONE = 2 /* help was printed: leave with 0 */ }; /* and CLIENT_E_TOLD: leave with 2 */
enum { EXIT_USAGE = 2 };

/**
 * options_parse() - parse and permute
 * @specs: ends with a NULL name
 * @min, @max: how many positional arguments there are
 * @ret_args: the first of them
 */
int options_parse(int argc, char **argv, const char *help, const struct option_spec *specs, int min, int max,
                  char ***ret_args, int *ret_n);
/* The exit status for what options_parse() returned. */
int options_status(int r);
/* A positive number, whole. Return: 0; CLIENT_E_TOLD. */
int options_number(const char *what, const char *text, unsigned long long max, unsigned long long *ret);
