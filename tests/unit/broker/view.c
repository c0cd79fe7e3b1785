/*
 * The miniature view. Everything is mounted inside a mount namespace of the test's own.
 * Runs as: root, and as TEST_UID from view_start() on in broker and init.   Input: none.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/auto_fs.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/broker/broker.h"
#include "session.h"

#define STAGE "/mnt/.stage"
#define MUST(x)                                                                                                        \
        do {                                                                                                           \
                if (!(x)) {                                                                                            \
                        fprintf(stderr, "%s:%d: %s: %m\n", __FILE__, __LINE__, #x);                                    \
                        _exit(1);                                                                                      \
                }                                                                                                      \
        } while (0)

static void make_user_dir(const char *path) {
        MUST(mkdir(path, 0755) == 0 || errno == EEXIST);
        MUST(chown(path, TEST_UID, TEST_UID) == 0);
}

int view_prepare(void) {
        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return 77;
        if (mount("test", "/mnt", "tmpfs", 0, "mode=0755") < 0)
                return 77;
        setpgid(0, 0);
        umask(022);
        MUST(mkdir(STAGE, 0755) == 0 && mkdir("/mnt/home", 0755) == 0);
        make_user_dir(TEST_HOME);
        make_user_dir(TEST_HOME "/work");
        make_user_dir(TEST_HOME "/ro");
        return 0;
}

static int clone_tree(int fd_dir, const char *path, bool write) {
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | (write ? 0 : MOUNT_ATTR_RDONLY),
                                   .propagation = MS_PRIVATE };
        int fd = open_tree(fd_dir, path, AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

        if (fd >= 0 && mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
                fd_close(&fd);
        return fd;
}

static int mount_level_at(const char *path, int fd_pipe) {
        char options[96];

        snprintf(options, sizeof(options), "fd=%d,pgrp=%d,minproto=5,maxproto=5,indirect", fd_pipe, (int)getpgrp());
        if (mount("test", path, "autofs", MS_NOSUID | MS_NODEV, options) < 0)
                return -1;
        return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void grant_static(int fd_level, const char *name, const char *host, bool write) {
        int fd = clone_tree(AT_FDCWD, host, write);

        MUST(fd >= 0 && mkdirat(fd_level, name, 0755) == 0);
        MUST(move_mount(fd, "", fd_level, name, MOVE_MOUNT_F_EMPTY_PATH) == 0);
        close(fd);
}

/* Between clone and the session: becomes its pid 1. */
static _Noreturn void run_init(int fd_command) {
        struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
        int fd;

        MUST(mount("proc", STAGE "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0);
        MUST(chdir(STAGE) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0);
        MUST(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) == 0 && chdir("/") == 0);
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        MUST(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &ifr) == 0);
        close(fd);
        MUST(dup2(fd_command, 3) == 3);
        close_range(4, ~0U, 0);
        MUST(setsid() > 0);
        MUST(setgroups(0, NULL) == 0 && setresgid(TEST_UID, TEST_UID, TEST_UID) == 0);
        MUST(setresuid(TEST_UID, TEST_UID, TEST_UID) == 0);
        MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
        umask(027);
        session_run(3);
}

