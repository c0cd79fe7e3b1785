/*
 * Policy verbs — policy, profile, why, completion; and what they share.
 * Runs as: the user.   Input: the person's arguments and files.
 */
#pragma once

#include <stdbool.h>

#include <jansson.h>

int cmd_policy(int argc, char **argv);
int cmd_profile(int argc, char **argv);
int cmd_why(int argc, char **argv);
int cmd_completion(int argc, char **argv);

/* Sub-verbs that both `policy` and `profile` have; argv[0] is what the person typed. */
int policy_groups(int argc, char **argv);
int policy_list(int argc, char **argv);
int policy_show(int argc, char **argv);
int policy_diff(int argc, char **argv);
int policy_validate(int argc, char **argv);

struct subverb {
        const char *name;
        int (*run)(int argc, char **argv);
};
/* Runs the sub-verb argv[1] of a table that ends with a NULL name; @help for --help and for none. */
int subverb_run(int argc, char **argv, const char *help, const struct subverb *verbs);

/* The readable forms of what daemon/policy/show.h makes. @raw: do not say what paths expand to. */
struct policy_vars;
void policy_text_group(const json_t *group);
void policy_text_profile(const json_t *profile, const struct policy_vars *vars, bool raw);
void policy_text_diff(const json_t *diff);

/* The authoring guide, Markdown. */
extern const char profile_guide[];
