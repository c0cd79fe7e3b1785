/*
 * The keys themselves. Order here is the order in which `policy show` and `profile init` print.
 * Runs as: anyone.   Input: none.
 */
#include "daemon/policy/schema.h"

#define PATHS(name_, help_) { .name = name_, .type = SCHEMA_PATHS, .merge = MERGE_APPEND, .help = help_ }
#define STRINGS(name_, help_) { .name = name_, .type = SCHEMA_STRINGS, .merge = MERGE_APPEND, .help = help_ }
#define STRING(name_, help_) { .name = name_, .type = SCHEMA_STRING, .help = help_ }
#define BOOL(name_, merge_, help_) { .name = name_, .type = SCHEMA_BOOL, .merge = merge_, .help = help_ }
#define ENUM(name_, values_, help_) { .name = name_, .type = SCHEMA_STRING, .values = values_, .help = help_ }
#define OBJECT(name_, keys_, help_)                                                                \
        { .name = name_, .type = SCHEMA_OBJECT, .merge = MERGE_DEEP, .keys = keys_, .help = help_ }
#define ANY(name_, help_) { .name = name_, .type = SCHEMA_ANY_OBJECT, .merge = MERGE_UNION, .help = help_ }
#define OLD(name_, type_, canonical_) { .name = name_, .type = type_, .canonical = canonical_ }
#define END { .name = NULL }

static const struct schema_key schema_meta[] = {
        STRING("name", "must equal the file name without its extension"),
        STRING("version", "version of the profile, free text"),
        STRING("description", "one line for people"),
        STRING("author", "who wrote it"),
        END,
};

static const struct schema_key schema_groups[] = {
        { .name = "include", .type = SCHEMA_NAMES, .merge = MERGE_APPEND, .help = "groups to add" },
        { .name = "exclude", .type = SCHEMA_NAMES, .merge = MERGE_APPEND,
          .help = "groups to leave out; required groups cannot be" },
        END,
};

static const struct schema_key schema_filesystem[] = {
        PATHS("allow", "directories to read and write, with everything below"),
        PATHS("read", "directories to read, with everything below"),
        PATHS("write", "directories to write only"),
        PATHS("allow_file", "single files to read and write; the last component may be a pattern"),
        PATHS("read_file", "single files to read"),
        PATHS("write_file", "single files to write only"),
        PATHS("unix_socket", "Unix sockets to connect to"),
        PATHS("unix_socket_bind", "Unix sockets to connect to and to create"),
        PATHS("unix_socket_dir", "directories whose Unix sockets may be connected to"),
        PATHS("unix_socket_dir_bind", "directories whose Unix sockets may be connected to and created"),
        PATHS("unix_socket_subtree", "trees whose Unix sockets may be connected to"),
        PATHS("unix_socket_subtree_bind", "trees whose Unix sockets may be connected to and created"),
        { .name = "deny", .type = SCHEMA_PATHS, .merge = MERGE_APPEND, .narrows = true,
          .help = "paths and patterns that stay out of reach, whatever else allows them" },
        { .name = "deny_write", .type = SCHEMA_PATHS, .merge = MERGE_APPEND, .narrows = true,
          .help = "paths and patterns that stay read-only inside a writable grant" },
        { .name = "revoke", .type = SCHEMA_PATHS, .merge = MERGE_APPEND, .narrows = true,
          .help = "paths that a base profile or a group granted and this profile takes away" },
        PATHS("bypass_protection", "granted paths that a group's deny shall not cover"),
        PATHS("suppress_save_prompt", "paths never offered to be saved"),
        OLD("ignore", SCHEMA_PATHS, "filesystem.suppress_save_prompt"),
        END,
};

static const struct schema_key schema_commands[] = {
        { .name = "allow", .type = SCHEMA_STRINGS, .merge = MERGE_APPEND,
          .help = "program names that a group's list of dangerous commands shall not refuse" },
        { .name = "deny", .type = SCHEMA_STRINGS, .merge = MERGE_APPEND, .narrows = true,
          .help = "program names refused at start" },
        END,
};

