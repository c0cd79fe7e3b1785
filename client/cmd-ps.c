/*
 * nonoctl ps — which sessions there are.
 * Runs as: the user.   Input: replies of the daemon.
 */
#include <limits.h>
#include <pwd.h>
#include <stdio.h>

#include "client/connect.h"
#include "client/options.h"
#include "client/out.h"
#include "client/sessions.h"
#include "client/verbs.h"
#include "common/loop.h"

static const char help_ps[] =
        "Usage: nonoctl ps [--all] [--json]\n"
        "\n"
        "Lists your running sessions. WAIT is how many requests wait for an answer.\n"
        "\n"
        "      --all          sessions of every user (for root)\n"
        "      --json         a JSON array\n"
        "      --socket PATH  the daemon's socket\n"
        "  -h, --help         this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl ps\n"
        "  nonoctl ps --json | jq -r '.[] | select(.prompts > 0).id'\n";

static void ps_row(struct table *t, const Nono__SessionInfo *s, bool all) {
        _cleanup_free_ char *id = out_text(&s->id), *name = out_text(&s->name), *profile = out_text(&s->profile);
        _cleanup_free_ char *state = out_text(&s->state), *command = out_text(&s->command);
        _cleanup_free_ char *pid = mem_format("%u", s->pid), *prompts = mem_format("%u", s->prompts);
        _cleanup_free_ char *uid = mem_format("%u", s->uid);
        uint64_t now = loop_realtime_us();
        char age[32];

        out_age(now > s->started_us ? now - s->started_us : 0, age, sizeof(age));
        if (all)
                table_add(t, (const char *[]){ id, name, uid, profile, state, pid, age, prompts, command });
        else
                table_add(t, (const char *[]){ id, name, profile, state, pid, age, prompts, command });
}

static json_t *ps_json(const Nono__SessionInfo *s) {
        json_t *o = mem_need(json_object());

        out_json_bytes(o, "id", &s->id);
        out_json_bytes(o, "name", &s->name);
        out_json_bytes(o, "profile", &s->profile);
        out_json_bytes(o, "state", &s->state);
        out_json_set(o, "uid", json_integer(s->uid));
        out_json_set(o, "pid", json_integer(s->pid));
        out_json_time(o, "started", s->started_us);
        out_json_bytes(o, "command", &s->command);
        out_json_bytes(o, "workdir", &s->workdir);
        out_json_set(o, "prompts", json_integer(s->prompts));
        out_json_set(o, "attended", json_boolean(s->attended));
        return o;
}

static void ps_print(const struct session_list *l, bool all, bool json) {
        static const char *const heads[] = { "ID", "NAME", "PROFILE", "STATE", "PID", "AGE", "WAIT", "COMMAND" };
        static const char *const heads_all[] = { "ID", "NAME", "UID", "PROFILE", "STATE", "PID", "AGE", "WAIT", "COMMAND" };
        _cleanup_(table_freep) struct table *t = NULL;
        json_t *array;

        if (json) {
                array = mem_need(json_array());
                for (size_t i = 0; i < l->n_infos; i++)
                        if (json_array_append_new(array, ps_json(l->infos[i])) < 0)
                                mem_need(NULL);
                (void)out_json_print(array, false);
                return;
        }
        t = all ? table_new(heads_all, ELEMENTSOF(heads_all)) : table_new(heads, ELEMENTSOF(heads));
        for (size_t i = 0; i < l->n_infos; i++)
                ps_row(t, l->infos[i], all);
        table_print(t);
}

int cmd_ps(int argc, char **argv) {
        bool all = false, json = false;
        const struct option_spec specs[] = { { "all", &all, NULL }, { "json", &json, NULL }, { NULL } };
        struct session_list l = { 0 };
        struct conn c;
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_ps, specs, 0, 0, &args, &n);
        if (r)
                return options_status(r);
        if (conn_open(&c))
                return 1;
        r = session_list_get(&c, all, &l);
        if (r == 0)
                ps_print(&l, all, json);
        session_list_done(&l);
        conn_close(&c);
        return r || out_finish() ? 1 : 0;
}
