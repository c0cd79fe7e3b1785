/*
 * Glob — name patterns of rules, component by component.
 * Runs as: anyone.   Input: patterns of policy files, paths of anyone.
 */
#pragma once

#include <stdbool.h>

/* The pattern matches @path or a directory above it. */
bool policy_glob_covers(const char *pattern, const char *path);
/* The pattern can match something strictly below @path, whether it exists or not. */
bool policy_glob_reaches_below(const char *pattern, const char *path);