static const struct schema_key schema_security[] = {
        ENUM("signal_mode", "isolated|allow_same_sandbox|allow_all", "whom the session may signal"),
        ENUM("process_info_mode", "isolated|allow_same_sandbox|allow_all", "whose processes it may look at"),
        ENUM("ipc_mode", "shared_memory_only|full", "which System V and POSIX IPC it has"),
        BOOL("capability_elevation", MERGE_CHILD, "ask a person about what is not granted"),
        ANY("approval_backends", "where approvals come from"),
        ANY("approval_defaults", "backend and timeout of approvals"),
        ENUM("wsl2_proxy_policy", "error|insecure_proxy", "kept for nono"),
        OLD("groups", SCHEMA_NAMES, "groups.include"),
        OLD("allowed_commands", SCHEMA_STRINGS, "commands.allow"),
        END,
};

/* The blog era's section; every key has moved. */
static const struct schema_key schema_policy[] = {
        OLD("exclude_groups", SCHEMA_NAMES, "groups.exclude"),
        OLD("add_allow_read", SCHEMA_PATHS, "filesystem.read"),
        OLD("add_allow_write", SCHEMA_PATHS, "filesystem.write"),
        OLD("add_allow_readwrite", SCHEMA_PATHS, "filesystem.allow"),
        OLD("add_deny_access", SCHEMA_PATHS, "filesystem.deny"),
        OLD("add_deny_commands", SCHEMA_STRINGS, "commands.deny"),
        OLD("override_deny", SCHEMA_PATHS, "filesystem.bypass_protection"),
        END,
};

static const struct schema_key schema_linux[] = {
        ENUM("af_unix_mediation", "off|pathname", "kept for nono; here Unix sockets always follow the view"),
        ENUM("sandbox_policy", "auto|landlock|external", "kept for nono"),
        END,
};

static const struct schema_key schema_network_keys[] = {
        { .name = "block", .type = SCHEMA_BOOL, .merge = MERGE_OR, .narrows = true, .help = "no network at all" },
        BOOL("allow_http2", MERGE_OR, "kept for nono"),
        { .name = "network_profile", .type = SCHEMA_STRING, .nullable = true,
          .help = "named list of hosts; null clears what a base set" },
        { .name = "allow_domain", .type = SCHEMA_DOMAINS, .merge = MERGE_APPEND,
          .help = "hosts to reach: a name, or *.suffix" },
        { .name = "deny_domain", .type = SCHEMA_DOMAINS, .merge = MERGE_APPEND, .narrows = true,
          .help = "hosts never to reach" },
        { .name = "credentials", .type = SCHEMA_STRINGS, .merge = MERGE_CLEAR, .help = "credential services to inject" },
        { .name = "open_port", .type = SCHEMA_PORTS, .merge = MERGE_APPEND,
          .help = "TCP ports of this host's loopback to reach" },
        { .name = "connect_port", .type = SCHEMA_PORTS, .merge = MERGE_APPEND,
          .help = "TCP ports to reach on any permitted host" },
        { .name = "listen_port", .type = SCHEMA_PORTS, .merge = MERGE_APPEND,
          .help = "TCP ports to listen on at this host's loopback" },
        { .name = "open_port_range", .type = SCHEMA_ANY_LIST, .merge = MERGE_APPEND, .help = "kept for nono" },
        { .name = "listen_port_range", .type = SCHEMA_ANY_LIST, .merge = MERGE_APPEND, .help = "kept for nono" },
        STRINGS("no_proxy", "kept for nono"),
        STRING("upstream_proxy", "kept for nono"),
        STRINGS("upstream_bypass", "kept for nono"),
        ANY("custom_credentials", "own credential services"),
        ANY("tls_intercept", "kept for nono"),
        OLD("proxy_allow", SCHEMA_DOMAINS, "network.allow_domain"),
        OLD("allow_proxy", SCHEMA_DOMAINS, "network.allow_domain"),
        OLD("proxy_credentials", SCHEMA_STRINGS, "network.credentials"),
        OLD("port_allow", SCHEMA_PORTS, "network.open_port"),
        OLD("allow_port", SCHEMA_PORTS, "network.open_port"),
        OLD("external_proxy", SCHEMA_STRING, "network.upstream_proxy"),
        OLD("external_proxy_bypass", SCHEMA_STRINGS, "network.upstream_bypass"),
        END,
};

