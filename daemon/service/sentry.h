/*
 * Sentry — denied name patterns inside granted directories: which sessions need judged opens, which nodes, and what the
 * process that judges them and the broker are told.
 * Runs as: user nono.   Input: the plan; descriptors that were judged.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct policy_plan;
struct policy_rule;
struct run;

/* Some rule denies reading by a pattern: the session has a sentry from the start. */
bool sentry_is_needed(const struct policy_plan *plan);
/**
 * sentry_open() - tell broker and sentry the patterns
 * @fd: the sentry's socket, consumed in every case; -1: there is none
 * Return: 0; -errno: the session must not start.
 */
int sentry_open(struct run *r, int fd);
/* A pattern that is denied from now on. What was attached without a sentry stays so, and the log says it. */
void sentry_add(struct run *r, const struct policy_rule *rule);
/* VIEW_SENTRY when a pattern reaches below a granted directory @path; else 0. */
uint32_t sentry_flag(const struct run *r, uint32_t kind, const char *path);
/* Before the node is attached. @fd: borrowed. Return: 0; -errno: it must not be attached. */
int sentry_tell(struct run *r, const char *path, int fd);
