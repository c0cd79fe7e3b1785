/*
 * Edit — changes to a profile's text that leave its comments, order and layout alone.
 * Runs as: anyone.   Input: a text that the store accepts, or the change is refused.
 */
#pragma once

#include <stddef.h>

#include "daemon/policy/policy.h"

/**
 * edit_add() - put one string at the end of a list, made when missing
 * @list:  dotted path of the list, "filesystem.read"
 * @value: UTF-8 without control characters
 * The result has been parsed again. A value that is there already leaves the text as it was.
 * Return: 0; POLICY_E_INVALID with @err set; -ENOMEM. @ret: heap, NUL-terminated, *ret_n bytes.
 */
int edit_add(const char *text, size_t n, const char *source, const char *list, const char *value, char **ret, size_t *ret_n,
             struct policy_error *err);
/* Takes the string out again; POLICY_E_NOT_FOUND when it is not there. */
int edit_remove(const char *text, size_t n, const char *source, const char *list, const char *value, char **ret,
                size_t *ret_n, struct policy_error *err);
