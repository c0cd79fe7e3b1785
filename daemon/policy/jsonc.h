/*
 * JSONC — JSON with comments, made plain JSON of the same size.
 * Runs as: anyone.   Input: foreign bytes.
 */
#pragma once

#include <stddef.h>

struct policy_error;

enum { JSONC_DEPTH_MAX = 32 };

/**
 * jsonc_blank() - turn comments into spaces, so that every offset, line and column stays what it was
 * @text: changed in place; @n bytes
 * Also bounds the nesting, before any parser descends.
 * Return: 0; POLICY_E_INVALID with @err set (unclosed comment, too deep, a NUL byte).
 */
int jsonc_blank(char *text, size_t n, const char *source, struct policy_error *err);
