/*
 * nonoctl grants, grant, revoke — what a running session may use.
 * Runs as: the user.   Input: the person's arguments; replies of the daemon.
 */
#include <limits.h>
#include <stdio.h>

#include "client/connect.h"
#include "client/grants.h"
#include "client/options.h"
#include "client/out.h"
#include "client/sessions.h"
#include "client/userpath.h"
#include "client/verbs.h"
#include "client/words.h"

static const char help_grants[] =
        "Usage: nonoctl grants [SESSION] [--json]\n"
        "\n"
        "Shows what a session may use and where each rule comes from. SESSION may be left out when you have only one.\n"
        "\n"
        "      --json         a JSON object with profile, program, open_ports and the array grants\n"
        "      --socket PATH  the daemon's socket\n"
        "  -h, --help         this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl grants\n"
        "  nonoctl grants my-agent --json | jq -r '.grants[] | select(.rule == \"allow\").path'\n";

static const char help_grant[] =
        "Usage: nonoctl grant [SESSION] PATH [--rw] [--for 15m|session]\n"
        "\n"
        "Grants PATH to a running session, at once: a directory with all below it, or one file. SESSION may be left out when\n"
        "you have only one.\n"
        "\n"
        "      --rw           for reading and writing; else only for reading\n"
        "      --for TIME     15m: a quarter of an hour; session: to its end (default)\n"
        "      --socket PATH  the daemon's socket\n"
        "  -h, --help         this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl grant ~/datasets\n"
        "  nonoctl grant my-agent ../shared --rw --for 15m\n";

static const char help_revoke[] =
        "Usage: nonoctl revoke [SESSION] GRANT [--kill]\n"
        "\n"
        "Takes a grant away from a running session. GRANT is an ID of nonoctl grants. What is opened from now on is refused;\n"
        "files that are open already, and working directories inside, cannot be taken back except with --kill. SESSION may\n"
        "be left out when you have only one.\n"
        "\n"
        "      --kill         also kill the processes of the session that still hold something of it\n"
        "      --socket PATH  the daemon's socket\n"
        "  -h, --help         this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl revoke 12\n"
        "  nonoctl revoke my-agent 12 --kill\n";

int cmd_grants(int argc, char **argv) {
        bool json = false;
        const struct option_spec specs[] = { { "json", &json, NULL }, { NULL } };
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__ListGrants list = NONO__LIST_GRANTS__INIT;
        struct grants_reply g = { 0 };
        _cleanup_free_ char *id = NULL;
        struct conn c;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_grants, specs, 0, 1, &args, &n);
        if (r)
                return options_status(r);
        if (conn_open(&c))
                return 1;
        r = session_resolve(&c, n > 0 ? args[0] : NULL, &id);
        if (r == 0) {
                list.session = wire_bytes(id);
                q.body_case = NONO__REQUEST__BODY_LIST_GRANTS;
                q.list_grants = &list;
                r = conn_send(&c, &q, NULL, 0);
        }
        if (r == 0)
                r = grants_receive(&c, &g);
        if (r == 0)
                r = json ? grants_print_json(&g) : grants_print(&g, false);
        grants_done(&g);
        conn_close(&c);
        return r || out_finish() ? 1 : 0;
}

int cmd_grant(int argc, char **argv) {
        const char *duration = NULL;
        bool rw = false;
        const struct option_spec specs[] = { { "rw", &rw, NULL }, { "for", NULL, &duration }, { NULL } };
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Grant grant = NONO__GRANT__INIT;
        _cleanup_free_ char *id = NULL, *path = NULL;
        Nono__Reply *a = NULL;
        struct conn c;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_grant, specs, 1, 2, &args, &n);
        if (r)
                return options_status(r);
        if (word_duration(duration, &grant.duration))
                return EXIT_USAGE;
        if (grant.duration == NONO__DURATION__DURATION_ONCE)
                return say_error("--for: 'once' is for a request that waits; here it is 15m or session"), EXIT_USAGE;
        if (userpath_resolve("PATH", args[n - 1], USERPATH_ANY, &path))
                return 1;
        if (conn_open(&c))
                return 1;
        r = session_resolve(&c, n > 1 ? args[0] : NULL, &id);
        if (r == 0) {
                grant.session = wire_bytes(id);
                grant.path = wire_bytes(path);
                grant.write = rw;
                q.body_case = NONO__REQUEST__BODY_GRANT;
                q.grant = &grant;
                r = conn_call(&c, &q, NONO__REPLY__BODY_GRANTED, &a);
        }
        if (r == 0) {
                _cleanup_free_ char *shown = out_escaped(path), *session = out_escaped(id);

                printf("granted %llu: %s for %s in session %s\n", (unsigned long long)a->granted->grant, shown,
                       rw ? "reading and writing" : "reading", session);
                printf("take it away with: nonoctl revoke %s %llu\n", session, (unsigned long long)a->granted->grant);
        }
        wire_reply_free(a);
        conn_close(&c);
        return r || out_finish() ? 1 : 0;
}

static void revoke_print(const Nono__Revoked *v, const char *id, unsigned long long grant, bool killed) {
        _cleanup_free_ char *path = out_text(&v->path), *session = out_escaped(id);

        printf("revoked %llu: %s can no longer be opened in session %s\n", grant, *path ? path : "it", session);
        if (killed && v->killed == 0)
                puts("No process still used it.");
        else if (killed)
                printf("%u process%s that still used it %s ended.\n", v->killed, v->killed == 1 ? "" : "es",
                       v->killed == 1 ? "was" : "were");
        else {
                puts("Files that are open already, and working directories inside, stay usable to the processes that have them.");
                printf("To end those processes: nonoctl revoke --kill %s %llu\n", session, grant);
        }
}

int cmd_revoke(int argc, char **argv) {
        bool kill = false;
        const struct option_spec specs[] = { { "kill", &kill, NULL }, { NULL } };
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Revoke revoke = NONO__REVOKE__INIT;
        unsigned long long grant = 0;
        _cleanup_free_ char *id = NULL;
        Nono__Reply *a = NULL;
        struct conn c;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_revoke, specs, 1, 2, &args, &n);
        if (r)
                return options_status(r);
        if (options_number("GRANT", args[n - 1], ULLONG_MAX, &grant))
                return EXIT_USAGE;
        if (conn_open(&c))
                return 1;
        r = session_resolve(&c, n > 1 ? args[0] : NULL, &id);
        if (r == 0) {
                revoke.session = wire_bytes(id);
                revoke.grant = grant;
                revoke.kill = kill;
                q.body_case = NONO__REQUEST__BODY_REVOKE;
                q.revoke = &revoke;
                r = conn_call(&c, &q, NONO__REPLY__BODY_REVOKED, &a);
        }
        if (r == 0)
                revoke_print(a->revoked, id, grant, kill);
        wire_reply_free(a);
        conn_close(&c);
        return r || out_finish() ? 1 : 0;
}
