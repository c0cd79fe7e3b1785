/*
 * Words for the person. One write(2) per message, so that it stays whole beside a program's own output.
 * Runs as: the user.   Input: see say.h.
 */
#include "client/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void say(const char *prefix, const char *format, va_list ap) {
        char text[8192];
        int n, m;

        n = snprintf(text, sizeof(text), "%s", prefix);
        m = vsnprintf(text + n, sizeof(text) - (size_t)n - 1, format, ap);
        if (m > 0)
                n += MIN_OF(m, (int)sizeof(text) - n - 2);
        text[n++] = '\n';
        (void)fflush(stdout);
        (void)!write(STDERR_FILENO, text, (size_t)n);
}

int say_error(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        say("nonoctl: ", format, ap);
        va_end(ap);
        return CLIENT_E_TOLD;
}

void say_hint(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        say("         ", format, ap);
        va_end(ap);
}

int say_errno(int r, const char *what) {
        return say_error("%s: %s", what, strerror(r < 0 ? -r : r));
}

void *mem_need(void *p) {
        if (!p) {
                (void)say_error("out of memory");
                exit(EXIT_OWN); /* atexit(3) puts the terminal back */
        }
        return p;
}

char *mem_format(const char *format, ...) {
        char *s = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&s, format, ap);
        va_end(ap);
        return mem_need(n < 0 ? NULL : s);
}

char *mem_copy(const char *s) {
        return mem_need(strdup(s));
}
