/*
 * Rules — the plan of one session from its profile, the client's own rules, and what holds for every session.
 * Runs as: user nono.   Input: a decoded Spawn message (hostile).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/policy/policy.h"
#include "nono.pb-c.h"

struct service;

struct rules_request {
        const Nono__Spawn *spawn;
        uint32_t uid;
        const char *profile, *home, *tmpdir, *workdir; /* checked; profile "" for the default */
        const char *socket;                            /* path of the control socket; NULL: unknown */
        struct policy_vars vars;
};

enum { RULES_OK = 0, RULES_E_POLICY = 1, RULES_E_NOT_FOUND, RULES_E_LIMIT };

/**
 * rules_make() - compile
 * @ret_own_tmp: the session has a private /tmp
 * @err: set on an outcome
 */
int rules_make(const struct service *service, const struct rules_request *q, struct policy_plan **ret,
               bool *ret_own_tmp, struct policy_error *err);
/* The rule with its path changed, under a new id; the old one goes. Return: 0; an outcome of policy_plan_add(); -errno. */
int rules_replace(struct policy_plan *p, uint64_t id, const char *path, unsigned access, uint64_t *ret_id);
