/*
 * Words for events. Tables, so that a new value of the protocol is one row.
 * Runs as: the user.   Input: see event.h; enum values were checked when the frame was decoded.
 */
#include "client/event.h"

#include <string.h>
#include <time.h>

#include "client/out.h"
#include "client/say.h"

const char *event_access(Nono__Access a) {
        switch (a) {
        case NONO__ACCESS__ACCESS_READ:
                return "read";
        case NONO__ACCESS__ACCESS_WRITE:
                return "write";
        case NONO__ACCESS__ACCESS_READ_WRITE:
                return "readwrite";
        default:
                return "none";
        }
}

const char *event_duration(Nono__Duration d) {
        switch (d) {
        case NONO__DURATION__DURATION_ONCE:
                return "once";
        case NONO__DURATION__DURATION_15M:
                return "15m";
        case NONO__DURATION__DURATION_SESSION:
                return "session";
        default:
                return NULL;
        }
}

const char *event_scope(Nono__Scope s) {
        switch (s) {
        case NONO__SCOPE__SCOPE_FILE:
                return "file";
        case NONO__SCOPE__SCOPE_FOLDER:
                return "folder";
        case NONO__SCOPE__SCOPE_PARENT:
                return "parent";
        default:
                return NULL;
        }
}

struct operation {
        const char *name, *wish;
};

static struct operation event_operation(Nono__Operation o) {
        switch (o) {
        case NONO__OPERATION__OP_LOOK:
                return (struct operation){ "look", "wants to look at" };
        case NONO__OPERATION__OP_READ:
                return (struct operation){ "read", "wants to read" };
        case NONO__OPERATION__OP_WRITE:
                return (struct operation){ "write", "wants to write" };
        case NONO__OPERATION__OP_EXECUTE:
                return (struct operation){ "execute", "wants to run" };
        case NONO__OPERATION__OP_CREATE:
                return (struct operation){ "create", "wants to create" };
        case NONO__OPERATION__OP_MKDIR:
                return (struct operation){ "mkdir", "wants to create the directory" };
        case NONO__OPERATION__OP_RENAME:
                return (struct operation){ "rename", "wants to rename" };
        case NONO__OPERATION__OP_LINK:
                return (struct operation){ "link", "wants to link" };
        case NONO__OPERATION__OP_SYMLINK:
                return (struct operation){ "symlink", "wants to make the symbolic link" };
        case NONO__OPERATION__OP_DELETE:
                return (struct operation){ "delete", "wants to delete" };
        case NONO__OPERATION__OP_CONNECT:
                return (struct operation){ "connect", "wants to connect to" };
        default:
                return (struct operation){ "unknown", "wants to use" };
        }
}

const char *event_wish(const Nono__Event *e) {
        if (e->operation == NONO__OPERATION__OP_UNKNOWN && e->executable)
                return "wants to run";
        if (e->operation == NONO__OPERATION__OP_UNKNOWN || e->operation == NONO__OPERATION__OP_READ ||
            e->operation == NONO__OPERATION__OP_WRITE)
                switch (e->access) {
                case NONO__ACCESS__ACCESS_READ:
                        return e->directory ? "wants to read the directory" : "wants to read";
                case NONO__ACCESS__ACCESS_WRITE:
                        return e->directory ? "wants to write in the directory" : "wants to write";
                case NONO__ACCESS__ACCESS_READ_WRITE:
                        return e->directory ? "wants to read and write in the directory" : "wants to read and write";
                default:
                        break;
                }
        return event_operation(e->operation).wish;
}

char *event_programs(const Nono__Event *e, bool utf8) {
        char *all = NULL;

        for (size_t i = 0; i < e->n_programs; i++) {
                _cleanup_free_ char *one = out_text(&e->programs[i]), *old = all;

                all = old ? mem_format("%s%s%s", old, utf8 ? " › " : " > ", one) : mem_copy(one);
        }
        return all ? all : mem_copy("a program");
}

/* " (profiles/claude-code.json:12)" */
static char *event_source(const Nono__Event *e) {
        _cleanup_free_ char *source = out_text(&e->source);

        if (!*source)
                return mem_copy("");
        return e->line ? mem_format(" (%s:%u)", source, e->line) : mem_format(" (%s)", source);
}

