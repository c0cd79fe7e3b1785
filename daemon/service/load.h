/*
 * Load — the policy files of root's directories, read once at start.
 * Runs as: user nono, before it confines itself.   Input: root-owned files.
 */
#pragma once

struct policy_store;
struct service;

/* A file that does not load is an error, logged with file, line and column: a policy is never used in part. Return: 0; -errno. */
int load_policy(struct policy_store *store, const char *const *dirs, const char *ceiling_dir);
/* ID, ID_LIKE and VERSION_ID of os-release(5); what is missing stays NULL. */
void load_os_release(struct service *service);
