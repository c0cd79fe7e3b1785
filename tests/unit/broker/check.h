/*
 * Checks of the root tests: each prints where it failed and the test goes on.
 */
#pragma once

#include <stdio.h>
#include <string.h>

static unsigned check_passed, check_failed;

#define CHECK(x)                                                                                                       \
        do {                                                                                                           \
                if (x)                                                                                                 \
                        check_passed++;                                                                                \
                else {                                                                                                 \
                        check_failed++;                                                                                \
                        printf("FAIL %s:%d %s(): %s\n", __FILE__, __LINE__, __func__, #x);                             \
                }                                                                                                      \
        } while (0)
#define CHECK_STR(a, b)                                                                                                \
        do {                                                                                                           \
                const char *check_a = (a), *check_b = (b);                                                             \
                if (strcmp(check_a, check_b) == 0)                                                                     \
                        check_passed++;                                                                                \
                else {                                                                                                 \
                        check_failed++;                                                                                \
                        printf("FAIL %s:%d %s(): '%s' is not '%s'\n", __FILE__, __LINE__, __func__, check_a, check_b); \
                }                                                                                                      \
        } while (0)

static inline int check_report(void) {
        printf("%u passed, %u failed\n", check_passed, check_failed);
        return check_failed ? 1 : 0;
}