static _Noreturn void run_builder(int fd_setup, int fd_pipe, int fd_command) {
        static const char *const names[TEST_LEVELS] = { NULL, NULL, "mnt", "home", "u" };
        char path[256] = STAGE;
        int fds[TEST_LEVELS];
        pid_t init;

        MUST(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        for (int i = TEST_LEVEL_ROOT; i < TEST_LEVELS; i++) {
                if (names[i]) {
                        MUST(mkdirat(fds[i - 1], names[i], 0755) == 0);
                        strcat(path, "/");
                        strcat(path, names[i]);
                }
                fds[i] = mount_level_at(path, fd_pipe);
                if (fds[i] < 0)
                        _exit(77);
        }
        grant_static(fds[TEST_LEVEL_U], "work", TEST_HOME "/work", true);
        grant_static(fds[TEST_LEVEL_U], "ro", TEST_HOME "/ro", false);
        grant_static(fds[TEST_LEVEL_ROOT], "dev", "/dev", true);
        MUST(mkdirat(fds[TEST_LEVEL_ROOT], "tmp", 0755) == 0 && mkdirat(fds[TEST_LEVEL_ROOT], "proc", 0755) == 0);
        MUST(mkdirat(fds[TEST_LEVEL_ROOT], ".nono", 0755) == 0);
        MUST(mount("tmp", STAGE "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") == 0);
        MUST(mount("hidden", STAGE "/.nono", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0711") == 0);
        fds[0] = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC); /* before the root is another */
        MUST(fds[0] >= 0 && unshare(CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC) == 0);
        init = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
        if (init == 0)
                run_init(fd_command);
        MUST(init > 0);
        MUST(fd_send(fd_setup, &init, sizeof(init), fds, TEST_LEVELS) == 0);
        _exit(0);
}

static uint32_t level_dev(int fd) {
        struct stat st;

        MUST(fstat(fd, &st) == 0);
        return (minor(st.st_dev) & 0xffU) | (major(st.st_dev) << 8) | ((minor(st.st_dev) & ~0xffU) << 12);
}

void view_start(struct view *v, bool announce) {
        static const char *const paths[TEST_LEVELS] = { NULL, "/", "/mnt", "/mnt/home", TEST_HOME };
        int service[2], command[2], setup[2], pipe_fds[2];
        size_t n, n_fds;
        pid_t init;

        memset(v, 0, sizeof(*v));
        MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, service) == 0);
        MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, command) == 0);
        MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, setup) == 0);
        MUST(pipe2(pipe_fds, O_DIRECT | O_CLOEXEC) == 0);
        (void)fcntl(pipe_fds[1], F_SETPIPE_SZ, 1 << 20);
        v->broker = fork();
        MUST(v->broker >= 0);
        if (v->broker == 0) {
                struct broker_options o = {
                        .fd_service = service[1], .fd_packets = pipe_fds[0], .uid = TEST_UID, .gid = TEST_UID
                };
                pid_t builder = fork();

                MUST(builder >= 0);
                if (builder == 0)
                        run_builder(setup[1], pipe_fds[1], command[1]);
                MUST(setgroups(0, NULL) == 0 && setresgid(o.gid, o.gid, o.gid) == 0 &&
                     setresuid(o.uid, o.uid, o.uid) == 0);
                log_init("broker", getenv("TEST_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
                _exit(broker_run(&o));
        }
        close(service[1]);
        close(command[1]);
        close(setup[1]);
        close(pipe_fds[0]);
        v->fd_pipe_write = pipe_fds[1];
        v->fd_service = service[0];
        v->fd_command = command[0];
        if (fd_recv(setup[0], &init, sizeof(init), &n, v->fd_levels, TEST_LEVELS, &n_fds) != 0 || n_fds != TEST_LEVELS)
                exit(77); /* no autofs here */
        close(setup[0]);
        v->init = init;
        v->fd_namespace = v->fd_levels[0];
        v->fd_levels[0] = -1;
        for (int i = TEST_LEVEL_ROOT; i < TEST_LEVELS; i++)
                v->devs[i] = level_dev(v->fd_levels[i]);
        MUST(fd_recv(v->fd_command, &n, 1, &n_fds, &v->fd_notifier, 1, &n_fds) == 0 && n_fds == 1);
        if (!announce)
                return;
        for (uint32_t i = TEST_LEVEL_ROOT; i < TEST_LEVELS; i++) {
                struct broker_message m = { .type = BROKER_LEVEL, .node = i, .dev = v->devs[i] };

                view_send(v, &m, &paths[i], 1, v->fd_levels[i]);
        }
        view_send(v, &(struct broker_message){ .type = BROKER_NOTIFIER }, NULL, 0, v->fd_notifier);
        fd_close(&v->fd_notifier);
        view_send(v, &(struct broker_message){ .type = BROKER_GRANT, .node = TEST_GRANT_WORK, .flags = BROKER_F_WRITE },
                  (const char *[]){ TEST_HOME "/work" }, 1, -1);
        view_send(v, &(struct broker_message){ .type = BROKER_GRANT, .node = TEST_GRANT_RO },
                  (const char *[]){ TEST_HOME "/ro" }, 1, -1);
}

void view_stop(struct view *v) {
        int status = 0;

        kill(v->init, SIGKILL);
        fd_close(&v->fd_service);
        fd_close(&v->fd_command);
        fd_close(&v->fd_namespace);
        fd_close(&v->fd_notifier);
        fd_close(&v->fd_pipe_write);
        fd_close_many(v->fd_levels + 1, TEST_LEVELS - 1);
        for (int i = 0; i < 300; i++) {
                pid_t pid = waitpid(v->broker, &status, WNOHANG);

                if (pid == v->broker)
                        break;
                usleep(10000);
                if (i == 299) {
                        fprintf(stderr, "the broker does not end\n");
                        kill(v->broker, SIGKILL);
                        _exit(1);
                }
        }
        if (status != 0) {
                fprintf(stderr, "the broker ended with status %#x\n", (unsigned)status);
                _exit(1);
        }
        errno = 0;
        MUST(kill(v->init, 0) < 0 && errno == ESRCH);
}

void view_send(struct view *v, const struct broker_message *m, const char *const *texts, unsigned n_texts, int fd) {
        char data[sizeof(*m) + BROKER_PAYLOAD_MAX];
        size_t n = sizeof(*m);
        struct broker_message copy = *m;

        for (unsigned i = 0; i < n_texts; i++) {
                size_t len = strlen(texts[i]) + 1;

                memcpy(data + n, texts[i], len);
                n += len;
        }
        copy.size = (uint32_t)(n - sizeof(copy));
        memcpy(data, &copy, sizeof(copy));
        MUST(fd_send(v->fd_service, data, n, &fd, fd >= 0 ? 1 : 0) == 0);
}

bool view_is_silent(struct view *v, int ms) {
        struct pollfd p = { .fd = v->fd_service, .events = POLLIN };

        return poll(&p, 1, ms) == 0;
}

bool view_receive(struct view *v, struct received *ret) {
        char data[sizeof(struct broker_message) + BROKER_PAYLOAD_MAX];
        const char *s;
        size_t n;

        memset(ret, 0, sizeof(*ret));
        for (size_t i = 0; i < ELEMENTSOF(ret->texts); i++)
                ret->texts[i] = "";
        if (view_is_silent(v, 2000))
                return false;
        if (fd_recv(v->fd_service, data, sizeof(data), &n, ret->fds, 8, &ret->n_fds) != 0 || n < sizeof(ret->m))
                return false;
        memcpy(&ret->m, data, sizeof(ret->m));
        memcpy(ret->payload, data + sizeof(ret->m), ret->m.size);
        for (s = ret->payload; s < ret->payload + ret->m.size && ret->n_texts < 16; s += strlen(s) + 1)
                ret->texts[ret->n_texts++] = s;
        if (getenv("TEST_DEBUG"))
                fprintf(stderr,
                        "< type %u tag %llu node %u token %u kind %u op %u flags %u error %d: '%s' '%s' '%s' '%s' '%s'\n",
                        ret->m.type, (unsigned long long)ret->m.tag, ret->m.node, ret->m.token, ret->m.kind,
                        ret->m.operation, ret->m.flags, ret->m.error, ret->texts[0], ret->texts[1], ret->texts[2],
                        ret->texts[3], ret->texts[4]);
        return true;
}

void received_done(struct received *r) {
        fd_close_many(r->fds, r->n_fds);
        r->n_fds = 0;
}

uint32_t view_act(struct view *v, int act, const char *path, const char *path2, int flags, int mode) {
        struct command c = { .act = act, .flags = flags, .mode = mode, .id = ++v->id };

        snprintf(c.path, sizeof(c.path), "%s", path ? path : "");
        snprintf(c.path2, sizeof(c.path2), "%s", path2 ? path2 : "");
        MUST(fd_send(v->fd_command, &c, sizeof(c), NULL, 0) == 0);
        return c.id;
}

bool view_result(struct view *v, struct result *ret, int ms) {
        struct pollfd p = { .fd = v->fd_command, .events = POLLIN };
        size_t n, n_fds;

        return poll(&p, 1, ms) == 1 && fd_recv(v->fd_command, ret, sizeof(*ret), &n, NULL, 0, &n_fds) == 0 &&
               n == sizeof(*ret);
}

int view_quiet(struct view *v, int act, const char *path, const char *path2, int flags, int mode) {
        struct result r;

        view_act(v, act, path, path2, flags, mode);
        if (!view_result(v, &r, 3000)) {
                fprintf(stderr, "no result of act %d %s\n", act, path);
                return -ETIME;
        }
        return r.error ? -r.error : r.value;
}

/* Enters the session's mount namespace in a helper of our process group and does one thing there. */
static int view_inside(struct view *v, int fd_mount, int fd_dir, const char *name, const char *unmount, int widen) {
        int status;
        pid_t pid = fork();

        MUST(pid >= 0);
        if (pid == 0) {
                struct mount_attr attr = { .attr_clr = MOUNT_ATTR_RDONLY };

                MUST(setns(v->fd_namespace, CLONE_NEWNS) == 0);
                if (fd_mount >= 0)
                        MUST(move_mount(fd_mount, "", fd_dir, name, MOVE_MOUNT_F_EMPTY_PATH) == 0);
                if (unmount)
                        MUST(umount2(unmount, MNT_DETACH | UMOUNT_NOFOLLOW) == 0);
                if (widen)
                        MUST(mount_setattr(AT_FDCWD, name, 0, &attr, sizeof(attr)) == 0);
                _exit(0);
        }
        MUST(waitpid(pid, &status, 0) == pid);
        return status == 0 ? 0 : -1;
}

static int view_hidden(struct view *v) {
        static const char path[] = "/.nono";
        int fds[2], fd = -1, status;
        size_t n, n_fds;
        pid_t pid;

        MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
        pid = fork();
        if (pid == 0) {
                MUST(setns(v->fd_namespace, CLONE_NEWNS) == 0);
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                MUST(fd >= 0 && fd_send(fds[1], "", 1, &fd, 1) == 0);
                _exit(0);
        }
        MUST(waitpid(pid, &status, 0) == pid && status == 0);
        MUST(fd_recv(fds[0], &status, 1, &n, &fd, 1, &n_fds) == 0 && n_fds == 1);
        close(fds[0]);
        close(fds[1]);
        return fd;
}

int view_attach(struct view *v, int node, const char *name, int fd_object, bool write) {
        static unsigned hidden;
        _cleanup_close_ int fd_mount = clone_tree(fd_object, "", write), fd_hidden = -1, fd = -1;
        char text[64], target[96];
        struct stat st;

        MUST(fd_mount >= 0 && fstat(fd_object, &st) == 0);
        (void)unlinkat(v->fd_levels[node], name, 0); /* a planted name */
        if (S_ISDIR(st.st_mode)) {
                MUST(mkdirat(v->fd_levels[node], name, 0755) == 0);
                return view_inside(v, fd_mount, v->fd_levels[node], name, NULL, 0);
        }
        fd_hidden = view_hidden(v);
        snprintf(text, sizeof(text), "%u", ++hidden);
        snprintf(target, sizeof(target), "/.nono/%s", text);
        fd = openat(fd_hidden, text, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
        MUST(fd >= 0 && view_inside(v, fd_mount, fd_hidden, text, NULL, 0) == 0);
        MUST(symlinkat(target, v->fd_levels[node], name) == 0);
        return 0;
}

int view_detach(struct view *v, int node, const char *name) {
        return unlinkat(v->fd_levels[node], name, AT_REMOVEDIR) == 0 || unlinkat(v->fd_levels[node], name, 0) == 0 ? 0
                                                                                                                   : -1;
}

int view_attach_level(struct view *v, int parent, const char *name, int node, const char *path, uint32_t token) {
        int fds[2], pipe_fd, fd = -1, status;
        size_t n, n_fds;
        struct broker_message m = { .type = BROKER_LEVEL, .node = (uint32_t)node, .token = token };
        pid_t pid;

        /* the broker has the read end; its writers are the levels: any descriptor of the pipe will do */
        pipe_fd = v->fd_pipe_write;
        MUST(mkdirat(v->fd_levels[parent], name, 0755) == 0);
        MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
        pid = fork();
        if (pid == 0) {
                MUST(setns(v->fd_namespace, CLONE_NEWNS) == 0);
                fd = mount_level_at(path, pipe_fd);
                MUST(fd >= 0 && fd_send(fds[1], "", 1, &fd, 1) == 0);
                _exit(0);
        }
        MUST(waitpid(pid, &status, 0) == pid && status == 0);
        MUST(fd_recv(fds[0], &status, 1, &n, &fd, 1, &n_fds) == 0 && n_fds == 1);
        close(fds[0]);
        close(fds[1]);
        m.dev = level_dev(fd);
        view_send(v, &m, &path, 1, fd);
        return fd;
}

int view_plant(struct view *v, int node, const char *name) {
        return symlinkat("/.nono/missing", v->fd_levels[node], name);
}

int view_widen(struct view *v, const char *path) {
        return view_inside(v, -1, -1, path, NULL, 1);
}

int view_mask(struct view *v, const char *path, int fd) {
        _cleanup_close_ int fd_mount = clone_tree(fd, "", false);

        return fd_mount >= 0 ? view_inside(v, fd_mount, AT_FDCWD, path, NULL, 0) : -1;
}

void view_ready(struct view *v, int node, uint32_t token) {
        /* told first: the program may end, and its pidfd say so, before a later message is read */
        view_send(v, &(struct broker_message){ .type = BROKER_ANSWERED, .token = token }, NULL, 0, -1);
        usleep(10000);
        MUST(ioctl(v->fd_levels[node], AUTOFS_IOC_READY, (unsigned long)token) == 0 || errno == EINVAL);
}