static const char *event_reason_name(Nono__Reason r) {
        switch (r) {
        case NONO__REASON__REASON_RULE:
                return "rule";
        case NONO__REASON__REASON_PERSON:
                return "person";
        case NONO__REASON__REASON_TIMEOUT:
                return "timeout";
        case NONO__REASON__REASON_NOBODY:
                return "nobody";
        case NONO__REASON__REASON_LIMIT:
                return "limit";
        case NONO__REASON__REASON_REMEMBERED:
                return "remembered";
        case NONO__REASON__REASON_ERROR:
                return "error";
        case NONO__REASON__REASON_EXPIRED:
                return "expired";
        case NONO__REASON__REASON_SEALED:
                return "sealed";
        default:
                return NULL;
        }
}

char *event_reason(const Nono__Event *e) {
        _cleanup_free_ char *source = event_source(e);

        switch (e->reason) {
        case NONO__REASON__REASON_RULE:
                return mem_format("by a rule%s", source);
        case NONO__REASON__REASON_PERSON:
                return mem_copy("by a person");
        case NONO__REASON__REASON_TIMEOUT:
                return mem_copy("nobody answered in time");
        case NONO__REASON__REASON_NOBODY:
                return mem_copy("nobody was there to answer");
        case NONO__REASON__REASON_LIMIT:
                return mem_copy("too many questions wait");
        case NONO__REASON__REASON_REMEMBERED:
                return mem_copy("a person said no to it before");
        case NONO__REASON__REASON_ERROR:
                return e->error ? mem_format("it failed: %s", strerror((int)e->error)) : mem_copy("it failed");
        case NONO__REASON__REASON_EXPIRED:
                return mem_copy("its time is over");
        case NONO__REASON__REASON_SEALED:
                return mem_copy("the session is sealed: nobody is asked");
        default:
                return mem_copy(source);
        }
}

static const char *event_type(Nono__EventType t) {
        switch (t) {
        case NONO__EVENT_TYPE__EVENT_SESSION_STARTED:
                return "session-started";
        case NONO__EVENT_TYPE__EVENT_SESSION_ENDED:
                return "session-ended";
        case NONO__EVENT_TYPE__EVENT_REQUEST:
                return "request";
        case NONO__EVENT_TYPE__EVENT_DENIED:
                return "denied";
        case NONO__EVENT_TYPE__EVENT_APPROVED:
                return "approved";
        case NONO__EVENT_TYPE__EVENT_GRANTED:
                return "granted";
        case NONO__EVENT_TYPE__EVENT_REVOKED:
                return "revoked";
        case NONO__EVENT_TYPE__EVENT_WITHDRAWN:
                return "withdrawn";
        case NONO__EVENT_TYPE__EVENT_CONNECTED:
                return "connected";
        default:
                return "unknown";
        }
}

/* "/a → /b" for operations on two names. */
static char *event_paths(const Nono__Event *e) {
        _cleanup_free_ char *path = out_text(&e->path), *second = out_text(&e->second_path);

        if (e->port && !*path)
                return mem_format("port %u of this host", e->port);
        return *second ? mem_format("%s → %s", path, second) : mem_copy(path);
}

static char *event_details(const Nono__Event *e) {
        _cleanup_free_ char *paths = event_paths(e), *programs = event_programs(e, true), *reason = event_reason(e);
        const char *duration = event_duration(e->duration);

        switch (e->type) {
        case NONO__EVENT_TYPE__EVENT_SESSION_STARTED: {
                _cleanup_free_ char *command = out_text(&e->command), *profile = out_text(&e->profile);

                return mem_format("started    %s%s%s%s", *command ? command : "(no command)", *profile ? " (profile " : "",
                                  profile, *profile ? ")" : "");
        }
        case NONO__EVENT_TYPE__EVENT_SESSION_ENDED:
                if (e->signal)
                        return mem_format("ended      by signal %u (%s)", e->signal, strsignal((int)e->signal));
                return mem_format("ended      with status %u", e->code);
        case NONO__EVENT_TYPE__EVENT_REQUEST:
                return mem_format("waits      #%llu %s %s %s%s", (unsigned long long)e->request, programs, event_wish(e), paths,
                                  e->count > 1 ? " (more than once)" : "");
        case NONO__EVENT_TYPE__EVENT_DENIED:
                return mem_format("denied     %s %s %s%s%s", programs, event_wish(e), paths, *reason ? ": " : "", reason);
        case NONO__EVENT_TYPE__EVENT_APPROVED:
                return mem_format("approved   #%llu %s%s%s", (unsigned long long)e->request, paths, duration ? " for " : "",
                                  duration ? duration : "");
        case NONO__EVENT_TYPE__EVENT_GRANTED:
                return mem_format("granted    %llu %s %s%s%s", (unsigned long long)e->grant, event_access(e->access), paths,
                                  duration ? " for " : "", duration ? duration : "");
        case NONO__EVENT_TYPE__EVENT_REVOKED:
                return mem_format("revoked    %llu %s%s%s", (unsigned long long)e->grant, paths, *reason ? ": " : "", reason);
        case NONO__EVENT_TYPE__EVENT_WITHDRAWN:
                return mem_format("withdrawn  #%llu %s: the process that asked is gone", (unsigned long long)e->request, paths);
        case NONO__EVENT_TYPE__EVENT_CONNECTED:
                return mem_format("connected  %s to %s", programs, paths);
        default:
                return mem_copy("?");
        }
}

