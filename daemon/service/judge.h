/*
 * Judge — what the rules say about a request. Pure: plan and request in, ruling out.
 * Runs as: user nono.   Input: requests whose paths were checked.
 */
#pragma once

#include <stdbool.h>

#include "daemon/policy/policy.h"
#include "daemon/service/request.h"

enum ruling_what {
        RULING_REFUSE,  /* .rule or .reason say why */
        RULING_HOST,    /* nobody is asked: the host refuses this user */
        RULING_MISSING, /* nothing there after all */
        RULING_ATTACH,  /* the object itself, .write */
        RULING_LEVEL,   /* on the way to something granted */
        RULING_LINK,    /* a symbolic link whose target may be had */
        RULING_ALLOW,   /* a change may be made */
        RULING_ASK,     /* .path, .access … are the question */
};

struct ruling {
        enum ruling_what what;
        const struct policy_rule *rule; /* borrowed from the plan */
        Nono__Reason reason;
        bool write;
        bool deny_below; /* ATTACH of a directory: some rule denies something inside */
        unsigned access;
        bool directory;
        char path[POLICY_PATH_MAX];
        char second[POLICY_PATH_MAX]; /* "" : none */
};

void judge_walk(const struct policy_plan *plan, const struct request *q, bool own_tmp, struct ruling *ret);
/*
 * Where a WIDEN has to make the view writable: the object that is written; the directory when names in it change.
 * @second: of the other name of a rename or link. Return: false when there is no such place.
 */
bool judge_place(const struct request *q, bool second, char ret[POLICY_PATH_MAX]);
/* CHANGE and WIDEN. */
void judge_change(const struct policy_plan *plan, const struct request *q, struct ruling *ret);
