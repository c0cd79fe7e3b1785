/*
 * jansson decides what is JSON and decodes it; it does not say where a value stood. So the text, valid
 * by then, is walked once more in step with jansson's tree, which keeps the order of members.
 * Runs as: anyone.   Input: foreign bytes.
 */
#include "daemon/policy/node.h"

#include <string.h>

#include <jansson.h>

#include "common/error.h"
#include "daemon/policy/arena.h"
#include "daemon/policy/fault.h"
#include "daemon/policy/jsonc.h"

struct node_scanner {
        const char *text, *source;
        size_t at, n;
        unsigned line;
        size_t line_start;
        unsigned wide; /* bytes since line_start that do not start a character */
};

static unsigned node_column(const struct node_scanner *s) {
        return (unsigned)(s->at - s->line_start) - s->wide + 1;
}

static void node_advance(struct node_scanner *s) {
        unsigned char c = (unsigned char)s->text[s->at++];

        if (c == '\n') {
                s->line++;
                s->line_start = s->at;
                s->wide = 0;
        } else if ((c & 0xc0) == 0x80) {
                s->wide++;
        }
}

static void node_skip_space(struct node_scanner *s) {
        while (s->at < s->n && strchr(" \t\r\n", s->text[s->at]))
                node_advance(s);
}

/* Commas, colons and brackets between values: which one it is, jansson has checked. */
static void node_skip_mark(struct node_scanner *s) {
        node_skip_space(s);
        if (s->at < s->n)
                node_advance(s);
        node_skip_space(s);
}

static void node_skip_string(struct node_scanner *s) {
        node_advance(s);
        while (s->at < s->n && s->text[s->at] != '"') {
                if (s->text[s->at] == '\\' && s->at + 1 < s->n)
                        node_advance(s);
                node_advance(s);
        }
        if (s->at < s->n)
                node_advance(s);
}

static void node_skip_scalar(struct node_scanner *s) {
        if (s->at < s->n && s->text[s->at] == '"')
                node_skip_string(s);
        else
                while (s->at < s->n && !strchr(" \t\r\n,]}", s->text[s->at]))
                        node_advance(s);
}

static struct node *node_build(struct arena *a, json_t *json, struct node_scanner *s);

static int node_build_members(struct arena *a, json_t *json, struct node_scanner *s, struct node *parent) {
        const char *key;
        json_t *value;
        bool first = true;

        json_object_foreach(json, key, value) {
                unsigned key_line, key_column;
                struct node *child;
                size_t key_start;

                node_skip_mark(s); /* '{' or ',' */
                first = false;
                key_start = s->at;
                key_line = s->line;
                key_column = node_column(s);
                node_skip_string(s);
                node_skip_mark(s); /* ':' */
                child = node_build(a, value, s);
                if (!child)
                        return -ENOMEM;
                child->key = arena_string(a, key);
                if (!child->key)
                        return -ENOMEM;
                child->key_start = (uint32_t)key_start;
                child->key_line = key_line;
                child->key_column = key_column;
                node_append(parent, child);
        }
        if (first)
                node_skip_mark(s);
        return 0;
}

static int node_build_items(struct arena *a, json_t *json, struct node_scanner *s, struct node *parent) {
        json_t *value;
        size_t i;

        json_array_foreach(json, i, value) {
                struct node *child;

                node_skip_mark(s); /* '[' or ',' */
                child = node_build(a, value, s);
                if (!child)
                        return -ENOMEM;
                node_append(parent, child);
        }
        if (json_array_size(json) == 0)
                node_skip_mark(s);
        return 0;
}

/* Depth was bounded by jsonc_blank(). */
static struct node *node_build(struct arena *a, json_t *json, struct node_scanner *s) {
        struct node *n = arena_alloc(a, sizeof(*n));
        int r = 0;

        if (!n)
                return NULL;
        node_skip_space(s);
        n->source = s->source;
        n->line = s->line;
        n->column = node_column(s);
        n->start = (uint32_t)s->at;
        switch (json_typeof(json)) {
        case JSON_OBJECT:
                n->type = NODE_OBJECT;
                r = node_build_members(a, json, s, n);
                node_skip_space(s);
                if (s->at < s->n)
                        node_advance(s); /* '}' */
                break;
        case JSON_ARRAY:
                n->type = NODE_LIST;
                r = node_build_items(a, json, s, n);
                node_skip_space(s);
                if (s->at < s->n)
                        node_advance(s); /* ']' */
                break;
        case JSON_STRING:
                n->type = NODE_STRING;
                n->string = arena_string(a, json_string_value(json));
                if (!n->string)
                        return NULL;
                break;
        case JSON_INTEGER:
                n->type = NODE_INT;
                n->integer = json_integer_value(json);
                break;
        case JSON_REAL:
                n->type = NODE_REAL;
                n->real = json_real_value(json);
                break;
        case JSON_TRUE:
        case JSON_FALSE:
                n->type = NODE_BOOL;
                n->integer = json_is_true(json);
                break;
        case JSON_NULL:
                n->type = NODE_NULL;
                break;
        }
        if (n->type != NODE_OBJECT && n->type != NODE_LIST)
                node_skip_scalar(s);
        n->end = (uint32_t)s->at;
        return r ? NULL : n;
}

