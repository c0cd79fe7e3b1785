/*
 * Runs as: the user.   Input: see options.h.
 */
#include "client/options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/out.h"
#include "client/say.h"

enum { OPTIONS_MAX = 12, OPTION_HELP = 1000, OPTION_SOCKET, OPTION_FIRST };

int options_parse(int argc, char **argv, const char *help, const struct option_spec *specs, int min, int max,
                  char ***ret_args, int *ret_n) {
        struct option list[OPTIONS_MAX + 1] = { { "help", no_argument, NULL, OPTION_HELP },
                                                { "socket", required_argument, NULL, OPTION_SOCKET } };
        int n = 0, c;

        for (; specs && specs[n].name && n + 2 < OPTIONS_MAX; n++)
                list[n + 2] = (struct option){ specs[n].name, specs[n].value ? required_argument : no_argument, NULL,
                                               OPTION_FIRST + n };
        optind = 0;
        while ((c = getopt_long(argc, argv, "h", list, NULL)) != -1) {
                if (c == 'h' || c == OPTION_HELP) {
                        fputs(help, stdout);
                        return OPTIONS_DONE;
                }
                if (c == OPTION_SOCKET) {
                        if (setenv("NONO_SOCKET", optarg, 1) < 0)
                                mem_need(NULL);
                } else if (c >= OPTION_FIRST && c < OPTION_FIRST + n) {
                        const struct option_spec *spec = &specs[c - OPTION_FIRST];

                        if (spec->value)
                                *spec->value = optarg;
                        else
                                *spec->flag = true;
                } else {
                        fprintf(stderr, "Try '%s --help'.\n", argv[0]);
                        return CLIENT_E_TOLD;
                }
        }
        *ret_args = argv + optind;
        *ret_n = argc - optind;
        if (*ret_n < min || *ret_n > max) {
                (void)say_error(*ret_n < min ? "an argument is missing" : "too many arguments");
                fprintf(stderr, "Try '%s --help'.\n", argv[0]);
                return CLIENT_E_TOLD;
        }
        return 0;
}

int options_status(int r) {
        return r == OPTIONS_DONE ? out_finish() : EXIT_USAGE;
}

int options_number(const char *what, const char *text, unsigned long long max, unsigned long long *ret) {
        _cleanup_free_ char *shown = out_escaped(text);
        unsigned long long v;
        char *end;

        errno = 0;
        v = strtoull(text, &end, 10);
        if (errno || end == text || *end || text[0] < '0' || text[0] > '9' || v == 0 || v > max)
                return max == ULLONG_MAX ? say_error("%s: '%s' is not a number", what, shown)
                                         : say_error("%s: '%s' is not a number from 1 to %llu", what, shown, max);
        *ret = v;
        return 0;
}
