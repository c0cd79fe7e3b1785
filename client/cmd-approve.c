/*
 * nonoctl approve, deny — answer a request that waits.
 * Runs as: the user.   Input: the person's arguments.
 */
#include <limits.h>
#include <string.h>

#include "client/connect.h"
#include "client/options.h"
#include "client/out.h"
#include "client/verbs.h"
#include "client/words.h"

static const char help_approve[] =
        "Usage: nonoctl approve ID [--scope file|folder|parent] [--for once|15m|session] [--rw]\n"
        "\n"
        "Lets the request ID go on, and grants what it asked for. IDs are in nonoctl prompts and watch.\n"
        "\n"
        "      --scope SCOPE  file: only what was asked for; folder: the directory it is in, or it is; parent: the one above\n"
        "      --for TIME     once: until the process that asked ends; 15m: a quarter of an hour; session: to its end\n"
        "      --rw           grant writing too when reading was asked for\n"
        "      --socket PATH  the daemon's socket\n"
        "  -h, --help         this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl approve 7\n"
        "  nonoctl approve 7 --scope folder --for session\n";

static const char help_deny[] =
        "Usage: nonoctl deny ID\n"
        "\n"
        "Refuses the request ID; the program gets EACCES. IDs are in nonoctl prompts and watch.\n"
        "\n"
        "      --socket PATH  the daemon's socket\n"
        "  -h, --help         this text\n"
        "\n"
        "Example:\n"
        "  nonoctl deny 7\n";

static int approve_number(const char *text, uint64_t *ret) {
        unsigned long long id = 0;
        int r = options_number("ID", text[0] == '#' ? text + 1 : text, ULLONG_MAX, &id);

        *ret = id;
        return r;
}

static int approve_send(Nono__Request *q) {
        Nono__Reply *a = NULL;
        struct conn c;
        int r;

        if (conn_open(&c))
                return 1;
        r = conn_call(&c, q, NONO__REPLY__BODY_OK, &a);
        wire_reply_free(a);
        conn_close(&c);
        return r ? 1 : 0;
}

int cmd_approve(int argc, char **argv) {
        const char *scope = NULL, *duration = NULL;
        bool rw = false;
        const struct option_spec specs[] = {
                { "scope", NULL, &scope }, { "for", NULL, &duration }, { "rw", &rw, NULL }, { NULL }
        };
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Approve approve = NONO__APPROVE__INIT;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_approve, specs, 1, 1, &args, &n);
        if (r)
                return options_status(r);
        if (approve_number(args[0], &approve.request) || word_scope(scope, &approve.scope) ||
            word_duration(duration, &approve.duration))
                return EXIT_USAGE;
        approve.write = rw;
        q.body_case = NONO__REQUEST__BODY_APPROVE;
        q.approve = &approve;
        return approve_send(&q);
}

int cmd_deny(int argc, char **argv) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Deny deny = NONO__DENY__INIT;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_deny, NULL, 1, 1, &args, &n);
        if (r)
                return options_status(r);
        if (approve_number(args[0], &deny.request))
                return EXIT_USAGE;
        q.body_case = NONO__REQUEST__BODY_DENY;
        q.deny = &deny;
        return approve_send(&q);
}
