/*
 * Policy — from JSON bytes to a compiled plan, and from a path to a verdict.
 * Runs as: anyone (service: user nono; nonoctl: the user).   Input: JSON bytes of root-owned files, or of the user's own.
 *
 * Pure: bytes in, plan or verdict out. No system call, no clock, no global. The caller reads files and
 * hands the bytes in; the caller says which variables expand to what.
 *
 *      store   parsed groups and profiles, each with its source label and the line of every rule
 *      plan    what one session may do: rules of all groups and profiles resolved, paths expanded
 *      verdict the plan's answer for one absolute path
 *
 * Order of precedence (deny wins): ceiling deny, required group deny, profile deny, session deny,
 * grants (static or approved), ask.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct policy_store;
struct policy_plan;

enum {
        POLICY_TEXT_MAX = 1024 * 1024, /* bytes of one policy file */
        POLICY_EXTENDS_DEPTH_MAX = 10,
        POLICY_RULES_MAX = 4096, /* rules of one plan */
        POLICY_PATH_MAX = 4096,
};

/* Access bits. READ covers opening for reading, listing and executing, as in nono. */
enum { POLICY_READ = 1, POLICY_WRITE = 2 };

enum policy_effect { POLICY_ALLOW, POLICY_DENY };

/* Where a rule comes from; also its strength when rules collide. */
enum policy_origin {
        POLICY_FROM_CEILING,        /* /etc/nono/policy.d */
        POLICY_FROM_REQUIRED_GROUP, /* cannot be lifted by a profile */
        POLICY_FROM_GROUP,
        POLICY_FROM_PROFILE,
        POLICY_FROM_FLAG,    /* nonoctl run --read … */
        POLICY_FROM_SESSION, /* an approval, or nonoctl grant */
};

/*
 * Which denies an allow overrides for its path and below: `filesystem.bypass_protection` of root's own profiles lifts
 * the denies of groups, required ones included; a user's profile lifts those of ordinary groups. No allow lifts a
 * deny of the ceiling, of a profile or of a session.
 */
enum { POLICY_LIFT_GROUP = 1, POLICY_LIFT_REQUIRED_GROUP = 2, POLICY_LIFT_REVOKE = 4 };

struct policy_rule {
        uint64_t id; /* unique in the plan, never 0 */
        enum policy_effect effect;
        enum policy_origin origin;
        unsigned access; /* POLICY_READ | POLICY_WRITE: granted, or denied */
        bool file;       /* this one object; else the whole tree below */
        bool pattern;    /* `path` holds *, ? or ** and is matched with policy_glob_match() */
        char *path;      /* owned; absolute, normalised (no //, ., .., trailing /), variables expanded */
        char *raw;       /* owned; as written in the file; NULL when equal to path */
        char *source;    /* owned; "profiles/claude-code.json", "groups/deny_credentials.json", "--read" */
        char *group;     /* owned; group name, NULL outside groups */
        unsigned line;   /* 1-based line in source; 0 when there is none */
        unsigned lift;   /* allow only: POLICY_LIFT_* */
        bool revoke;     /* deny only: `filesystem.revoke` took this out of a wider grant that a base profile made */
};

/* A policy error: file:line:column and what was expected. Always printable (foreign bytes escaped). */
struct policy_error {
        char source[256];
        unsigned line, column;
        char message[512];
};

enum policy_kind {
        POLICY_GROUP,   /* policy.d/groups/NAME.json */
        POLICY_PROFILE, /* policy.d/profiles/NAME.json */
        POLICY_NETWORK, /* policy.d/network/NAME.json: named host lists and the profiles made of them */
        POLICY_CEILING, /* /etc/nono/policy.d/NAME.json; all of them hold together */
        POLICY_PROJECT, /* .nono/profile.json of a working directory: may only narrow */
};

/* Outcomes (r > 0) of the functions below; the error says which and where. */
enum { POLICY_OK = 0, POLICY_E_INVALID = 1, POLICY_E_NOT_FOUND, POLICY_E_LIMIT };

struct policy_store *policy_store_new(void);
struct policy_store *policy_store_free(struct policy_store *s);
DEFINE_CLEANUP(struct policy_store, policy_store_free);

/**
 * policy_store_add() - parse one file and keep it
 * @name:    object name, from the file name without ".json"; a profile's meta.name must not contradict it
 * @text:    borrowed; @n bytes, not NUL-terminated; strict JSON, comments accepted (JSONC)
 * @source:  copied; the label that errors and rules carry
 * @user:    the file belongs to the user, not to root: historic keys are accepted either way, but such a
 *           profile can never lift a required group's deny
 * A later object of the same kind and name replaces the earlier one, but a user's group never replaces one of root.
 * Return: 0; POLICY_E_INVALID with @err set; POLICY_E_LIMIT when the store is full; -ENOMEM.
 */
int policy_store_add(struct policy_store *s, enum policy_kind kind, const char *name, const char *text, size_t n,
                     const char *source, bool user, struct policy_error *err);

/**
 * policy_store_names() - list what is there, in name order
 * @ret_names: array of *ret_n borrowed names; free() the array
 * Return: 0; -ENOMEM.
 */
int policy_store_names(const struct policy_store *s, enum policy_kind kind, const char ***ret_names, size_t *ret_n);

bool policy_store_has(const struct policy_store *s, enum policy_kind kind, const char *name);

