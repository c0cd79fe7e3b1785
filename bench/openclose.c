/*
 * Bench helper: file calls in a loop, timed inside, so that starting a program is not part of it.
 *
 *      openclose open FILE N      N times open and close
 *      openclose stat FILE N      N times stat
 *      openclose resolve DIR N R  R rounds of a module resolver: N missing package names, each looked for in node_modules of DIR
 *                                 and of every directory above it
 *      openclose spawn PROGRAM N  N times fork, exec, wait
 *      openclose run COMMAND...   COMMAND once, its output thrown away
 *
 * Prints nanoseconds. Runs as: anyone.   Input: our own command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int bench_open(const char *path, long n) {
        for (long i = 0; i < n; i++) {
                int fd = open(path, O_RDONLY | O_CLOEXEC);

                if (fd < 0)
                        return -errno;
                close(fd);
        }
        return 0;
}

static int bench_stat(const char *path, long n) {
        struct stat st;

        for (long i = 0; i < n; i++)
                if (stat(path, &st) < 0)
                        return -errno;
        return 0;
}

static int bench_resolve(const char *dir, long n, long rounds) {
        for (long r = 0; r < rounds; r++)
                for (long i = 0; i < n; i++) {
                        char base[3000], path[4000];
                        struct stat st;

                        snprintf(base, sizeof(base), "%s", dir);
                        for (;;) {
                                char *slash = strrchr(base, '/');

                                snprintf(path, sizeof(path), "%s/node_modules/missing-%ld", base, i);
                                if (stat(path, &st) == 0)
                                        return -EEXIST;
                                if (errno != ENOENT && errno != ENOTDIR)
                                        return -errno;
                                if (!slash)
                                        break;
                                *slash = '\0';
                        }
                }
        return 0;
}

static int bench_spawn(const char *program, long n) {
        char *argv[] = { (char *)program, NULL }, *envp[] = { NULL };

        for (long i = 0; i < n; i++) {
                pid_t pid;
                int status, r = posix_spawn(&pid, program, NULL, NULL, argv, envp);

                if (r)
                        return -r;
                if (waitpid(pid, &status, 0) < 0 || status != 0)
                        return -ECHILD;
        }
        return 0;
}

static int bench_run(char **argv) {
        posix_spawn_file_actions_t actions;
        int status, r;
        pid_t pid;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
        r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
        if (r)
                return -r;
        if (waitpid(pid, &status, 0) < 0 || status != 0)
                return -ECHILD;
        return 0;
}

int main(int argc, char **argv) {
        long n = argc > 3 ? atol(argv[3]) : 0, rounds = argc > 4 ? atol(argv[4]) : 1;
        long long start = now();
        int r = -EINVAL;

        if (argc > 2 && strcmp(argv[1], "run") == 0)
                r = bench_run(argv + 2);
        else if (n > 0 && strcmp(argv[1], "open") == 0)
                r = bench_open(argv[2], n);
        else if (n > 0 && strcmp(argv[1], "stat") == 0)
                r = bench_stat(argv[2], n);
        else if (n > 0 && strcmp(argv[1], "resolve") == 0)
                r = bench_resolve(argv[2], n, rounds);
        else if (n > 0 && strcmp(argv[1], "spawn") == 0)
                r = bench_spawn(argv[2], n);
        if (r < 0) {
                fprintf(stderr, "openclose: %s\n", strerror(-r));
                return 1;
        }
        printf("%lld\n", now() - start);
        return 0;
}
