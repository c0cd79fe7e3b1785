/*
 * Log target of every process of ours: one write(2) per line, so lines of several processes never mix.
 * Runs as: anyone.   Input: our own formats; foreign text arrives escaped.
 */
#include "common/log.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

/* The log target is one of the two globals that STYLE.md allows. */
static struct {
        const char *name;
        enum log_level max;
        bool journal;
} log_target = { .name = "nono", .max = LOG_LEVEL_WARNING };

void log_init(const char *name, enum log_level max) {
        log_target.name = name;
        log_target.max = max;
        log_target.journal = getenv("JOURNAL_STREAM") != NULL;
}

int log_level_from_string(const char *s) {
        static const struct {
                const char *name;
                enum log_level level;
        } names[] = {
                { "error", LOG_LEVEL_ERROR },
                { "warning", LOG_LEVEL_WARNING },
                { "info", LOG_LEVEL_INFO },
                { "debug", LOG_LEVEL_DEBUG },
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strcmp(names[i].name, s) == 0)
                        return (int)names[i].level;
        return -EINVAL;
}

enum log_level log_max_level(void) {
        return log_target.max;
}

void log_write(enum log_level level, const char *format, ...) {
        char line[2048];
        int saved = errno, n = 0, m;
        va_list ap;

        if (log_target.journal)
                n = snprintf(line, sizeof(line), "<%d>", (int)level);
        if (log_target.max >= LOG_LEVEL_DEBUG) {
                struct timespec now;

                clock_gettime(CLOCK_MONOTONIC, &now);
                n += snprintf(line + n, sizeof(line) - (size_t)n, "%ld.%06ld ", (long)now.tv_sec, now.tv_nsec / 1000);
        }
        n += snprintf(line + n, sizeof(line) - (size_t)n, "%s: ", log_target.name);
        va_start(ap, format);
        m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
        va_end(ap);
        if (m > 0)
                n += MIN_OF(m, (int)sizeof(line) - n - 2);
        line[n++] = '\n';
        (void)!write(STDERR_FILENO, line, (size_t)n);
        errno = saved;
}
