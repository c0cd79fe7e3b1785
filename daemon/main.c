/*
 * nonod — command line, listening socket, directories; then the monitor.
 * Runs as: root.   Input: our own command line and the socket systemd hands over.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "config.h"
#include "daemon/broker/broker.h"
#include "daemon/broker/sentry.h"
#include "daemon/monitor/monitor.h"
#include "daemon/service/service.h"

enum { ARG_POLICY_DIRS_MAX = 16 };

static const char *arg_socket;
static const char *arg_runtime_dir = NONOD_RUNTIME_DIR;
static const char *arg_state_dir = NONOD_STATE_DIR;
static const char *arg_policy_dirs[ARG_POLICY_DIRS_MAX + 1];
static size_t arg_n_policy_dirs;
static enum log_level arg_log_level = LOG_LEVEL_INFO;

static void usage(FILE *f) {
        fputs("nonod — runs AI coding agents in a box that the kernel enforces\n\n"
              "Usage: nonod [options]          (as root; normally started by nonod.service)\n\n"
              "  --socket=PATH         where clients connect        (default RUNTIME-DIR/nonod.sock)\n"
              "  --runtime-dir=DIR     sockets and mount points     (default " NONOD_RUNTIME_DIR ")\n"
              "  --state-dir=DIR       what outlives the daemon     (default " NONOD_STATE_DIR ")\n"
              "  --policy-dir=DIR      groups/ and profiles/; may be repeated, later ones win\n"
              "                        (default " NONOD_POLICY_DIR ")\n"
              "  --log-level=LEVEL     error, warning, info or debug (default info)\n"
              "  -h, --help            this text\n"
              "  --version             the version\n\n"
              "The service part runs as user " NONOD_USER "; create it with\n"
              "  useradd --system --no-create-home --shell /usr/sbin/nologin " NONOD_USER "\n"
              "or by installing the sysusers.d file. See nonod(8).\n",
              f);
}

/* Return: 0 go on; 1 done; -1 wrong usage. */
static int parse_argv(int argc, char **argv) {
        enum { OPT_SOCKET = 256, OPT_RUNTIME, OPT_STATE, OPT_POLICY, OPT_LOG, OPT_VERSION };
        static const struct option options[] = {
                { "socket", required_argument, NULL, OPT_SOCKET },
                { "runtime-dir", required_argument, NULL, OPT_RUNTIME },
                { "state-dir", required_argument, NULL, OPT_STATE },
                { "policy-dir", required_argument, NULL, OPT_POLICY },
                { "log-level", required_argument, NULL, OPT_LOG },
                { "version", no_argument, NULL, OPT_VERSION },
                { "help", no_argument, NULL, 'h' },
                { NULL },
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case OPT_SOCKET:
                        arg_socket = optarg;
                        break;
                case OPT_RUNTIME:
                        arg_runtime_dir = optarg;
                        break;
                case OPT_STATE:
                        arg_state_dir = optarg;
                        break;
                case OPT_POLICY:
                        if (arg_n_policy_dirs == ARG_POLICY_DIRS_MAX) {
                                fprintf(stderr, "nonod: more than %d --policy-dir\n", ARG_POLICY_DIRS_MAX);
                                return -1;
                        }
                        arg_policy_dirs[arg_n_policy_dirs++] = optarg;
                        break;
                case OPT_LOG: {
                        int level = log_level_from_string(optarg);

                        if (level < 0) {
                                fprintf(stderr, "nonod: --log-level takes error, warning, info or debug, not '%s'\n", optarg);
                                return -1;
                        }
                        arg_log_level = (enum log_level)level;
                        break;
                }
                case OPT_VERSION:
                        puts("nonod " NONOD_VERSION);
                        return 1;
                case 'h':
                        usage(stdout);
                        return 1;
                default:
                        return -1;
                }
        if (optind < argc) {
                fprintf(stderr, "nonod: unexpected argument '%s'\n", argv[optind]);
                return -1;
        }
        if (arg_n_policy_dirs == 0)
                arg_policy_dirs[arg_n_policy_dirs++] = NONOD_POLICY_DIR;
        return 0;
}