char *event_line(const Nono__Event *e) {
        _cleanup_free_ char *details = event_details(e), *session = out_text(&e->session);
        time_t seconds = (time_t)(e->time_us / 1000000);
        char clock[16] = "--:--:--";
        struct tm tm;

        if (e->time_us && localtime_r(&seconds, &tm))
                (void)strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
        return mem_format("%s %s %s", clock, *session ? session : "-", details);
}

static void event_json_subject(json_t *o, const Nono__Event *e) {
        out_json_bytes(o, "path", &e->path);
        if (e->second_path.len > 0)
                out_json_bytes(o, "second_path", &e->second_path);
        out_json_set(o, "directory", json_boolean(e->directory));
        out_json_set(o, "executable", json_boolean(e->executable));
        out_json_set(o, "access", json_string(event_access(e->access)));
        out_json_set(o, "operation", json_string(event_operation(e->operation).name));
        out_json_list(o, "programs", e->programs, e->n_programs);
        out_json_set(o, "pid", json_integer(e->pid));
}

json_t *event_prompt_json(const Nono__Event *e) {
        json_t *o = mem_need(json_object());

        out_json_set(o, "id", json_integer((json_int_t)e->request));
        out_json_bytes(o, "session", &e->session);
        out_json_bytes(o, "profile", &e->profile);
        event_json_subject(o, e);
        out_json_set(o, "state", json_string("waiting"));
        out_json_time(o, "since", e->time_us);
        out_json_set(o, "count", json_integer(e->count));
        return o;
}

json_t *event_json(const Nono__Event *e) {
        json_t *o = mem_need(json_object());
        bool ended = e->type == NONO__EVENT_TYPE__EVENT_SESSION_ENDED,
             life = ended || e->type == NONO__EVENT_TYPE__EVENT_SESSION_STARTED;

        out_json_set(o, "type", json_string(event_type(e->type)));
        out_json_set(o, "seq", json_integer((json_int_t)e->seq));
        out_json_time(o, "time", e->time_us);
        out_json_bytes(o, "session", &e->session);
        out_json_bytes(o, "profile", &e->profile);
        if (life) {
                out_json_bytes(o, "command", &e->command);
                out_json_set(o, "pid", json_integer(e->pid));
        } else
                event_json_subject(o, e);
        if (ended) {
                out_json_set(o, "code", json_integer(e->code));
                out_json_set(o, "signal", json_integer(e->signal));
        }
        if (e->request)
                out_json_set(o, "id", json_integer((json_int_t)e->request));
        if (e->grant)
                out_json_set(o, "grant", json_integer((json_int_t)e->grant));
        if (event_reason_name(e->reason))
                out_json_set(o, "reason", json_string(event_reason_name(e->reason)));
        if (e->source.len > 0) {
                out_json_bytes(o, "source", &e->source);
                out_json_set(o, "line", json_integer(e->line));
        }
        if (event_scope(e->scope))
                out_json_set(o, "scope", json_string(event_scope(e->scope)));
        if (event_duration(e->duration))
                out_json_set(o, "for", json_string(event_duration(e->duration)));
        if (e->expires_us)
                out_json_time(o, "expires", e->expires_us);
        if (e->count)
                out_json_set(o, "count", json_integer(e->count));
        if (e->port)
                out_json_set(o, "port", json_integer(e->port));
        if (e->error)
                out_json_set(o, "error", json_integer(e->error));
        return o;
}
