/*
 * The parser says where each value starts and ends; everything outside the one place stays byte for byte.
 * Runs as: anyone.   Input: a person's own file.
 */
#include "daemon/policy/edit.h"

#include <assert.h>
#include <string.h>

#include "common/error.h"
#include "daemon/policy/arena.h"
#include "daemon/policy/fault.h"
#include "daemon/policy/node.h"
#include "daemon/policy/schema.h"

/* Bytes [start, end) of a text, and what comes in their place. */
struct edit {
        size_t start, end;
        char *with; /* owned */
};

static void edit_done(struct edit *e) {
        free(e->with);
}

/* JSON string of @value; NULL with errno EINVAL when it cannot be one. */
static char *edit_quote(const char *value) {
        char *out = malloc(2 * strlen(value) + 3), *o = out;

        if (!out)
                return NULL;
        *o++ = '"';
        for (; *value; value++) {
                if ((unsigned char)*value < 0x20) {
                        free(out);
                        errno = EINVAL;
                        return NULL;
                }
                if (*value == '"' || *value == '\\')
                        *o++ = '\\';
                *o++ = *value;
        }
        *o++ = '"';
        *o = '\0';
        return out;
}

/* The white space between the last line break before @at and the first other byte of that line. */
static size_t edit_indent(const char *text, size_t at, size_t *ret_start) {
        size_t start = at, n = 0;

        while (start > 0 && text[start - 1] != '\n')
                start--;
        while (text[start + n] == ' ' || text[start + n] == '\t')
                n++;
        *ret_start = start;
        return n;
}

/* Past white space and comments, up to a line break or any other byte; a comment of several lines is passed as a whole. */
static size_t edit_skip_comments(const char *text, size_t at, size_t end) {
        while (at < end) {
                if (text[at] == ' ' || text[at] == '\t' || text[at] == '\r') {
                        at++;
                } else if (at + 1 < end && text[at] == '/' && text[at + 1] == '/') {
                        while (at < end && text[at] != '\n')
                                at++;
                } else if (at + 1 < end && text[at] == '/' && text[at + 1] == '*') {
                        const char *close = memmem(text + at + 2, end - at - 2, "*/", 2);

                        if (!close)
                                break;
                        at = (size_t)(close - text) + 2;
                } else {
                        break;
                }
        }
        return at;
}

/*
 * After the last child: on a line of its own when that one has a line of its own. A comment behind that one
 * stays with it.
 */
static int edit_append(const char *text, const struct node *parent, const char *what, struct edit *ret) {
        const struct node *last = parent->last;
        size_t line, indent, at;
        int n;

        if (!last) { /* between the brackets, comments there stay in front */
                ret->start = ret->end = parent->end - 1;
                ret->with = strdup(what);
                return ret->with ? 0 : err_raise(-ENOMEM);
        }
        ret->start = ret->end = last->end;
        at = last->key ? last->key_start : last->start;
        indent = edit_indent(text, at, &line);
        if (last->line != parent->line && line + indent == at) {
                ret->end = edit_skip_comments(text, last->end, parent->end - 1);
                n = asprintf(&ret->with, ",%.*s\n%.*s%s", (int)(ret->end - ret->start), text + ret->start, (int)indent,
                             text + line, what);
        } else {
                n = asprintf(&ret->with, ", %s", what);
        }
        if (n < 0) {
                ret->with = NULL;
                return err_raise(-ENOMEM);
        }
        return 0;
}

static int edit_apply(const char *text, size_t n, const char *source, const struct edit *e, char **ret, size_t *ret_n,
                      struct policy_error *err) {
        _cleanup_(arena_done) struct arena a = { .blocks = NULL };
        _cleanup_free_ char *out = NULL;
        struct node *root = NULL;
        size_t n_with, n_out;
        int r;

        assert(e->with && e->start <= e->end && e->end <= n);
        n_with = strlen(e->with);
        n_out = n - (e->end - e->start) + n_with;
        out = malloc(n_out + 1);
        if (!out)
                return err_raise(-ENOMEM);
        memcpy(out, text, e->start);
        memcpy(out + e->start, e->with, n_with);
        memcpy(out + e->start + n_with, text + e->end, n - e->end);
        out[n_out] = '\0';
        r = node_parse(&a, out, n_out, source, &root, err);
        if (!r)
                r = schema_check(schema_profile, root, err);
        if (r)
                return r < 0 ? err_pass(r) : r;
        *ret = steal_ptr(&out);
        *ret_n = n_out;
        return 0;
}

static struct node *edit_find(const struct node *list, const char *value) {
        node_foreach(item, list)
                if (node_string(item) && strcmp(item->string, value) == 0)
                        return item;
        return NULL;
}

