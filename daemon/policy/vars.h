/*
 * Vars — path texts of policy files: checked at load, expanded at compile time.
 * Runs as: anyone.   Input: foreign text; values from the caller.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct node;
struct policy_error;
struct policy_vars;

/* vars_expand(): POLICY_OK, or one of these. */
enum { VARS_E_UNSET = 1, VARS_E_BAD };

/* A `*` or a `?` in the text makes it a name pattern. */
bool vars_is_pattern(const char *text);
/**
 * vars_check_path() - can this text become an absolute path
 * @item: a path, or {path, when}
 * Return: 0; POLICY_E_INVALID with @err set.
 */
int vars_check_path(const struct node *item, struct policy_error *err);
/* Are all values absolute and normalised? @ret_name: the first that is not. */
bool vars_are_sane(const struct policy_vars *vars, const char **ret_name);
/**
 * vars_expand() - replace a leading ~ and every $NAME
 * @out: gets the absolute, normalised path; @cap bytes
 * Return: 0; VARS_E_UNSET: a variable has no value, the rule does not apply; VARS_E_BAD: the result is no
 * usable path (too long, or a value that would turn into a pattern).
 */
int vars_expand(const char *text, const struct policy_vars *vars, char *out, size_t cap);
