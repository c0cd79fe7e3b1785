/*
 * The monitor, the builder and init for real, with a scripted service and a scripted broker in place of the true ones.
 * Proves the kernel side alone: levels, grants, refusal, nested levels, revoke, widen, masks, files, devices, exit.
 * Runs as: root (exit 77 elsewhere).   Leaves nothing behind: its own runtime directory, its own sockets.
 */
#include <fcntl.h>
#include <linux/auto_fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/broker/broker.h"
#include "daemon/monitor/monitor.h"
#include "daemon/monitor/request.h"
#include "daemon/service/service.h"
#include "daemon/target/control.h"

enum { TEST_UID = 4711, NOBODY = 65534 };

/* What the session's shell does; each line prints one fact. "asked" names are decided by the scripted service below. */
static const char script[] =
        "echo pid=$$\n"
        "[ -e /missing ] || echo missing=ENOENT\n"
        "cat /secret/key 2>&1 | grep -q 'Permission denied' && echo secret=EACCES\n"
        "cat /live/data && echo live=read\n"
        "echo x > /live/new 2>/dev/null || echo live=readonly\n"
        "cat /deep/below/data && echo deep=read\n"
        "[ -e /deep/other ] || echo deep-other=ENOENT\n"
        "cat /single && echo single=read\n"
        "cat /masked/hidden 2>&1 | grep -q 'Permission denied' && echo masked=EACCES\n"
        "cat /masked/data && echo beside-mask=read\n"
        "[ -c /dev/null ] && echo dev=yes; echo t > /tmp/t && cat /tmp/t\n"
        "ls /proc | grep -c '^[0-9]'\n"
        "ls /\n"
        "cat /revoke-now >/dev/null 2>&1; cat /live/data 2>/dev/null || echo live=revoked\n"
        "cat /widen-now >/dev/null 2>&1; echo w > /single && echo single=written\n"
        "exit 42\n";

static char base[64];
static int failed;

static void check(bool good, const char *what) {
        printf("%s - %s\n", good ? "ok" : "not ok", what);
        failed += !good;
        fflush(stdout);
}

/* --- broker: forwards packets, answers what the service says -------------------------------------------------------- */

struct packet {
        uint32_t dev, token;
        char name[256];
};

static int test_broker(const struct broker_options *o) {
        struct pollfd p[] = { { .fd = o->fd_packets, .events = POLLIN }, { .fd = o->fd_service, .events = POLLIN } };
        int levels[64], n_levels = 0;
        uint32_t devs[64];

        if (getuid() != TEST_UID || geteuid() != TEST_UID)
                return 1;
        while (poll(p, 2, -1) > 0) {
                if (p[0].revents & POLLIN) {
                        struct autofs_v5_packet k;
                        struct packet out = { 0 };

                        if (read(o->fd_packets, &k, sizeof(k)) != sizeof(k))
                                return 1;
                        out.dev = k.dev;
                        out.token = k.wait_queue_token;
                        snprintf(out.name, sizeof(out.name), "%s", k.name);
                        fd_send(o->fd_service, &out, sizeof(out), NULL, 0);
                }
                if (p[1].revents) {
                        struct packet in;
                        int fds[1], got;
                        size_t n, n_fds;

                        if (fd_recv(o->fd_service, &in, sizeof(in), &n, fds, 1, &n_fds) != 0)
                                return 0;
                        if (n_fds == 1) {
                                devs[n_levels] = in.dev;
                                levels[n_levels++] = fds[0];
                        }
                        if (in.token) /* name "" = READY for the level just made, else FAIL: both from the daemon's group */
                                for (got = 0; got < n_levels; got++)
                                        if (in.name[0] ? devs[got] == in.dev : levels[got] == levels[0])
                                                (void)ioctl(levels[got], in.name[0] ? AUTOFS_IOC_FAIL : AUTOFS_IOC_READY,
                                                            (unsigned long)in.token);
                }
        }
        return 0;
}

/* --- service ------------------------------------------------------------------------------------------------------- */

struct script_service {
        int monitor, broker, control;
        uint32_t session, devs[64], next_node, deep;
        int status;
};

