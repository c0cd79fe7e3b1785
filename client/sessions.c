/*
 * Runs as: the user.   Input: see sessions.h.
 */
#include "client/sessions.h"

#include <string.h>

#include "client/connect.h"
#include "client/out.h"
#include "client/say.h"

enum { SESSION_FRAMES_MAX = 256 };

int session_list_get(struct conn *c, bool all, struct session_list *ret) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__ListSessions list = NONO__LIST_SESSIONS__INIT;
        bool more = true;
        int r;

        list.all = all;
        q.body_case = NONO__REQUEST__BODY_LIST_SESSIONS;
        q.list_sessions = &list;
        r = conn_send(c, &q, NULL, 0);
        while (r == 0 && more) {
                Nono__Reply *a = NULL;
                Nono__Sessions *s;

                r = conn_answer(c, NONO__REPLY__BODY_SESSIONS, &a);
                if (r)
                        break;
                s = a->sessions;
                ret->frames = mem_need(reallocarray(ret->frames, ret->n_frames + 1, sizeof(*ret->frames)));
                ret->frames[ret->n_frames++] = a;
                ret->infos = mem_need(reallocarray(ret->infos, ret->n_infos + s->n_sessions + 1, sizeof(*ret->infos)));
                for (size_t i = 0; i < s->n_sessions; i++)
                        ret->infos[ret->n_infos++] = s->sessions[i];
                more = s->more;
                if (more && ret->n_frames >= SESSION_FRAMES_MAX)
                        r = conn_lost(WIRE_E_MALFORMED);
        }
        return r;
}

void session_list_done(struct session_list *l) {
        for (size_t i = 0; i < l->n_frames; i++)
                wire_reply_free(l->frames[i]);
        free(l->frames);
        free(l->infos);
        *l = (struct session_list){ 0 };
}

static bool session_starts(const ProtobufCBinaryData *b, const char *word) {
        return b->len >= strlen(word) && memcmp(b->data, word, strlen(word)) == 0;
}

int session_find(Nono__SessionInfo *const *infos, size_t n, const char *word, const Nono__SessionInfo **ret) {
        size_t found = 0;

        if (word && !*word)
                return SESSION_FIND_E_NONE;
        for (size_t i = 0; i < n && word; i++)
                if (wire_is(&infos[i]->id, word)) { /* the whole id beats every name */
                        *ret = infos[i];
                        return 0;
                }
        for (size_t i = 0; i < n; i++)
                if (!word || wire_is(&infos[i]->name, word)) {
                        *ret = infos[i];
                        found++;
                }
        for (size_t i = 0; i < n && word && found == 0; i++)
                if (session_starts(&infos[i]->id, word)) {
                        const Nono__SessionInfo *first = infos[i];

                        for (size_t k = i + 1; k < n; k++)
                                if (session_starts(&infos[k]->id, word))
                                        return SESSION_FIND_E_MANY;
                        *ret = first;
                        return 0;
                }
        return found == 1 ? 0 : found == 0 ? SESSION_FIND_E_NONE : SESSION_FIND_E_MANY;
}

int session_resolve(struct conn *c, const char *word, char **ret_id) {
        const Nono__SessionInfo *info = NULL;
        _cleanup_free_ char *shown = word ? out_escaped(word) : NULL;
        struct session_list l = { 0 };
        int r;

        r = session_list_get(c, false, &l);
        if (r == 0)
                switch (session_find(l.infos, l.n_infos, word, &info)) {
                case SESSION_FIND_OK:
                        *ret_id = mem_need(wire_string(&info->id));
                        break;
                case SESSION_FIND_E_MANY:
                        r = word ? say_error("more than one session is called '%s'", shown)
                                 : say_error("there is more than one session; say which");
                        say_hint("see: nonoctl ps");
                        break;
                default:
                        r = word ? say_error("no session is called '%s'", shown) : say_error("there is no session");
                        say_hint("see: nonoctl ps");
                        break;
                }
        session_list_done(&l);
        return r;
}
