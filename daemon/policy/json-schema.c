/*
 * What the tables can say, plus patterns for paths and predicates. A validator that knows only this
 * accepts every profile that loads; what refers to other files it cannot know.
 * Runs as: anyone.   Input: none.
 */
#include "daemon/policy/json-schema.h"

#include <string.h>

#include "daemon/policy/policy.h"
#include "daemon/policy/schema.h"

#define VARIABLES                                                                                  \
        "(HOME|WORKDIR|TMPDIR|UID|XDG_CONFIG_HOME|XDG_DATA_HOME|XDG_STATE_HOME|XDG_CACHE_HOME"     \
        "|XDG_RUNTIME_DIR|NONO_CONFIG|NONO_PACKAGES|PACK_DIR)(?![A-Z0-9_])"

/* Absolute, ~/, $VARIABLE or double star first; no empty, "." or ".." component; known variables. Empty is tolerated. */
static const char schema_path_pattern[] =
        "^$|^(?!.*//)(?!.*\\u0000)(?!.*/\\.\\.?(/|$))(?!.*\\$(?!" VARIABLES "))(~(/|$)|/|\\*\\*/|\\$(?!UID))";
static const char schema_when_pattern[] =
        "^!?(linux|macos|windows)(:[a-z0-9._-]+)?(:(>=|<=|==|=|>|<)[0-9][0-9.]*)?$";

static json_t *schema_reference(const char *name) {
        return json_pack("{s:s+}", "$ref", "#/$defs/", name);
}

static json_t *schema_list_of(json_t *items) {
        return json_pack("{s:s, s:o}", "type", "array", "items", items);
}

static json_t *schema_conditional(const char *name, json_t *text) {
        return json_pack("{s:[O, {s:s, s:b, s:[s], s:{s:o, s:{s:s}}}]}", "anyOf", text, "type", "object",
                         "additionalProperties", 0, "required", name, "properties", name, text, "when", "$ref",
                         "#/$defs/when");
}

static json_t *schema_values(const char *values) {
        json_t *list = json_array();

        while (*values) {
                size_t n = strcspn(values, "|");

                (void)json_array_append_new(list, json_stringn(values, n));
                values += n + (values[n] == '|');
        }
        return json_pack("{s:o}", "enum", list);
}

static json_t *schema_object_of(const struct schema_key *keys, bool in_override);

static json_t *schema_value(const struct schema_key *k) {
        json_t *text = json_pack("{s:s}", "type", "string");

        switch (k->type) {
        case SCHEMA_STRING:
                if (k->values) {
                        json_decref(text);
                        return schema_values(k->values);
                }
                return text;
        case SCHEMA_STRINGS:
                return schema_list_of(text);
        case SCHEMA_STRING_OR_LIST:
                return json_pack("{s:[O, o]}", "anyOf", text, schema_list_of(text));
        case SCHEMA_STRING_MAP:
                return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", text);
        default:
                json_decref(text);
                break;
        }
        switch (k->type) {
        case SCHEMA_BOOL:
                return json_pack("{s:s}", "type", "boolean");
        case SCHEMA_INT:
                return json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
        case SCHEMA_PATHS:
                return schema_list_of(schema_reference("path_item"));
        case SCHEMA_NAMES:
                return schema_list_of(schema_reference("name_item"));
        case SCHEMA_PORTS:
                return schema_list_of(schema_reference("port"));
        case SCHEMA_DOMAINS:
                return schema_list_of(schema_reference("domain_item"));
        case SCHEMA_ANY_LIST:
                return json_pack("{s:s}", "type", "array");
        case SCHEMA_PROFILE:
                return schema_reference("override");
        case SCHEMA_OBJECT:
                return k->keys ? schema_object_of(k->keys, false) : json_pack("{s:s}", "type", "object");
        case SCHEMA_OBJECT_MAP:
                return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", schema_object_of(k->keys, false));
        default:
                return json_pack("{s:s}", "type", "object");
        }
}

static json_t *schema_key_of(const struct schema_key *k) {
        json_t *value = schema_value(k);

        if (k->nullable)
                value = json_pack("{s:[o, {s:s}]}", "anyOf", value, "type", "null");
        if (k->help)
                (void)json_object_set_new(value, "description", json_string(k->help));
        if (k->canonical) {
                (void)json_object_set_new(value, "deprecated", json_true());
                (void)json_object_set_new(value, "description", json_sprintf("historic name of %s", k->canonical));
        }
        return value;
}

static json_t *schema_object_of(const struct schema_key *keys, bool in_override) {
        json_t *properties = json_object();

        for (; keys->name; keys++)
                if (!in_override || !schema_is_value("extends|platform_overrides|meta", keys->name))
                        (void)json_object_set_new(properties, keys->name, schema_key_of(keys));
        return json_pack("{s:s, s:b, s:o}", "type", "object", "additionalProperties", 0, "properties", properties);
}

static json_t *schema_definitions(void) {
        json_t *defs = json_object(), *path = schema_reference("path"), *text = json_pack("{s:s}", "type", "string");

        (void)json_object_set_new(defs, "path", json_pack("{s:s, s:i, s:s, s:s}", "type", "string", "maxLength",
                                                          POLICY_PATH_MAX - 1, "pattern", schema_path_pattern,
                                                          "description", "absolute, ~/, $VARIABLE or **/; * and ? make it a pattern"));
        (void)json_object_set_new(defs, "when_text", json_pack("{s:s, s:s}", "type", "string", "pattern", schema_when_pattern));
        (void)json_object_set_new(defs, "when", json_pack("{s:[o, o]}", "anyOf", schema_reference("when_text"),
                                                          schema_list_of(schema_reference("when_text"))));
        (void)json_object_set_new(defs, "path_item", schema_conditional("path", path));
        (void)json_object_set_new(defs, "name_item", schema_conditional("name", text));
        (void)json_object_set_new(defs, "port", json_pack("{s:s, s:i, s:i}", "type", "integer", "minimum", 1, "maximum",
                                                          UINT16_MAX));
        (void)json_object_set_new(defs, "domain_item",
                                  json_pack("{s:[O, {s:s, s:b, s:[s], s:{s:O, s:{}}}]}", "anyOf", text, "type", "object",
                                            "additionalProperties", 0, "required", "domain", "properties", "domain", text,
                                            "endpoints"));
        (void)json_object_set_new(defs, "override", schema_object_of(schema_profile, true));
        json_decref(path);
        json_decref(text);
        return defs;
}

json_t *json_schema_profile(void) {
        json_t *out = json_pack("{s:s, s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
                                "Profile of nonod");
        json_t *object = schema_object_of(schema_profile, false);

        if (!out || !object || json_object_update(out, object)) {
                json_decref(out);
                json_decref(object);
                return NULL;
        }
        json_decref(object);
        (void)json_object_set_new(out, "$defs", schema_definitions());
        return out;
}