static int host(const char *name) {
        char path[128];

        snprintf(path, sizeof(path), "%s/host/%s", base, name);
        return open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

static void send_node(struct script_service *s, uint32_t type, uint32_t node, uint32_t parent, uint32_t kind, uint32_t flags,
                      const char *name, const char *target, int fd, uint32_t token) {
        struct monitor_message m = { .type = type, .session = s->session, .tag = node, .node = node, .parent = parent,
                                     .kind = kind, .flags = flags, .token = token };

        m.name_len = (uint16_t)strlen(name);
        memcpy(m.name, name, m.name_len);
        m.target_len = (uint16_t)strlen(target);
        memcpy(m.target, target, m.target_len);
        fd_send(s->monitor, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0);
        fd_close(&fd);
}

static int make_spec(void) {
        char bytes[8192] = { 0 };
        struct exec_spec h = { .magic = EXEC_SPEC_MAGIC, .n_argv = 3, .n_env = 1 };
        const char *strings[] = { "/bin/sh", "/", "sh", "-c", script, "PATH=/usr/bin:/bin" };
        size_t n = sizeof(h);
        int fd = memfd_create("spec", MFD_ALLOW_SEALING | MFD_CLOEXEC);

        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                memcpy(bytes + n, strings[i], strlen(strings[i]) + 1);
                n += strlen(strings[i]) + 1;
        }
        h.size = (uint32_t)n;
        memcpy(bytes, &h, sizeof(h));
        (void)!write(fd, bytes, n);
        return fd;
}

static void start_session(struct script_service *s, int fd_client, int fd_out) {
        struct monitor_message m = { .type = MONITOR_SESSION, .tag = 7 };
        int fds[4];
        size_t n, n_fds;

        fd_send(s->monitor, &m, sizeof(m), &fd_client, 1);
        if (fd_recv(s->monitor, &m, sizeof(m), &n, fds, 2, &n_fds) || m.type != MONITOR_SESSION_OK || n_fds != 2) {
                fprintf(stderr, "session refused: %d\n", m.error);
                _exit(3);
        }
        s->session = m.session;
        s->broker = fds[0];
        s->control = fds[1];
        send_node(s, MONITOR_NODE, 1, 0, VIEW_LEVEL, 0, "", "", -1, 0);
        send_node(s, MONITOR_NODE, 2, 1, VIEW_DIR, 0, "usr", "", open("/usr", O_PATH | O_CLOEXEC), 0);
        send_node(s, MONITOR_NODE, 3, 1, VIEW_SYMLINK, 0, "bin", "usr/bin", -1, 0);
        send_node(s, MONITOR_NODE, 4, 1, VIEW_SYMLINK, 0, "lib", "usr/lib", -1, 0);
        send_node(s, MONITOR_NODE, 5, 1, VIEW_SYMLINK, 0, "lib64", "usr/lib64", -1, 0);
        send_node(s, MONITOR_NODE, 6, 1, VIEW_PROC, 0, "proc", "", -1, 0);
        send_node(s, MONITOR_NODE, 7, 1, VIEW_DEV, 0, "dev", "", -1, 0);
        send_node(s, MONITOR_NODE, 8, 1, VIEW_TMP, 0, "tmp", "", -1, 0);
        send_node(s, MONITOR_NODE, 9, 1, VIEW_FILE, 0, "single", "", host("single"), 0);
        send_node(s, MONITOR_NODE, 10, 1, VIEW_DIR, VIEW_WRITE, "masked", "", host("masked"), 0);
        send_node(s, MONITOR_NODE, 11, 10, VIEW_MASK, VIEW_INSIDE, "", "hidden", -1, 0);
        s->next_node = 12;
        m = (struct monitor_message){ .type = MONITOR_START, .session = s->session, .tag = 8, .flags = 7, .umask = 022 };
        fds[0] = make_spec();
        fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        fds[2] = fds[3] = fd_out;
        fd_send(s->monitor, &m, sizeof(m), fds, 4);
}

