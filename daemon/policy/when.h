/*
 * When — predicates of groups and paths: "linux", "macos:>=15", "linux:fedora-like:>=43", "!linux:nixos".
 * Runs as: anyone.   Input: foreign text.
 */
#pragma once

#include <stdbool.h>

struct node;
struct policy_error;
struct policy_vars;

enum when_answer { WHEN_NO, WHEN_YES, WHEN_UNKNOWN };

/* @when: a string node or a list of them (any holds); NULL holds always. */
enum when_answer when_holds(const struct node *when, const struct policy_vars *vars);
/* Return: 0; POLICY_E_INVALID with @err set when the text is no predicate. */
int when_check(const struct node *when, struct policy_error *err);
