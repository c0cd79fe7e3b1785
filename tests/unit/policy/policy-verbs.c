/*
 * The verbs that need no daemon, as a program of their own: check-verbs.py drives it.
 */
#include <string.h>

#include "client/out.h"
#include "client/policy-verbs.h"
#include "client/say.h"

int main(int argc, char **argv) {
        static const struct subverb verbs[] = {
                { "policy", cmd_policy }, { "profile", cmd_profile },       { "why", cmd_why },
                { "completion", cmd_completion }, { NULL, NULL },
        };

        out_init();
        argv[0] = (char *)"nonoctl";
        return subverb_run(argc, argv, "Usage: nonoctl policy|profile|why|completion\n", verbs);
}
