/*
 * Runs as: the user.   Input: see grants.h.
 */
#include "client/grants.h"

#include <stdio.h>
#include <string.h>

#include "client/connect.h"
#include "client/event.h"
#include "client/out.h"
#include "client/say.h"
#include "common/loop.h"

enum { GRANTS_FRAMES_MAX = 1024 };

int grants_receive(struct conn *c, struct grants_reply *ret) {
        bool more = true;

        while (more) {
                Nono__Reply *a = NULL;
                int r = conn_answer(c, NONO__REPLY__BODY_GRANTS, &a);

                if (r)
                        return r;
                if (ret->n_frames >= GRANTS_FRAMES_MAX) {
                        wire_reply_free(a);
                        return conn_lost(WIRE_E_MALFORMED);
                }
                ret->frames = mem_need(reallocarray(ret->frames, ret->n_frames + 1, sizeof(*ret->frames)));
                ret->frames[ret->n_frames++] = a;
                more = a->grants->more;
        }
        return 0;
}

void grants_done(struct grants_reply *g) {
        for (size_t i = 0; i < g->n_frames; i++)
                wire_reply_free(g->frames[i]);
        free(g->frames);
        *g = (struct grants_reply){ 0 };
}

static char *grants_origin(const Nono__GrantInfo *g) {
        _cleanup_free_ char *origin = out_text(&g->origin), *source = out_text(&g->source);
        const char *gap = *origin && *source ? " " : "";

        if (*source && g->line)
                return mem_format("%s%s%s:%u", origin, gap, source, g->line);
        return mem_format("%s%s%s", origin, gap, source);
}

static char *grants_until(const Nono__GrantInfo *g) {
        const char *duration = event_duration(g->duration);
        uint64_t now = loop_realtime_us();
        char age[32];

        if (g->expires_us == 0)
                return mem_copy(duration ? duration : "session");
        if (g->expires_us <= now)
                return mem_copy("over");
        out_age(g->expires_us - now, age, sizeof(age));
        return mem_format("%s more", age);
}

static void grants_row(struct table *t, const Nono__GrantInfo *g, bool plan) {
        _cleanup_free_ char *id = mem_format("%llu", (unsigned long long)g->id), *path = out_text(&g->path);
        _cleanup_free_ char *origin = grants_origin(g), *until = grants_until(g), *where = NULL;
        const char *access = event_access(g->access);

        where = mem_format("%s%s", path, g->file || strcmp(path, "/") == 0 ? "" : "/");
        if (plan)
                table_add(t, (const char *[]){ g->deny ? "deny" : "allow", access, where, origin });
        else
                table_add(t, (const char *[]){ id, g->deny ? "deny" : "allow", access, g->deny ? "" : until, where, origin });
}

int grants_print(const struct grants_reply *g, bool plan) {
        static const char *const live[] = { "ID", "RULE", "ACCESS", "FOR", "PATH", "FROM" };
        static const char *const planned[] = { "RULE", "ACCESS", "PATH", "FROM" };
        _cleanup_(table_freep) struct table *t =
                plan ? table_new(planned, ELEMENTSOF(planned)) : table_new(live, ELEMENTSOF(live));

        if (plan && g->n_frames > 0) {
                const Nono__Grants *first = g->frames[0]->grants;
                _cleanup_free_ char *profile = out_text(&first->profile), *program = out_text(&first->program);

                if (*profile)
                        printf("profile  %s\n", profile);
                if (*program)
                        printf("program  %s\n", program);
                for (size_t i = 0; i < first->n_open_ports; i++)
                        printf("port     127.0.0.1:%u of this host\n", first->open_ports[i]);
        }
        for (size_t i = 0; i < g->n_frames; i++)
                for (size_t k = 0; k < g->frames[i]->grants->n_grants; k++)
                        grants_row(t, g->frames[i]->grants->grants[k], plan);
        table_print(t);
        return 0;
}

static json_t *grants_json(const Nono__GrantInfo *g) {
        json_t *o = mem_need(json_object());

        out_json_set(o, "id", json_integer((json_int_t)g->id));
        out_json_bytes(o, "path", &g->path);
        out_json_set(o, "rule", json_string(g->deny ? "deny" : "allow"));
        out_json_set(o, "access", json_string(event_access(g->access)));
        out_json_set(o, "file", json_boolean(g->file));
        out_json_set(o, "attached", json_boolean(g->attached));
        out_json_bytes(o, "origin", &g->origin);
        out_json_bytes(o, "source", &g->source);
        out_json_set(o, "line", json_integer(g->line));
        out_json_time(o, "since", g->since_us);
        out_json_set(o, "for", event_duration(g->duration) ? json_string(event_duration(g->duration)) : json_null());
        out_json_time(o, "expires", g->expires_us);
        return o;
}

int grants_print_json(const struct grants_reply *g) {
        json_t *o = mem_need(json_object()), *list = mem_need(json_array()), *ports = mem_need(json_array());

        for (size_t i = 0; i < g->n_frames; i++) {
                const Nono__Grants *frame = g->frames[i]->grants;

                if (i == 0) {
                        out_json_bytes(o, "profile", &frame->profile);
                        out_json_bytes(o, "program", &frame->program);
                }
                for (size_t k = 0; i == 0 && k < frame->n_open_ports; k++)
                        if (json_array_append_new(ports, json_integer(frame->open_ports[k])) < 0)
                                mem_need(NULL);
                for (size_t k = 0; k < frame->n_grants; k++)
                        if (json_array_append_new(list, grants_json(frame->grants[k])) < 0)
                                mem_need(NULL);
        }
        out_json_set(o, "open_ports", ports);
        out_json_set(o, "grants", list);
        return out_json_print(o, false) < 0 ? CLIENT_E_TOLD : 0;
}