static const struct schema_key schema_environment[] = {
        STRINGS("allow_vars", "variables passed on: a name, or PREFIX_*; absent: all"),
        { .name = "deny_vars", .type = SCHEMA_STRINGS, .merge = MERGE_APPEND, .narrows = true,
          .help = "variables not passed on" },
        { .name = "set_vars", .type = SCHEMA_STRING_MAP, .merge = MERGE_UNION, .help = "variables to set" },
        END,
};

static const struct schema_key schema_workdir[] = {
        { .name = "access", .type = SCHEMA_STRING, .merge = MERGE_UNLESS_NONE, .narrows = true,
          .values = "none|read|write|readwrite",
          .help = "what the session may do in the directory it starts in" },
        END,
};

static const struct schema_key schema_rollback[] = {
        STRINGS("exclude_patterns", "names left out of snapshots"),
        STRINGS("exclude_globs", "patterns left out of snapshots"),
        END,
};

static const struct schema_key schema_open_urls[] = {
        STRINGS("allow_origins", "origins the session may open in a browser"),
        BOOL("allow_localhost", MERGE_CHILD, "also http://localhost"),
        END,
};

static const struct schema_key schema_diagnostics[] = {
        STRINGS("suppress_system_services", "kept for nono"),
        END,
};

static const struct schema_key schema_platforms[] = {
        { .name = "linux", .type = SCHEMA_PROFILE, .help = "keys of a profile, on Linux only" },
        { .name = "macos", .type = SCHEMA_PROFILE, .help = "keys of a profile, on macOS only" },
        { .name = "windows", .type = SCHEMA_PROFILE, .help = "accepted, never applied" },
        END,
};

const struct schema_key schema_profile[] = {
        { .name = "$schema", .type = SCHEMA_STRING, .merge = MERGE_OWN, .narrows = true, .help = "for editors" },
        { .name = "extends", .type = SCHEMA_STRING_OR_LIST, .merge = MERGE_OWN, .help = "base profiles, left to right" },
        { .name = "meta", .type = SCHEMA_OBJECT, .merge = MERGE_OWN, .keys = schema_meta, .narrows = true,
          .help = "about the profile" },
        { .name = "binary", .type = SCHEMA_STRING, .help = "the program this profile starts" },
        { .name = "command_args", .type = SCHEMA_STRINGS, .merge = MERGE_CHILD, .help = "its first arguments" },
        OBJECT("groups", schema_groups, "named lists of grants and denies"),
        OBJECT("filesystem", schema_filesystem, "paths"),
        OBJECT("commands", schema_commands, "program names checked at start"),
        OBJECT("security", schema_security, "processes and approvals"),
        OBJECT("policy", schema_policy, "historic"),
        OBJECT("linux", schema_linux, "Linux only"),
        OBJECT("network", schema_network_keys, "hosts and ports"),
        ANY("credential_capture", "kept for nono"),
        ANY("credential_providers", "kept for nono"),
        ANY("credential_routes", "kept for nono"),
        { .name = "env_credentials", .type = SCHEMA_STRING_MAP, .merge = MERGE_UNION,
          .help = "secret references and the variables they are put in" },
        OLD("secrets", SCHEMA_STRING_MAP, "env_credentials"),
        OBJECT("environment", schema_environment, "environment variables"),
        ANY("command_policies", "kept for nono"),
        OBJECT("workdir", schema_workdir, "the directory a session starts in"),
        ANY("session_hooks", "kept for nono"),
        ANY("hooks", "historic, ignored"),
        OBJECT("rollback", schema_rollback, "snapshots"),
        { .name = "undo", .type = SCHEMA_OBJECT, .keys = schema_rollback, .canonical = "rollback" },
        { .name = "open_urls", .type = SCHEMA_OBJECT, .merge = MERGE_CHILD, .keys = schema_open_urls,
          .help = "what may be opened in a browser", .nullable = true },
        BOOL("allow_launch_services", MERGE_CHILD, "macOS: start other applications"),
        BOOL("allow_gpu", MERGE_CHILD, "reach the graphics devices"),
        BOOL("allow_parent_of_protected", MERGE_CHILD, "kept for nono"),
        OBJECT("diagnostics", schema_diagnostics, "messages after a session"),
        STRINGS("skipdirs", "kept for nono"),
        STRINGS("packs", "kept for nono"),
        BOOL("interactive", MERGE_OR, "historic, ignored"),
        STRINGS("unsafe_macos_seatbelt_rules", "macOS: raw rules of the static floor"),
        { .name = "platform_overrides", .type = SCHEMA_OBJECT, .merge = MERGE_OWN, .keys = schema_platforms,
          .help = "applied on one platform, after extends" },
        END,
};