static void decide(struct script_service *s, const struct packet *p) {
        struct monitor_message m = { .session = s->session };
        struct packet fail = *p;
        bool root = p->dev == s->devs[1];

        if (root && strcmp(p->name, "secret") == 0) {
                m.type = MONITOR_REFUSE;
                m.node = 1;
                m.token = p->token;
                m.error = EACCES;
                fd_send(s->monitor, &m, sizeof(m), NULL, 0);
        } else if (root && strcmp(p->name, "live") == 0 && s->next_node < 100) {
                send_node(s, MONITOR_ATTACH, s->next_node, 1, VIEW_DIR, 0, "live", "", host("live"), p->token);
                s->next_node = 100;
        } else if (root && strcmp(p->name, "deep") == 0) {
                s->deep = 50;
                send_node(s, MONITOR_ATTACH, 50, 1, VIEW_LEVEL, 0, "deep", "", -1, p->token);
        } else if (!root && p->dev == s->devs[50] && strcmp(p->name, "below") == 0) {
                send_node(s, MONITOR_ATTACH, 51, 50, VIEW_DIR, 0, "below", "", host("live"), p->token);
        } else if (strcmp(p->name, "revoke-now") == 0 || strcmp(p->name, "widen-now") == 0) {
                bool revoke = p->name[0] == 'r';

                m.type = revoke ? MONITOR_REVOKE : MONITOR_WIDEN;
                m.node = revoke ? 12 : 9;
                m.flags = VIEW_WRITE;
                fd_send(s->monitor, &m, sizeof(m), NULL, 0);
                /* in order on the same socket: the refusal is handled after it */
                m.type = MONITOR_REFUSE;
                m.node = 1;
                m.token = p->token;
                m.error = EACCES;
                fd_send(s->monitor, &m, sizeof(m), NULL, 0);
        } else
                fd_send(s->broker, &fail, sizeof(fail), NULL, 0);
}

static int test_service(const struct service_options *o) {
        struct script_service s = { .monitor = o->fd_monitor, .broker = -1, .control = -1, .status = -1 };
        bool notifier = false, started = false;

        for (;;) {
                struct pollfd p[] = { { .fd = s.monitor, .events = POLLIN }, { .fd = s.broker, .events = POLLIN },
                                      { .fd = s.control, .events = POLLIN } };
                int fds[4];
                size_t n, n_fds = 0;

                poll(p, 3, -1);
                if (p[0].revents) {
                        struct monitor_message m;

                        if (fd_recv(s.monitor, &m, sizeof(m), &n, fds, 4, &n_fds))
                                return 0;
                        if (m.type == MONITOR_CLIENT) {
                                char byte;
                                int out[1];

                                if (m.uid != TEST_UID || fd_recv(fds[0], &byte, 1, &n, out, 1, &n_fds) || n_fds != 1)
                                        return 2;
                                start_session(&s, fds[0], out[0]);
                                fd_close(&out[0]);
                        } else if (m.type == MONITOR_LEVEL) {
                                struct packet level = { .dev = m.dev, .token = m.token };

                                s.devs[m.node] = m.dev;
                                fd_send(s.broker, &level, sizeof(level), fds, 1);
                                fd_close(&fds[0]);
                        } else if (m.type == MONITOR_STARTED)
                                started = true;
                        else if (m.type == MONITOR_EXITED) {
                                fprintf(stderr, "# exited, program's wait status 0x%x\n", (unsigned)s.status);
                                return 0;
                        } else if (m.error)
                                fprintf(stderr, "# reply node %u: %s\n", m.node, strerror(m.error));
                }
                if (p[1].revents) {
                        struct packet k;

                        if (fd_recv(s.broker, &k, sizeof(k), &n, fds, 0, &n_fds)) {
                                fd_close(&s.broker);
                                continue;
                        }
                        decide(&s, &k);
                }
                if (p[2].revents) {
                        struct control_message c;

                        if (fd_recv(s.control, &c, sizeof(c), &n, fds, 1, &n_fds)) {
                                fd_close(&s.control);
                                continue;
                        }
                        if (c.type == CONTROL_NOTIFIER) {
                                notifier = true;
                                /* no broker speaks seccomp here: closed, trapped calls answer ENOSYS; hold it instead */
                        } else if (c.type == CONTROL_FAILED)
                                fprintf(stderr, "# failed at step %u: %s\n", c.step, strerror(c.value));
                        else if (c.type == CONTROL_EXITED)
                                s.status = c.value;
                        if (c.type != CONTROL_NOTIFIER)
                                fd_close_many(fds, n_fds);
                        else {
                                pid_t pid = fork(); /* answers every notification with CONTINUE */
                                if (pid == 0) {
                                        extern void continue_all(int fd);

                                        continue_all(fds[0]);
                                        _exit(0);
                                }
                                fd_close(&fds[0]);
                        }
                }
                if (notifier && started) {
                        struct control_message go = { .type = CONTROL_GO };

                        fd_send(s.control, &go, sizeof(go), NULL, 0);
                        notifier = false;
                }
        }
}

