/*
 * Error trail: prints where an error was born and which frames it crossed, at debug level only.
 * Runs as: anyone.   Input: our own values.
 */
#include "common/error.h"

#include <string.h>

#include "common/log.h"

int err_raise_at(int r, const char *file, int line, const char *func) {
        int saved = errno;

        log_debug("%s:%d: %s(): %s", file, line, func, strerror(r < 0 ? -r : r));
        errno = saved;
        return r;
}

int err_pass_at(int r, const char *file, int line, const char *func) {
        int saved = errno;

        if (r > 0)
                r = -ENOTRECOVERABLE;
        if (r < 0)
                log_debug("%s:%d: … through %s()", file, line, func);
        errno = saved;
        return r;
}