static const struct schema_key schema_group_allow[] = {
        PATHS("read", "paths to read, with everything below"),
        PATHS("write", "paths to write only"),
        PATHS("readwrite", "paths to read and write"),
        END,
};

static const struct schema_key schema_group_deny[] = {
        PATHS("access", "paths out of reach"),
        PATHS("write", "paths that stay read-only"),
        STRINGS("commands", "program names refused at start"),
        BOOL("unlink", MERGE_CHILD, "macOS: no deletion"),
        BOOL("unlink_override_for_user_writable", MERGE_CHILD, "macOS: but inside writable grants"),
        END,
};

const struct schema_key schema_group[] = {
        STRING("description", "one line for people"),
        ENUM("platform", "linux|macos|any", "where it applies; absent: everywhere"),
        BOOL("required", MERGE_CHILD, "in every plan, cannot be excluded"),
        OBJECT("allow", schema_group_allow, "what the group grants"),
        OBJECT("deny", schema_group_deny, "what the group forbids"),
        { .name = "symlink_pairs", .type = SCHEMA_STRING_MAP, .merge = MERGE_UNION, .help = "links of the system" },
        END,
};

static const struct schema_key schema_network_group[] = {
        STRING("description", "one line for people"),
        STRINGS("hosts", "names, or *.suffix"),
        STRINGS("suffixes", "domain suffixes, with their leading dot"),
        END,
};

static const struct schema_key schema_network_profile[] = {
        STRING("description", "one line for people"),
        STRINGS("groups", "names of host lists"),
        END,
};

static const struct schema_key schema_network_credential[] = {
        STRING("description", "one line for people"),
        STRING("upstream", "base URL"),
        STRING("inject_header", "header that carries the secret"),
        STRING("credential_format", "{} stands for the secret"),
        STRING("credential_key", "where the secret is kept"),
        STRING("env_var", "variable that names it in the session"),
        END,
};

const struct schema_key schema_network[] = {
        { .name = "groups", .type = SCHEMA_OBJECT_MAP, .keys = schema_network_group, .help = "lists of hosts" },
        { .name = "profiles", .type = SCHEMA_OBJECT_MAP, .keys = schema_network_profile, .help = "sets of lists" },
        { .name = "credentials", .type = SCHEMA_OBJECT_MAP, .keys = schema_network_credential,
          .help = "services whose secret stays outside the session" },
        END,
};

const struct schema_key schema_ceiling[] = {
        STRING("description", "one line for people"),
        PATHS("deny", "paths out of reach for every session"),
        PATHS("deny_write", "paths read-only for every session"),
        BOOL("net_block", MERGE_OR, "no session has a network"),
        BOOL("forbid_always", MERGE_OR, "no approval may be saved"),
        { .name = "grant_max_seconds", .type = SCHEMA_INT, .help = "longest approval" },
        { .name = "session_max_seconds", .type = SCHEMA_INT, .help = "longest session" },
        STRINGS("allowed_profiles", "the only profiles that may run"),
        END,
};
