/*
 * The rules are judged once more on the paths of what is there, so that a link inside the home that leads into something
 * denied grants nothing; then they become the nodes of the view.
 *
 * Runs as: user nono.   Input: what the broker found.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/escape.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/layout.h"
#include "daemon/service/monitor-link.h"
#include "daemon/service/pathname.h"
#include "daemon/service/rules.h"
#include "daemon/service/run.h"
#include "daemon/service/sentry.h"
#include "daemon/service/spawn-steps.h"
#include "daemon/service/state-file.h"
#include "daemon/service/tree.h"
#include "daemon/target/control.h"

/* These are refused by the monitor, and would end the session there: other processes' innards, other automounts. */
static bool spawn_is_attachable(const struct spawn_item *i) {
        enum { MAGIC_AUTOFS = 0x0187, MAGIC_PROC = 0x9fa0, MAGIC_CGROUP2 = 0x63677270 };
        struct statfs fs;
        struct stat st;

        if (i->fd < 0 || fstatfs(i->fd, &fs) < 0 || fstat(i->fd, &st) < 0)
                return false;
        if (fs.f_type == MAGIC_AUTOFS || fs.f_type == MAGIC_PROC || fs.f_type == MAGIC_CGROUP2)
                return false;
        return (i->kind == OBJECT_DIR) == S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISCHR(st.st_mode) &&
               !S_ISBLK(st.st_mode);
}

/* What is denied under one name is denied under its real one. */
static int spawn_deny_canonical(struct run *r, const struct spawn_item *i) {
        const struct policy_rule rule = {
                .effect = POLICY_DENY,
                .origin = POLICY_FROM_REQUIRED_GROUP,
                .access = i->access,
                .file = i->file,
                .path = i->canonical,
                .raw = i->path,
                .source = (char *)"link",
        };

        if (strcmp(i->path, i->canonical) == 0 ||
            policy_verdict(r->plan, i->path, i->access & POLICY_READ ? POLICY_READ : POLICY_WRITE).answer !=
                    POLICY_ANSWER_DENY)
                return 0; /* its own name; or lifted by a rule that may */
        return policy_plan_add(r->plan, &rule, NULL);
}

static int spawn_allow_program(struct run *r, const struct spawn_item *i) {
        const struct policy_rule rule = {
                .effect = POLICY_ALLOW,
                .origin = POLICY_FROM_FLAG,
                .access = POLICY_READ,
                .file = true,
                .path = i->canonical,
                .source = (char *)"command",
        };

        if (policy_verdict(r->plan, i->canonical, POLICY_READ).answer != POLICY_ANSWER_ASK)
                return 0;
        return policy_plan_add(r->plan, &rule, NULL);
}

/* The rules on real paths. Denies first: they decide about the rest. */
static int spawn_settle_rules(struct run *r) {
        struct spawn *s = r->spawn;
        int e = 0;

        for (size_t k = 0; k < s->n_items && e == 0; k++)
                if (s->items[k].purpose == SPAWN_DENY && s->items[k].canonical)
                        e = spawn_deny_canonical(r, &s->items[k]);
        for (size_t k = 0; k < s->n_items && e == 0; k++) {
                struct spawn_item *i = &s->items[k];

                if (!i->canonical || spawn_is_own_place(r, i->canonical) ||
                    policy_verdict(r->plan, i->canonical, POLICY_READ).answer == POLICY_ANSWER_DENY)
                        continue;
                if (i->purpose == SPAWN_PROGRAM)
                        e = spawn_allow_program(r, i);
                else if (i->purpose == SPAWN_RULE && strcmp(i->path, i->canonical) != 0)
                        e = rules_replace(r->plan, i->rule, i->canonical, i->access, &i->rule);
        }
        return e;
}