/* What all files of the ceiling say together; strings live as long as the store does not change. */
struct policy_ceiling {
        bool net_block;                      /* no session has a network */
        bool forbid_always;                  /* no approval may be saved */
        uint64_t grant_max_us;               /* longest approval; 0: no limit */
        uint64_t session_max_us;             /* longest session; 0: no limit */
        const char *const *allowed_profiles; /* NULL: every profile; else NULL-terminated */
};
/* Denies of the ceiling are in every plan; policy_compile() refuses a profile that is not allowed. */
struct policy_ceiling policy_store_ceiling(const struct policy_store *s);

/* What ~, $HOME, … expand to. NULL members are left literal and their rules dropped. All absolute. */
struct policy_vars {
        const char *home, *workdir, *tmpdir, *config_home, *data_home, *state_home, *cache_home, *runtime_dir;
        uint32_t uid;
        bool macos; /* which platform's groups, predicates and overrides apply */
        /* For `when`, from os-release(5): ID, ID_LIKE, VERSION_ID. NULL: unknown, then no grant depends on it holding. */
        const char *distro, *distro_like, *os_version;
};

enum policy_workdir { POLICY_WORKDIR_NONE = 0, POLICY_WORKDIR_READ = 1, POLICY_WORKDIR_WRITE = 2, POLICY_WORKDIR_READWRITE = 3 };

/**
 * policy_compile() - resolve one profile (extends, groups, variables, predicates) into a plan
 * @profile: name in the store; NULL means "default"
 * With `workdir.access` and a @vars->workdir the grant of the working directory is a rule of the plan like any other.
 * Return: 0; POLICY_E_NOT_FOUND or POLICY_E_INVALID or POLICY_E_LIMIT with @err set; -ENOMEM.
 */
int policy_compile(const struct policy_store *s, const char *profile, const struct policy_vars *vars,
                   struct policy_plan **ret, struct policy_error *err);
struct policy_plan *policy_plan_free(struct policy_plan *p);
DEFINE_CLEANUP(struct policy_plan, policy_plan_free);
/* An empty plan: no rule, everything is asked. For a client that sends its rules one by one. */
struct policy_plan *policy_plan_new(void);

/* Settings of the plan besides rules; strings live as long as the plan. */
struct policy_settings {
        const char *name, *description;
        const char *program;          /* profile key `binary`; NULL: the profile names no program */
        const char *const *args;      /* `command_args`, NULL-terminated, may be NULL */
        enum policy_workdir workdir;  /* workdir.access */
        bool net_block;
        const uint16_t *open_ports;   /* network.open_port */
        size_t n_open_ports;
        const uint16_t *listen_ports; /* network.listen_port */
        size_t n_listen_ports;
        /* network.allow_domain and the hosts of network.network_profile: "host", "*.suffix"; NULL: none named */
        const char *const *allow_domains;
        const char *const *deny_domains; /* network.deny_domain */
        const char *const *deny_commands; /* program names, commands.deny and groups, less commands.allow */
        const char *const *allow_vars; /* environment.*; NULL: absent. Entries exact or PREFIX_* */
        const char *const *deny_vars;
        const char *const *set_vars; /* "NAME=value" */
};
const struct policy_settings *policy_plan_settings(const struct policy_plan *p);

/**
 * policy_plan_add() - add one rule (flag, approval, ceiling); the rule is copied, its id is assigned
 * @ret_id: may be NULL
 * Return: 0; POLICY_E_INVALID when the path is not absolute and normalised; POLICY_E_LIMIT; -ENOMEM.
 */
int policy_plan_add(struct policy_plan *p, const struct policy_rule *rule, uint64_t *ret_id);
/* Return: 0; POLICY_E_NOT_FOUND. */
int policy_plan_remove(struct policy_plan *p, uint64_t id);
/* Rules in file order; borrowed until the next add or remove. */
const struct policy_rule *policy_plan_rules(const struct policy_plan *p, size_t *ret_n);

enum policy_answer {
        POLICY_ANSWER_ASK = 0, /* no rule speaks: a person decides, or deny */
        POLICY_ANSWER_DENY,    /* a deny covers the path */
        POLICY_ANSWER_GRANT,   /* an allow covers the path with @access */
        POLICY_ANSWER_DESCEND, /* nothing covers it, but some allow lies below: the path is a level */
};

struct policy_verdict {
        enum policy_answer answer;
        unsigned granted;               /* access bits that allows cover and no deny takes, whatever was asked */
        const struct policy_rule *rule; /* the deny, or the closest allow; NULL for ASK and DESCEND */
        bool deny_below;                /* GRANT only: some deny lies below the path (needs masks or levels) */
};

/**
 * policy_verdict() - judge one path
 * @path:   absolute and normalised, NUL-terminated
 * @access: POLICY_READ, POLICY_WRITE or both; all bits must be covered for GRANT
 * A DENY of only WRITE (access = POLICY_WRITE) makes a granted tree read-only below it.
 * No allocation; at most O(length of path + number of patterns).
 */
struct policy_verdict policy_verdict(const struct policy_plan *p, const char *path, unsigned access);

/* gitignore-like: `*` and `?` stop at '/', `**` crosses it; a leading `**` component matches at any depth. */
bool policy_glob_match(const char *pattern, const char *path);
/* Absolute, no empty, `.` or `..` component, no trailing '/', < POLICY_PATH_MAX. "/" is fine. */
bool policy_path_is_normalised(const char *path);
/* "name" is that host; "*.suffix" is every host below the suffix. ASCII case and a final dot do not matter. */
bool policy_host_match(const char *pattern, const char *host);
