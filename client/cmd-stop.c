/*
 * nonoctl stop — end a session.
 * Runs as: the user.   Input: the person's arguments.
 */
#include "client/connect.h"
#include "client/options.h"
#include "client/out.h"
#include "client/sessions.h"
#include "client/verbs.h"

static const char help_stop[] =
        "Usage: nonoctl stop SESSION [--force]\n"
        "\n"
        "Asks the session's program to end (SIGTERM). SESSION is an id, the beginning of one, or a name; see nonoctl ps.\n"
        "\n"
        "      --force        kill every process of the session at once\n"
        "      --socket PATH  the daemon's socket\n"
        "  -h, --help         this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl stop 3f2a\n"
        "  nonoctl stop --force my-agent\n";

int cmd_stop(int argc, char **argv) {
        bool force = false;
        const struct option_spec specs[] = { { "force", &force, NULL }, { NULL } };
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Stop stop = NONO__STOP__INIT;
        _cleanup_free_ char *id = NULL;
        Nono__Reply *a = NULL;
        struct conn c;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_stop, specs, 1, 1, &args, &n);
        if (r)
                return options_status(r);
        if (conn_open(&c))
                return 1;
        r = session_resolve(&c, args[0], &id);
        if (r == 0) {
                stop.session = wire_bytes(id);
                stop.force = force;
                q.body_case = NONO__REQUEST__BODY_STOP;
                q.stop = &stop;
                r = conn_call(&c, &q, NONO__REPLY__BODY_OK, &a);
                wire_reply_free(a);
        }
        conn_close(&c);
        return r ? 1 : 0;
}