static bool spawn_entry(struct run *r, const struct spawn_item *i, int index, struct layout_entry *e) {
        bool directory = i->kind == OBJECT_DIR;
        struct policy_verdict v;

        *e = (struct layout_entry){ .path = i->canonical, .directory = directory, .source = index };
        if (!i->canonical || (i->purpose != SPAWN_WORKDIR && spawn_is_own_place(r, i->canonical)))
                return false;
        v = policy_verdict(r->plan, i->canonical, POLICY_READ);
        switch (i->purpose) {
        case SPAWN_DENY:
                if (v.answer == POLICY_ANSWER_DENY) {
                        e->what = LAYOUT_MASK;
                        return true;
                }
                e->what = LAYOUT_FIXED;
                return v.answer == POLICY_ANSWER_GRANT && !(v.granted & POLICY_WRITE) && spawn_is_attachable(i);
        case SPAWN_WORKDIR:
                e->what = LAYOUT_WALK;
                return v.answer != POLICY_ANSWER_DENY;
        default:
                /* a rule for one object that is a directory grants nothing in it: its level will be made when walked to */
                if (v.answer != POLICY_ANSWER_GRANT || (directory && i->file) || i->kind == OBJECT_DEVICE ||
                    !spawn_is_attachable(i))
                        return false;
                e->what = LAYOUT_GRANT;
                e->write = v.granted & POLICY_WRITE;
                return true;
        }
}

static int spawn_layout(struct run *r, struct layout **ret) {
        _cleanup_free_ struct layout_entry *entries = NULL;
        struct spawn *s = r->spawn;
        size_t n = 0;

        entries = calloc(s->n_items + s->n_links + 1, sizeof(*entries));
        if (!entries)
                return err_raise(-ENOMEM);
        for (size_t k = 0; k < s->n_items; k++)
                if (spawn_entry(r, &s->items[k], (int)k, &entries[n]))
                        n++;
        for (size_t k = 0; k < s->n_links && n < LAYOUT_ENTRIES_MAX; k++) {
                if (spawn_is_own_place(r, s->links[k].path) || strlen(s->links[k].target) > MONITOR_TARGET_MAX ||
                    policy_verdict(r->plan, s->links[k].path, POLICY_READ).answer == POLICY_ANSWER_DENY)
                        continue;
                entries[n++] = (struct layout_entry){ .what = LAYOUT_LINK,
                                                      .path = s->links[k].path,
                                                      .target = s->links[k].target };
        }
        return layout_make(entries, n, r->own_tmp, ret);
}

static int spawn_send_node(struct run *r, const struct layout_node *n) {
        struct monitor_message m = {
                .type = MONITOR_NODE, .node = n->id, .parent = n->parent, .kind = n->kind, .flags = n->flags
        };
        struct broker_message grant = { .type = BROKER_GRANT,
                                        .node = n->id,
                                        .flags = n->flags & VIEW_WRITE ? BROKER_F_WRITE : 0 };
        const char *text = n->flags & VIEW_INSIDE ? n->name : n->target;
        size_t n_name = n->flags & VIEW_INSIDE || n->id == TREE_ROOT ? 0 : strlen(n->name),
               n_text = text ? strlen(text) : 0;
        struct tree_node *node;
        int fd = -1, e;

        if (n_name > MONITOR_NAME_MAX || n_text > MONITOR_TARGET_MAX)
                return err_raise(-ENAMETOOLONG);
        m.flags |= sentry_flag(r, n->kind, n->path);
        memcpy(m.name, n->name, n_name);
        m.name_len = (uint16_t)n_name;
        if (text)
                memcpy(m.target, text, n_text);
        m.target_len = (uint16_t)n_text;
        e = tree_add(r->tree, n->parent, n->kind, m.flags, n->path, &node);
        if (e || node->id != n->id)
                return err_raise(e < 0 ? e : -ENOSPC);
        if (n->kind == VIEW_DIR || n->kind == VIEW_FILE) {
                fd = n->source >= 0 ? steal_fd(&r->spawn->items[n->source].fd) : -1;
                if (fd < 0)
                        return err_raise(-EBADF);
                (void)broker_link_send(r, &grant, n->path, NULL, -1);
                if (m.flags & VIEW_SENTRY && (e = sentry_tell(r, n->path, fd)) != 0) {
                        fd_close(&fd);
                        return err_pass(e);
                }
        }
        if (n->kind == VIEW_LEVEL)
                r->spawn->levels_left++;
        return monitor_link_send(r, &m, &fd, fd >= 0 ? 1 : 0);
}

