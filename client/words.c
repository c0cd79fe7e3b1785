/*
 * Runs as: the user.   Input: the person's arguments.
 */
#include "client/words.h"

#include <string.h>

#include "client/event.h"
#include "client/out.h"
#include "client/say.h"

int word_scope(const char *word, Nono__Scope *ret) {
        static const Nono__Scope all[] = { NONO__SCOPE__SCOPE_FILE, NONO__SCOPE__SCOPE_FOLDER, NONO__SCOPE__SCOPE_PARENT };

        *ret = NONO__SCOPE__SCOPE_DEFAULT;
        if (!word)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                if (strcmp(word, event_scope(all[i])) == 0) {
                        *ret = all[i];
                        return 0;
                }
        {
                _cleanup_free_ char *shown = out_escaped(word);

                return say_error("--scope: '%s' is none of file, folder, parent", shown);
        }
}

int word_duration(const char *word, Nono__Duration *ret) {
        static const Nono__Duration all[] = { NONO__DURATION__DURATION_ONCE, NONO__DURATION__DURATION_15M,
                                              NONO__DURATION__DURATION_SESSION };

        *ret = NONO__DURATION__DURATION_DEFAULT;
        if (!word)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                if (strcmp(word, event_duration(all[i])) == 0) {
                        *ret = all[i];
                        return 0;
                }
        {
                _cleanup_free_ char *shown = out_escaped(word);

                return say_error("--for: '%s' is none of once, 15m, session", shown);
        }
}