#include <linux/seccomp.h>
void continue_all(int fd);
void continue_all(int fd) {
        for (;;) {
                struct seccomp_notif req = { 0 };
                struct seccomp_notif_resp resp = { 0 };

                struct pollfd p = { .fd = fd, .events = POLLIN };

                if (poll(&p, 1, -1) < 0 || p.revents & POLLHUP)
                        return; /* no task of the session is left */
                if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &req) < 0)
                        continue;
                resp.id = req.id;
                resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
                (void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &resp);
        }
}

/* --- the test ------------------------------------------------------------------------------------------------------ */

static void write_file(const char *name, const char *text) {
        char path[128];
        int fd;

        snprintf(path, sizeof(path), "%s/host/%s", base, name);
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
        fchmod(fd, 0666);
        (void)!write(fd, text, strlen(text));
        close(fd);
}

static void make_dir(const char *name) {
        char path[128];

        snprintf(path, sizeof(path), "%s/%s", base, name);
        mkdir(path, 0755);
}

int main(void) {
        static const char *const no_dirs[] = { NULL };
        struct monitor_options o = { .policy_dirs = no_dirs, .service_uid = NOBODY, .service_gid = NOBODY,
                                     .service_main = test_service, .broker_main = test_broker };
        static const char *const facts[] = { "missing=ENOENT", "secret=EACCES", "live=read", "live=readonly", "deep=read",
                "deep-other=ENOENT", "single=read", "masked=EACCES", "beside-mask=read", "dev=yes", "live=revoked",
                "single=written" };
        struct sockaddr_un sun = { .sun_family = AF_UNIX };
        char runtime[96], state[96], out[16384], command[128];
        int pipes[2], fd, status;
        size_t n = 0;
        ssize_t m;
        pid_t monitor, client;

        if (geteuid() != 0) {
                puts("skip - the monitor needs root");
                return 77;
        }
        snprintf(base, sizeof(base), "/tmp/nono-monitor-XXXXXX");
        if (!mkdtemp(base))
                return 1;
        chmod(base, 0755);
        log_init("test-monitor", getenv("DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
        make_dir("run");
        make_dir("state");
        make_dir("host");
        make_dir("host/live");
        make_dir("host/masked");
        write_file("live/data", "live\n");
        write_file("single", "single\n");
        write_file("masked/data", "beside\n");
        write_file("masked/hidden", "SECRET\n");
        snprintf(runtime, sizeof(runtime), "%s/run", base);
        snprintf(state, sizeof(state), "%s/state", base);
        snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/run/sock", base);
        (void)!chown(state, NOBODY, NOBODY);
        o.runtime_dir = runtime;
        o.state_dir = state;
        o.socket_path = sun.sun_path;
        o.fd_listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(o.fd_listen, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(o.fd_listen, 8) < 0)
                return 1;
        chmod(sun.sun_path, 0666);
        monitor = fork();
        if (monitor == 0)
                _exit(monitor_run(&o));
        close(o.fd_listen);
        if (pipe2(pipes, O_CLOEXEC) < 0)
                return 1;
        client = fork();
        if (client == 0) {
                if (setgid(TEST_UID) < 0 || setuid(TEST_UID) < 0)
                        _exit(1);
                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                for (int i = 0; i < 100 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0; i++)
                        usleep(20000);
                fd_send(fd, "x", 1, &pipes[1], 1);
                fd_close(&pipes[1]);
                pause();
                _exit(0);
        }
        close(pipes[1]);
        while (n < sizeof(out) - 1 && (m = read(pipes[0], out + n, sizeof(out) - 1 - n)) > 0)
                n += (size_t)m;
        out[n] = '\0';
        if (getenv("DEBUG"))
                fprintf(stderr, "---\n%s---\n", out);
        for (size_t i = 0; i < ELEMENTSOF(facts); i++)
                check(strstr(out, facts[i]) != NULL, facts[i]);
        check(strstr(out, "SECRET") == NULL, "the masked content never shows");
        check(strstr(out, "pid=2\n") != NULL, "the program is the session's second process");
        kill(client, SIGKILL);
        waitpid(client, NULL, 0);
        kill(monitor, SIGTERM);
        waitpid(monitor, &status, 0);
        check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the monitor ends cleanly on SIGTERM");
        snprintf(command, sizeof(command), "rm -rf %s", base);
        check(system(command) == 0, "nothing is mounted on the runtime directory");
        return failed ? 1 : 0;
}
