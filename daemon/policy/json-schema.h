/*
 * JSON Schema — the tables of schema-tables.c for editors and other validators (2020-12).
 * Runs as: anyone.   Input: none.
 */
#pragma once

#include <jansson.h>

/* The schema of a profile file, historic keys included and marked deprecated. NULL when memory is out. */
json_t *json_schema_profile(void);