static int edit_parse(struct arena *a, const char *text, size_t n, const char *source, struct node **ret,
                      struct policy_error *err) {
        int r = node_parse(a, text, n, source, ret, err);

        if (!r)
                r = schema_check(schema_profile, *ret, err);
        return r;
}

/* What to write, and where: the item, or the list with it, or the section with both. */
static int edit_plan_addition(const char *text, const struct node *root, const char *list, const char *quoted,
                              struct edit *ret) {
        const char *dot = strchr(list, '.');
        const struct node *there = node_get_path(root, list), *section = root;
        _cleanup_free_ char *what = NULL, *name = NULL;
        int n;

        if (there)
                return edit_append(text, there, quoted, ret);
        if (dot) {
                name = strndup(list, (size_t)(dot - list));
                if (!name)
                        return err_raise(-ENOMEM);
                section = node_get(root, name);
        }
        if (section)
                n = asprintf(&what, "\"%s\": [%s]", dot ? dot + 1 : list, quoted);
        else
                n = asprintf(&what, "\"%s\": { \"%s\": [%s] }", name, dot + 1, quoted);
        if (n < 0) {
                what = NULL;
                return err_raise(-ENOMEM);
        }
        return edit_append(text, section ? section : root, what, ret);
}

int edit_add(const char *text, size_t n, const char *source, const char *list, const char *value, char **ret, size_t *ret_n,
             struct policy_error *err) {
        _cleanup_(arena_done) struct arena a = { .blocks = NULL };
        _cleanup_(edit_done) struct edit e = { .with = NULL };
        _cleanup_free_ char *quoted = edit_quote(value);
        struct node *root = NULL;
        int r;

        if (!quoted && errno == EINVAL)
                return fault_set(err, source, 0, 0, "'%s' has a control character", value);
        if (!quoted)
                return err_raise(-ENOMEM);
        r = edit_parse(&a, text, n, source, &root, err);
        if (r)
                return r < 0 ? err_pass(r) : r;
        if (edit_find(node_get_path(root, list), value)) {
                e.with = strdup("");
                r = e.with ? 0 : err_raise(-ENOMEM);
        } else {
                r = edit_plan_addition(text, root, list, quoted, &e);
        }
        return r ? err_pass(r) : edit_apply(text, n, source, &e, ret, ret_n, err);
}

/* The item has its lines to itself: they go, with the comment behind it. */
static int edit_plan_line_removal(const char *text, const struct node *items, const struct node *item,
                                  const struct node *before, size_t line, struct edit *ret) {
        size_t end = edit_skip_comments(text, item->end, items->end), comma;

        if (item->next) {
                if (text[end] != ',')
                        return POLICY_E_INVALID;
                end = edit_skip_comments(text, end + 1, items->end);
        }
        if (text[end] != '\n')
                return POLICY_E_INVALID;
        ret->start = line;
        ret->end = end + 1;
        if (item->next || !before)
                return 0;
        comma = edit_skip_comments(text, before->end, items->end);
        while (text[comma] != ',' && comma < line)
                comma = edit_skip_comments(text, comma + 1, items->end);
        if (text[comma] != ',' || comma >= line)
                return POLICY_E_INVALID;
        free(ret->with);
        ret->start = comma;
        ret->with = strndup(text + comma + 1, line - comma - 1); /* the comma goes, a comment behind it stays */
        return ret->with ? 0 : err_raise(-ENOMEM);
}

int edit_remove(const char *text, size_t n, const char *source, const char *list, const char *value, char **ret,
                size_t *ret_n, struct policy_error *err) {
        _cleanup_(arena_done) struct arena a = { .blocks = NULL };
        _cleanup_(edit_done) struct edit e = { .with = strdup("") };
        struct node *root = NULL;
        const struct node *items, *item, *before = NULL;
        size_t line, indent;
        int r;

        if (!e.with)
                return err_raise(-ENOMEM);
        r = edit_parse(&a, text, n, source, &root, err);
        if (r)
                return r < 0 ? err_pass(r) : r;
        items = node_get_path(root, list);
        item = edit_find(items, value);
        if (!item)
                return POLICY_E_NOT_FOUND;
        for (const struct node *i = items->child; i != item; i = i->next)
                before = i;
        indent = edit_indent(text, item->start, &line);
        r = POLICY_E_INVALID;
        if (line + indent == item->start)
                r = edit_plan_line_removal(text, items, item, before, line, &e);
        if (r < 0)
                return err_pass(r);
        if (r) { /* with its comma: the one in front, or for the first item the one behind */
                e.start = before ? before->end : item->start;
                e.end = before || !item->next ? item->end : item->next->start;
        }
        return edit_apply(text, n, source, &e, ret, ret_n, err);
}
