/*
 * One place where policy errors get their text, so that no foreign byte reaches a terminal unescaped.
 * Runs as: anyone.   Input: foreign text.
 */
#include "daemon/policy/fault.h"

#include <stdarg.h>
#include <string.h>

#include "common/escape.h"

int fault_set(struct policy_error *err, const char *source, unsigned line, unsigned column, const char *format, ...) {
        char text[sizeof(err->message)];
        va_list ap;

        if (!err)
                return POLICY_E_INVALID;
        memset(err, 0, sizeof(*err));
        va_start(ap, format);
        (void)vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        escape_str(text, err->message, sizeof(err->message));
        escape_str(source ? source : "", err->source, sizeof(err->source));
        err->line = line;
        err->column = column;
        return POLICY_E_INVALID;
}
