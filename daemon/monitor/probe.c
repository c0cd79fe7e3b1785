/*
 * The start-up probe. A missing kernel feature means that nonod refuses to serve, never that a session is weaker.
 * Runs as: root, in forked children that end with it.   Input: none.
 */
#include "daemon/monitor/probe.h"

#include <fcntl.h>
#include <linux/auto_fs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "daemon/target/filter.h"
#include "daemon/target/mount.h"

enum { PROBE_WAIT_MS = 2000 };

/* Exit status of the child; the reason is written for people. */
enum probe_result {
        PROBE_OK = 0,
        PROBE_NAMESPACE,
        PROBE_LEVEL,
        PROBE_SILENT,
        PROBE_ANSWER,
        PROBE_CLONE,
        PROBE_FILTER,
};

static const char *const probe_reasons[] = {
        [PROBE_NAMESPACE] = "cannot make a mount namespace (CAP_SYS_ADMIN is missing: a container without privileges?)",
        [PROBE_LEVEL] = "cannot mount autofs (load the module: modprobe autofs4; CONFIG_AUTOFS_FS)",
        [PROBE_SILENT] = "an autofs level does not ask about missing names on this kernel",
        [PROBE_ANSWER] = "an autofs level does not take an answer on this kernel",
        [PROBE_CLONE] = "mount_setattr(2) is missing (Linux 5.12 or newer is needed)",
        [PROBE_FILTER] = "seccomp user notification with WAIT_KILLABLE_RECV is missing (Linux 5.19 or newer is needed)",
};

static enum probe_result probe_level(const char *staging) {
        int packets[2], fd_level, fd_dir, fd_clone, status;
        struct autofs_v5_packet packet;
        struct pollfd p = { .events = POLLIN };
        pid_t walker;

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return PROBE_NAMESPACE;
        if (pipe2(packets, O_DIRECT | O_CLOEXEC) < 0)
                return PROBE_LEVEL;
        fd_level = mount_level(AT_FDCWD, staging, packets[1], getpgrp());
        if (fd_level < 0)
                return PROBE_LEVEL;
        walker = fork();
        if (walker == 0) {
                setsid(); /* a process in the daemon's group never asks */
                _exit(faccessat(fd_level, "missing", F_OK, 0) < 0 ? errno : 0);
        }
        if (walker < 0)
                return PROBE_NAMESPACE;
        p.fd = packets[0];
        if (poll(&p, 1, PROBE_WAIT_MS) != 1 || read(packets[0], &packet, sizeof(packet)) != (ssize_t)sizeof(packet)) {
                kill(walker, SIGKILL);
                waitpid(walker, NULL, 0);
                return PROBE_SILENT;
        }
        if (ioctl(fd_level, AUTOFS_IOC_FAIL, (unsigned long)packet.wait_queue_token) < 0) {
                kill(walker, SIGKILL);
                waitpid(walker, NULL, 0);
                return PROBE_ANSWER;
        }
        if (waitpid(walker, &status, 0) != walker || !WIFEXITED(status) || WEXITSTATUS(status) != ENOENT)
                return PROBE_ANSWER;
        fd_dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd_clone = fd_dir < 0 ? -1 : mount_clone(fd_dir, false);
        return fd_clone < 0 ? PROBE_CLONE : PROBE_OK;
}

static enum probe_result probe_child(const char *staging, const struct sock_fprog *filter) {
        enum probe_result result = probe_level(staging);

        if (result)
                return result;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_install(filter) < 0)
                return PROBE_FILTER;
        return PROBE_OK;
}

int probe_run(const char *staging, const struct sock_fprog *filter, char *reason, size_t size) {
        int status;
        pid_t pid;

        pid = fork();
        if (pid < 0)
                return err_raise(-errno);
        if (pid == 0)
                _exit((int)probe_child(staging, filter));
        if (waitpid(pid, &status, 0) != pid)
                return err_raise(-errno);
        if (WIFEXITED(status) && WEXITSTATUS(status) == PROBE_OK)
                return 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) < (int)ELEMENTSOF(probe_reasons) && probe_reasons[WEXITSTATUS(status)])
                snprintf(reason, size, "%s", probe_reasons[WEXITSTATUS(status)]);
        else
                snprintf(reason, size, "the start-up probe died");
        return -EOPNOTSUPP;
}
