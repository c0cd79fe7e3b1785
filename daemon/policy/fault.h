/*
 * Fault — fills a struct policy_error: where, what was found, what was expected.
 * Runs as: anyone.   Input: foreign text; it is escaped here.
 */
#pragma once

#include "daemon/policy/policy.h"

/**
 * fault_set() - describe an error
 * @err:    may be NULL
 * @source: borrowed label; NULL for none
 * @line:   1-based, with @column; 0 for none
 * Return: POLICY_E_INVALID, so that a caller can return it.
 */
int fault_set(struct policy_error *err, const char *source, unsigned line, unsigned column, const char *format, ...)
        _printf_(5, 6);
