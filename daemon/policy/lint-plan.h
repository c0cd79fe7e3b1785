/*
 * Lint of plans — findings that need the compiled rules.
 * Runs as: anyone.   Input: a plan, and the profile it was made of.
 */
#pragma once

#include "daemon/policy/lint.h"

enum { LINT_FINDINGS_MAX = 256 };

struct store_object;

/* Adds one finding; beyond LINT_FINDINGS_MAX nothing. @fix: may be NULL. Return: 0; -ENOMEM. */
int lint_add(struct lint *l, enum lint_severity severity, const char *code, unsigned line, unsigned column,
             const char *fix, const char *format, ...) _printf_(7, 8);
/* Findings about rules that @profile's own file made. */
int lint_plan(struct lint *l, const struct policy_plan *plan, const struct store_object *profile,
              const struct lint_options *options);
