/*
 * Show — groups and profiles as JSON, in the shapes nono's scripts know.
 * Runs as: anyone.   Input: a store of checked files.
 */
#pragma once

#include <stdbool.h>

#include <jansson.h>

#include "daemon/policy/policy.h"

/**
 * show_groups() - [{name, description, platform, required, allow, deny}], with counts instead of paths
 * @all: also the groups of other platforms
 * Return: 0; -ENOMEM.
 */
int show_groups(const struct policy_store *s, const struct policy_vars *vars, bool all, json_t **ret);
/* One group in full; paths as {raw, expanded}. Return: 0; POLICY_E_NOT_FOUND; -ENOMEM. */
int show_group(const struct policy_store *s, const char *name, const struct policy_vars *vars, json_t **ret);
/**
 * show_profile() - a profile with all it inherits; the keys of nono 0.20 and of today side by side
 * Return: 0; POLICY_E_* with @err set; -ENOMEM.
 */
int show_profile(const struct policy_store *s, const char *name, const struct policy_vars *vars, json_t **ret,
                 struct policy_error *err);
/* The same as a profile file that stands alone: no extends, nothing that was revoked. */
int show_profile_file(const struct policy_store *s, const char *name, const struct policy_vars *vars, json_t **ret,
                      struct policy_error *err);
/* What the profile itself says about its origin: {name, description, extends}. Return: as show_group(). */
int show_profile_head(const struct policy_store *s, const char *name, json_t **ret);
/* {profile1, profile2, …}: lists as {added, removed}, values as {profile1, profile2, changed}. */
int show_diff(const struct policy_store *s, const char *a, const char *b, const struct policy_vars *vars, json_t **ret,
              struct policy_error *err);
/* Does any part of a show_diff() differ? */
bool show_diff_is_empty(const json_t *diff);
/* "~/x" for people: what it expands to here, heap; NULL when it expands to nothing or to itself. */
char *show_expanded(const char *raw, const struct policy_vars *vars);
/**
 * show_plan() - a plan as JSON: what $NONO_STATE_FILE holds inside a session, for nonoctl why --self
 * {profile, workdir, network: {block, open_port, allow_domain, deny_domain}, rules: [{id, effect, origin, access, file,
 * pattern, lift, revoke, path, raw, source, line, group}]}; members without a value are left out.
 * NULL when memory is out.
 */
json_t *show_plan(const struct policy_plan *plan);
/* The same as text, heap. */
char *show_plan_text(const struct policy_plan *plan);
/* Before files can no longer be opened: the JSON library reads its randomness. */
void show_start(void);
/* The way back; settings other than name and network are not restored. Return: 0; POLICY_E_INVALID with @err set; -ENOMEM. */
int show_plan_load(const char *text, size_t n, const char *source, struct policy_plan **ret, struct policy_error *err);
