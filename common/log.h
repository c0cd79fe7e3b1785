/*
 * Log lines to standard error, with the <N> priority prefix of sd-daemon(3) when systemd reads them.
 */
#pragma once

#include <stdbool.h>

#include "common/cleanup.h"

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/**
 * log_init() - choose what is printed, and under which name
 * @name:  borrowed, must live for ever; printed before each line ("nonod[monitor]")
 * @max:   highest level still printed
 */
void log_init(const char *name, enum log_level max);
/* Return: the level named by "error", "warning", "info" or "debug"; -EINVAL for anything else. */
int log_level_from_string(const char *s);
enum log_level log_max_level(void);

/* One line; foreign text must have been escaped (common/escape.h) and never be the format. */
void log_write(enum log_level level, const char *format, ...) _printf_(2, 3);

#define log_at(level, ...)                                                                         \
        do {                                                                                       \
                if ((level) <= log_max_level())                                                    \
                        log_write((level), __VA_ARGS__);                                           \
        } while (0)
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
