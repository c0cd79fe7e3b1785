/*
 * Prints the JSON Schema of profiles, for check-schema.py.
 */
#include "daemon/policy/json-schema.h"

int main(void) {
        json_t *schema = json_schema_profile();
        int r = schema ? json_dumpf(schema, stdout, JSON_INDENT(2)) : -1;

        json_decref(schema);
        return r ? 1 : 0;
}