int node_parse(struct arena *a, const char *text, size_t n, const char *source, struct node **ret,
               struct policy_error *err) {
        _cleanup_(json_decrefp) json_t *json = NULL;
        struct node_scanner s = { .n = n, .line = 1 };
        struct node *root;
        json_error_t e;
        char *plain;
        int r;

        if (n > POLICY_TEXT_MAX)
                return fault_set(err, source, 0, 0, "%zu bytes, a policy file has at most %d", n, POLICY_TEXT_MAX);
        plain = arena_copy(a, text, n);
        s.source = arena_string(a, source);
        if (!plain || !s.source)
                return err_raise(-ENOMEM);
        s.text = plain;
        r = jsonc_blank(plain, n, source, err);
        if (r)
                return r;
        json = json_loadb(plain, n, JSON_REJECT_DUPLICATES, &e);
        if (!json) {
                if (json_error_code(&e) == json_error_out_of_memory)
                        return err_raise(-ENOMEM);
                if (json_error_code(&e) == json_error_null_character)
                        return fault_set(err, source, (unsigned)e.line, (unsigned)e.column, "NUL character in a string");
                return fault_set(err, source, e.line > 0 ? (unsigned)e.line : 1, e.column > 0 ? (unsigned)e.column : 1,
                                 "%s", e.text);
        }
        root = node_build(a, json, &s);
        if (!root)
                return err_raise(-ENOMEM);
        if (root->type != NODE_OBJECT)
                return fault_set(err, source, root->line, root->column, "expected an object");
        *ret = root;
        return 0;
}

struct node *node_get(const struct node *object, const char *key) {
        if (!object || object->type != NODE_OBJECT)
                return NULL;
        node_foreach(child, object)
                if (strcmp(child->key, key) == 0)
                        return child;
        return NULL;
}

struct node *node_get_path(const struct node *object, const char *path) {
        const char *dot = strchr(path, '.');

        if (!dot)
                return node_get(object, path);
        if (!object || object->type != NODE_OBJECT)
                return NULL;
        node_foreach(child, object)
                if (strncmp(child->key, path, (size_t)(dot - path)) == 0 && !child->key[dot - path])
                        return node_get(child, dot + 1);
        return NULL;
}

const char *node_string(const struct node *n) {
        return n && n->type == NODE_STRING ? n->string : NULL;
}

bool node_true(const struct node *n) {
        return n && n->type == NODE_BOOL && n->integer;
}

struct node *node_new(struct arena *a, enum node_type type, const char *key, const struct node *place) {
        struct node *n = arena_alloc(a, sizeof(*n));

        if (!n)
                return NULL;
        n->type = type;
        n->key = key;
        if (place) {
                n->source = place->source;
                n->line = place->line;
                n->column = place->column;
                n->key_line = place->key_line;
                n->key_column = place->key_column;
                n->rank = place->rank;
        }
        return n;
}

struct node *node_share(struct arena *a, const struct node *n) {
        struct node *copy = arena_alloc(a, sizeof(*copy));

        if (copy) {
                *copy = *n;
                copy->next = NULL;
        }
        return copy;
}

void node_append(struct node *parent, struct node *child) {
        child->next = NULL;
        if (parent->last)
                parent->last->next = child;
        else
                parent->child = child;
        parent->last = child;
        parent->n_children++;
}

void node_unlink(struct node *parent, struct node *child) {
        struct node *before = NULL;

        node_foreach(n, parent) {
                if (n == child) {
                        if (before)
                                before->next = n->next;
                        else
                                parent->child = n->next;
                        if (parent->last == n)
                                parent->last = before;
                        parent->n_children--;
                        child->next = NULL;
                        return;
                }
                before = n;
        }
}

bool node_equal(const struct node *a, const struct node *b) {
        const struct node *x, *y;

        if (a->type != b->type || a->n_children != b->n_children)
                return false;
        switch (a->type) {
        case NODE_STRING:
                return strcmp(a->string, b->string) == 0;
        case NODE_BOOL:
        case NODE_INT:
                return a->integer == b->integer;
        case NODE_REAL:
                return a->real >= b->real && a->real <= b->real;
        case NODE_NULL:
                return true;
        case NODE_LIST:
                for (x = a->child, y = b->child; x && y; x = x->next, y = y->next)
                        if (!node_equal(x, y))
                                return false;
                return true;
        case NODE_OBJECT:
                node_foreach(child, a) {
                        const struct node *other = node_get(b, child->key);

                        if (!other || !node_equal(child, other))
                                return false;
                }
                return true;
        }
        return false;
}
