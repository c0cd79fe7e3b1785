/*
 * Control — between a session's init (pid 1 of its namespace, the user's uid) and the service.
 *
 * One SOCK_SEQPACKET pair; the session's programs never hold it (close-on-exec, init is not dumpable).
 */
#pragma once

#include <stdint.h>

enum control_type {
        /* init → service */
        CONTROL_NOTIFIER = 1, /* [seccomp listener] */
        CONTROL_TTY,          /* [pty master of the session's devpts] */
        CONTROL_STARTED,      /* exec succeeded; .pid in the session's namespace */
        CONTROL_FAILED,       /* .value errno, .step: nothing runs */
        CONTROL_STOPPED,      /* the program's process group was stopped by signal .value */
        CONTROL_EXITED,       /* .value wait status as in waitpid(2); init ends after it */

        /* service → init */
        CONTROL_GO = 64, /* levels and notifier are in place: exec now */
        CONTROL_SIGNAL,  /* send .value to the program's process group */
        CONTROL_CONTINUE, /* make the program's group the terminal's foreground again and send SIGCONT */
};
enum control_step { CONTROL_STEP_SETUP = 1, CONTROL_STEP_CHDIR, CONTROL_STEP_EXEC };

struct control_message {
        uint32_t type;
        int32_t value;
        int32_t pid;
        uint32_t step;
};

/*
 * Exec spec — a sealed memfd (F_SEAL_SHRINK | GROW | WRITE | SEAL) with this header, then NUL-terminated strings:
 * the program's path, working directory, n_argv arguments, n_env "NAME=value". The client writes it; the service
 * checks and rewrites it; only init reads it, after it has dropped every privilege.
 */
#define EXEC_SPEC_MAGIC 0x6f6e6f6eU
enum {
        EXEC_SPEC_MAX = 2 * 1024 * 1024, /* bytes, all together */
        EXEC_SPEC_ARGS_MAX = 32768,
};
struct exec_spec {
        uint32_t magic;
        uint32_t size; /* of everything, header included */
        uint32_t n_argv, n_env;
        uint16_t rows, columns; /* of the terminal; 0: unknown */
        uint32_t tty_mask;      /* bit n: descriptor n is the terminal */
};