/* No rule speaks of it, and the broker does not hear of it: it is never written, revoked or asked for. */
static int spawn_send_state_file(struct run *r) {
        struct monitor_message m = { .type = MONITOR_NODE, .parent = TREE_ROOT, .kind = VIEW_FILE };
        const char *name = pathname_last(STATE_FILE_PATH);
        struct tree_node *n;
        int fd, e;

        if (r->service->fd_state < 0)
                return 0;
        e = tree_add(r->tree, TREE_ROOT, VIEW_FILE, 0, STATE_FILE_PATH, &n);
        if (e)
                return err_raise(e < 0 ? e : -ENOSPC);
        n->own = true;
        m.node = n->id;
        m.name_len = (uint16_t)strlen(name);
        memcpy(m.name, name, m.name_len);
        fd = state_file_make(r);
        return fd >= 0 ? monitor_link_send(r, &m, &fd, 1) : err_pass(fd);
}

static void on_start(struct run *r, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                     size_t n_fds) {
        const struct monitor_message *m = answer;

        if (m && m->type == MONITOR_REPLY && m->error)
                spawn_view_failed(r, m->node, m->error);
}

static int spawn_send_start(struct run *r) {
        struct monitor_message m = { .type = MONITOR_START, .umask = r->spawn->umask };
        struct spawn *s = r->spawn;
        int fds[4] = { steal_fd(&s->fd_spec), -1, -1, -1 };
        size_t n = 1;

        for (int k = 0; k < 3; k++)
                if (s->fds_stdio[k] >= 0) {
                        m.flags |= BIT(k);
                        fds[n++] = steal_fd(&s->fds_stdio[k]);
                }
        return monitor_link_ask(r, &m, fds, n, on_start, NULL);
}

static const struct spawn_item *spawn_find(const struct spawn *s, enum spawn_purpose purpose) {
        for (size_t i = 0; i < s->n_items; i++)
                if (s->items[i].purpose == purpose)
                        return &s->items[i];
        return NULL;
}

/* What cannot work is said now, in words, rather than by the kernel later. */
static bool spawn_check_command(struct run *r) {
        const struct spawn_item *workdir = spawn_find(r->spawn, SPAWN_WORKDIR),
                                *program = spawn_find(r->spawn, SPAWN_PROGRAM);
        char path[1024], message[1200];

        if (workdir->error || workdir->kind != OBJECT_DIR) {
                snprintf(message, sizeof(message), "%s: %s", escape_str(workdir->path, path, sizeof(path)),
                         workdir->error == EACCES ? "no permission for the working directory"
                                                  : "the working directory does not exist");
                run_fail(r, CONTROL_STEP_CHDIR, workdir->error ? workdir->error : ENOTDIR, message, NULL);
                return false;
        }
        if (program && program->error) {
                snprintf(message, sizeof(message), "%s: %s", escape_str(program->path, path, sizeof(path)),
                         strerror(program->error));
                run_fail(r, CONTROL_STEP_EXEC, program->error, message, NULL);
                return false;
        }
        if (program && (program->kind == OBJECT_DIR || program->kind == OBJECT_DEVICE)) {
                snprintf(message, sizeof(message), "%s: not a program", escape_str(program->path, path, sizeof(path)));
                run_fail(r, CONTROL_STEP_EXEC, EACCES, message, NULL);
                return false;
        }
        return true;
}

void spawn_compose(struct run *r) {
        _cleanup_(layout_freep) struct layout *layout = NULL;
        int e;

        if (!spawn_check_command(r))
                return;
        e = spawn_settle_rules(r);
        if (e == 0)
                e = spawn_layout(r, &layout);
        if (e) {
                run_fail(r, CONTROL_STEP_SETUP, e < 0 ? -e : ENOSPC, "the view would have too many parts", NULL);
                return;
        }
        run_set_state(r, RUN_BUILDING);
        for (size_t i = 0; i < layout->n_nodes && e == 0; i++)
                e = spawn_send_node(r, &layout->nodes[i]);
        if (e == 0)
                e = spawn_send_state_file(r);
        if (e == 0)
                e = spawn_send_start(r);
        if (e)
                run_fail(r, CONTROL_STEP_SETUP, e < 0 ? -e : EIO, "the view cannot be built", NULL);
        log_debug("session %s: %zu nodes", r->id, layout->n_nodes);
}