static bool make_directory(const char *path, mode_t mode, uid_t uid, gid_t gid) {
        struct stat st;

        if (mkdir(path, mode) < 0 && errno != EEXIST) {
                log_error("cannot make %s: %s", path, strerror(errno));
                return false;
        }
        if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
                log_error("%s is not a directory", path);
                return false;
        }
        if ((st.st_uid != 0 && st.st_uid != uid) || (st.st_mode & 022 & ~mode)) {
                log_error("%s belongs to somebody else or is writable by others: refusing to use it", path);
                return false;
        }
        if (chown(path, uid, gid) < 0 || chmod(path, mode) < 0) {
                log_error("cannot set owner and mode of %s: %s", path, strerror(errno));
                return false;
        }
        return true;
}

/* Held as long as we live: a second nonod on the same directory would take our staging directory from under us. */
static int lock_runtime_dir(void) {
        char path[512];
        int fd;

        snprintf(path, sizeof(path), "%s/lock", arg_runtime_dir);
        fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
                log_error("another nonod uses %s (or it cannot be locked: %s)", arg_runtime_dir, strerror(errno));
                return -1;
        }
        return fd;
}

static int open_socket(const char *path) {
        struct sockaddr_un sun = { .sun_family = AF_UNIX };
        int fd, n = sd_listen_fds(1);

        if (n > 1) {
                log_error("systemd handed over %d sockets, one was expected", n);
                return -1;
        }
        if (n == 1) {
                if (sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0) {
                        log_error("the socket from systemd is not a listening Unix stream socket");
                        return -1;
                }
                return SD_LISTEN_FDS_START;
        }
        if (strlen(path) >= sizeof(sun.sun_path)) {
                log_error("--socket: '%s' is longer than a Unix socket's name may be (%zu bytes)", path, sizeof(sun.sun_path) - 1);
                return -1;
        }
        strcpy(sun.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)unlink(path); /* the lock says that no living nonod listens there */
        if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || chmod(path, 0666) < 0 || listen(fd, 128) < 0) {
                log_error("cannot listen on %s: %s", path, strerror(errno));
                return -1;
        }
        return fd;
}

int main(int argc, char **argv) {
        struct monitor_options options = {
                .policy_dirs = arg_policy_dirs,
                .ceiling_dir = NONOD_CEILING_DIR,
                .service_main = service_run,
                .broker_main = broker_run,
                .sentry_main = sentry_run,
        };
        struct sockaddr_un sun = { .sun_family = AF_UNSPEC };
        socklen_t len = sizeof(sun);
        char socket_path[512];
        struct passwd *pw;
        bool activated;
        int r;

        r = parse_argv(argc, argv);
        if (r)
                return r > 0 ? EXIT_SUCCESS : 2;
        log_init("nonod", arg_log_level);
        if (geteuid() != 0) {
                log_error("nonod must be started as root (systemctl start nonod)");
                return EXIT_FAILURE;
        }
        pw = getpwnam(NONOD_USER);
        if (!pw || pw->pw_uid == 0) {
                log_error("there is no user '" NONOD_USER "' for the service part; create it with: "
                          "useradd --system --no-create-home --shell /usr/sbin/nologin " NONOD_USER);
                return EXIT_FAILURE;
        }
        options.service_uid = pw->pw_uid;
        options.service_gid = pw->pw_gid;
        umask(022);
        if (!make_directory(arg_runtime_dir, 0755, 0, 0) ||
            !make_directory(arg_state_dir, 0700, options.service_uid, options.service_gid) || lock_runtime_dir() < 0)
                return EXIT_FAILURE;
        snprintf(socket_path, sizeof(socket_path), "%s/nonod.sock", arg_runtime_dir);
        activated = sd_listen_fds(0) > 0;
        options.fd_listen = open_socket(arg_socket ? arg_socket : socket_path);
        if (options.fd_listen < 0)
                return EXIT_FAILURE;
        if (getsockname(options.fd_listen, (struct sockaddr *)&sun, &len) < 0 || sun.sun_path[0] != '/') {
                log_error("the listening socket needs an absolute path");
                return EXIT_FAILURE;
        }
        options.socket_path = sun.sun_path;
        options.runtime_dir = arg_runtime_dir;
        options.state_dir = arg_state_dir;
        r = monitor_run(&options);
        if (!activated)
                (void)unlink(sun.sun_path);
        return r;
}
