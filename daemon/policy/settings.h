/*
 * Settings — what a merged profile says besides paths.
 * Runs as: anyone.   Input: checked trees.
 */
#pragma once

#include "daemon/policy/policy.h"

struct extends_chain;
struct node;
struct policy_plan;

/**
 * settings_fill() - program, working directory, network, environment
 * @deny_commands: names that groups refuse, as a list node
 * Return: 0; POLICY_E_INVALID with @err set (unknown network profile); -ENOMEM.
 */
int settings_fill(const struct policy_store *s, const struct extends_chain *chain, const struct node *deny_commands,
                  struct policy_plan *plan, struct policy_error *err);
