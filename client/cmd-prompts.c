/*
 * nonoctl prompts — which requests wait for an answer.
 * Runs as: the user.   Input: replies of the daemon (foreign paths and program names).
 */
#include <stdio.h>

#include "client/connect.h"
#include "client/event.h"
#include "client/options.h"
#include "client/out.h"
#include "client/sessions.h"
#include "client/verbs.h"
#include "common/loop.h"

static const char help_prompts[] =
        "Usage: nonoctl prompts [SESSION] [--json]\n"
        "\n"
        "Lists the requests that wait for an answer, of all your sessions or of one. Answer with nonoctl approve or deny.\n"
        "\n"
        "      --json         a JSON array of objects: id, session, profile, path, second_path, directory, executable,\n"
        "                     access (read, write, readwrite), operation, programs, pid, state, since, count.\n"
        "                     A value that is not UTF-8 has a second member NAME_base64 with its exact bytes.\n"
        "      --socket PATH  the daemon's socket\n"
        "  -h, --help         this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl prompts\n"
        "  nonoctl prompts --json | jq -r '.[] | \"\\(.id) \\(.access) \\(.path)\"'\n";

static void prompts_row(struct table *t, const Nono__Event *e) {
        _cleanup_free_ char *id = mem_format("%llu", (unsigned long long)e->request), *session = out_text(&e->session);
        _cleanup_free_ char *path = out_text(&e->path), *second = out_text(&e->second_path), *where = NULL;
        _cleanup_free_ char *programs = event_programs(e, true), *count = mem_format("%u", e->count);
        uint64_t now = loop_realtime_us();
        char age[32];

        where = *second ? mem_format("%s → %s", path, second) : mem_copy(path);
        out_age(now > e->time_us ? now - e->time_us : 0, age, sizeof(age));
        table_add(t, (const char *[]){ id, session, age, count, programs, event_wish(e), where });
}

static void prompts_print(const Nono__Prompts *p, bool json) {
        static const char *const heads[] = { "ID", "SESSION", "SINCE", "TIMES", "PROGRAMS", "WHAT", "PATH" };
        _cleanup_(table_freep) struct table *t = NULL;
        json_t *array;

        if (json) {
                array = mem_need(json_array());
                for (size_t i = 0; i < p->n_prompts; i++)
                        if (json_array_append_new(array, event_prompt_json(p->prompts[i])) < 0)
                                mem_need(NULL);
                (void)out_json_print(array, false);
                return;
        }
        t = table_new(heads, ELEMENTSOF(heads));
        for (size_t i = 0; i < p->n_prompts; i++)
                prompts_row(t, p->prompts[i]);
        table_print(t);
}

int cmd_prompts(int argc, char **argv) {
        bool json = false;
        const struct option_spec specs[] = { { "json", &json, NULL }, { NULL } };
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__ListPrompts list = NONO__LIST_PROMPTS__INIT;
        _cleanup_free_ char *id = NULL;
        Nono__Reply *a = NULL;
        struct conn c;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_prompts, specs, 0, 1, &args, &n);
        if (r)
                return options_status(r);
        if (conn_open(&c))
                return 1;
        r = n > 0 ? session_resolve(&c, args[0], &id) : 0;
        if (r == 0) {
                list.session = wire_bytes(id);
                q.body_case = NONO__REQUEST__BODY_LIST_PROMPTS;
                q.list_prompts = &list;
                r = conn_call(&c, &q, NONO__REPLY__BODY_PROMPTS, &a);
        }
        if (r == 0)
                prompts_print(a->prompts, json);
        wire_reply_free(a);
        conn_close(&c);
        return r || out_finish() ? 1 : 0;
}
