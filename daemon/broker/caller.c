/*
 * Reading a waiting thread.
 * Runs as: the user, in the broker, parent of the session's init (Yama allows descendants).
 * Input: memory and names of hostile processes; copied once, bounded, never interpreted beyond this table.
 */
#include "daemon/broker/caller.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "daemon/broker/syscalls.h"

enum {
        CALLER_PAGE = 4096, /* smallest page of any machine: a string is read to the next multiple first */
        CALLER_TRIES = 50,  /* a walker may still be on its way to sleep when its packet is read */
        CALLER_ACCESS_READ = 1,
        CALLER_ACCESS_WRITE = 2,
};

/* Return: bytes read, NUL-terminated; -1. */
static ssize_t caller_proc(pid_t tid, const char *file, char *ret, size_t cap) {
        _cleanup_close_ int fd = -1;
        char path[64];
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, file);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -1;
        n = read(fd, ret, cap - 1);
        if (n < 0)
                return -1;
        ret[n] = '\0';
        return n;
}

int caller_status(pid_t tid, pid_t *ret_tgid, mode_t *ret_umask) {
        char text[4096];
        const char *s;

        if (caller_proc(tid, "status", text, sizeof(text)) <= 0)
                return CALLER_E_GONE;
        /* the name comes first, and the kernel escapes newlines in it: a line start is a line start */
        s = strstr(text, "\nTgid:");
        if (!s)
                return CALLER_E_GONE;
        *ret_tgid = (pid_t)strtol(s + 6, NULL, 10);
        s = strstr(text, "\nUmask:");
        *ret_umask = s ? (mode_t)strtoul(s + 7, NULL, 8) & 0777 : 077;
        return *ret_tgid > 0 ? 0 : CALLER_E_GONE;
}

/* Name and parent out of /proc/PID/stat: "PID (NAME) STATE PPID …"; the name may hold anything, so the last ')' ends it. */
static int caller_stat(pid_t pid, char *name, size_t cap, pid_t *ret_parent) {
        char text[1024], *open_at, *close_at;
        size_t n;

        if (caller_proc(pid, "stat", text, sizeof(text)) <= 0)
                return CALLER_E_GONE;
        open_at = strchr(text, '(');
        close_at = strrchr(text, ')');
        if (!open_at || !close_at || close_at < open_at || strlen(close_at) < 5)
                return CALLER_E_GONE;
        *ret_parent = (pid_t)strtol(close_at + 4, NULL, 10);
        n = MIN_OF((size_t)(close_at - open_at - 1), cap - 1);
        memcpy(name, open_at + 1, n);
        name[n] = '\0';
        for (size_t i = 0; i < n; i++)
                if (name[i] == CALLER_CHAIN_SEPARATOR)
                        name[i] = '?';
        return 0;
}

int caller_parent(pid_t pid, pid_t *ret) {
        char name[64];

        return caller_stat(pid, name, sizeof(name), ret);
}

void caller_chain(pid_t tgid, pid_t stop, char *ret, size_t cap) {
        char buf[CALLER_CHAIN_BYTES];
        size_t at = sizeof(buf) - 1; /* filled from the end: the innermost comes first */
        pid_t pid = tgid;

        buf[at] = '\0';
        for (unsigned depth = 0; depth < CALLER_CHAIN_DEPTH && pid > 1 && pid != stop; depth++) {
                char name[64];
                pid_t parent;
                size_t n;

                if (caller_stat(pid, name, sizeof(name), &parent) != 0)
                        break;
                if (parent == stop && depth > 0)
                        break; /* the session's init */
                n = strlen(name);
                if (n + 1 > at)
                        break;
                if (at < sizeof(buf) - 1)
                        buf[--at] = CALLER_CHAIN_SEPARATOR;
                at -= n;
                memcpy(buf + at, name, n);
                pid = parent;
        }
        snprintf(ret, cap, "%s", buf + at);
}

int caller_read(pid_t tid, uint64_t address, void *ret, size_t n) {
        struct iovec to = { .iov_base = ret, .iov_len = n };
        struct iovec from = { .iov_base = (void *)(uintptr_t)address, .iov_len = n };
        ssize_t got = process_vm_readv(tid, &to, 1, &from, 1, 0);

        if (got == (ssize_t)n)
                return 0;
        if (got >= 0)
                return CALLER_E_FAULT;
        return errno == ESRCH ? CALLER_E_GONE : errno == EPERM ? CALLER_E_DENIED : CALLER_E_FAULT;
}

int caller_read_string(pid_t tid, uint64_t address, char *ret, size_t cap) {
        size_t done = 0;

        while (done < cap) {
                size_t n = MIN_OF((size_t)(CALLER_PAGE - (address + done) % CALLER_PAGE), cap - done);
                int r;

                if (address + done < address)
                        return CALLER_E_FAULT;
                r = caller_read(tid, address + done, ret + done, n);
                if (r)
                        return r;
                if (memchr(ret + done, '\0', n))
                        return 0;
                done += n;
        }
        return CALLER_E_TOO_LONG;
}

int caller_absolute(pid_t tid, int dirfd, const char *path, char *ret) {
        char link[64], base[PATH_BYTES];
        ssize_t n;

        if (path[0] == '/')
                return path_join("/", path, ret) == 0 ? 0 : CALLER_E_TOO_LONG;
        if (dirfd == AT_FDCWD)
                snprintf(link, sizeof(link), "/proc/%d/cwd", (int)tid);
        else
                snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)tid, dirfd);
        n = readlink(link, base, sizeof(base) - 1);
        if (n <= 0 || base[0] != '/')
                return CALLER_E_GONE;
        base[n] = '\0';
        if (path[0] == '\0') /* AT_EMPTY_PATH */
                return path_join("/", base, ret) == 0 ? 0 : CALLER_E_TOO_LONG;
        return path_join(base, path, ret) == 0 ? 0 : CALLER_E_TOO_LONG;
}

int caller_call(pid_t tid, struct caller_call *ret) {
        char text[256];

        ret->nr = -1;
        for (unsigned i = 0; i < CALLER_TRIES; i++) {
                char *end;

                if (caller_proc(tid, "syscall", text, sizeof(text)) <= 0)
                        return CALLER_E_GONE;
                if (strncmp(text, "running", 7) == 0) {
                        sched_yield();
                        continue;
                }
                ret->nr = (int)strtol(text, &end, 10);
                for (size_t a = 0; a < ELEMENTSOF(ret->args); a++)
                        ret->args[a] = strtoull(end, &end, 16);
                return ret->nr >= 0 ? 0 : CALLER_E_GONE;
        }
        return CALLER_E_GONE;
}

/* The path of a Unix socket address, which is relative to the working directory. */
static void caller_wish_socket(pid_t tid, const struct caller_call *call, struct caller_wish *ret) {
        size_t n = (size_t)(uint32_t)call->args[2];
        struct sockaddr_un sun;
        char text[sizeof(sun.sun_path) + 1];

        memset(&sun, 0, sizeof(sun));
        if (n <= offsetof(struct sockaddr_un, sun_path) || n > sizeof(sun))
                return;
        if (caller_read(tid, call->args[1], &sun, n) != 0 || sun.sun_family != AF_UNIX || sun.sun_path[0] == '\0')
                return;
        memcpy(text, sun.sun_path, sizeof(sun.sun_path));
        text[sizeof(sun.sun_path)] = '\0';
        if (caller_absolute(tid, AT_FDCWD, text, ret->path) != 0)
                ret->path[0] = '\0';
}

static void caller_wish_path(pid_t tid, const struct caller_call *call, int8_t dir, int8_t path, char *ret) {
        char text[PATH_BYTES];

        ret[0] = '\0';
        if (path < 0 || caller_read_string(tid, call->args[path], text, sizeof(text)) != 0)
                return;
        if (caller_absolute(tid, dir >= 0 ? (int)call->args[dir] : AT_FDCWD, text, ret) != 0)
                ret[0] = '\0';
}

void caller_wish(pid_t tid, const struct caller_call *call, struct caller_wish *ret) {
        const struct call_shape *shape = call->nr >= 0 ? call_shape(call->nr) : NULL;
        uint64_t flags = 0;

        memset(ret, 0, offsetof(struct caller_wish, path));
        ret->path[0] = ret->path2[0] = '\0';
        ret->follow = true;
        if (!shape)
                return;
        if (shape->call == CALL_OPENAT2) {
                struct open_how how;

                if (caller_read(tid, call->args[2], &how, sizeof(how)) == 0)
                        flags = how.flags;
        } else if (shape->flags >= 0)
                flags = call->args[shape->flags];
        ret->operation = call_operation(shape, flags);
        switch (ret->operation) {
        case OPERATION_UNKNOWN:
        case OPERATION_LOOK:
        case OPERATION_READ:
        case OPERATION_EXECUTE:
        case OPERATION_CONNECT:
                ret->access = CALLER_ACCESS_READ;
                break;
        default:
                ret->access = CALLER_ACCESS_WRITE;
                if (shape->call == CALL_OPEN || shape->call == CALL_OPENAT2)
                        ret->access |= (flags & O_ACCMODE) == O_RDWR ? CALLER_ACCESS_READ : 0;
        }
        if (shape->call == CALL_OPEN || shape->call == CALL_OPENAT2) {
                ret->creates = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
                ret->follow = !(flags & O_NOFOLLOW);
        } else {
                ret->creates = shape->call == CALL_CREAT || shape->call == CALL_MKDIR || shape->call == CALL_MKNOD ||
                               shape->call == CALL_SYMLINK || shape->call == CALL_LINK || shape->call == CALL_RENAME;
                ret->follow = shape->flags != CALL_NO_FOLLOW && !(flags & AT_SYMLINK_NOFOLLOW) && !ret->creates &&
                              shape->call != CALL_UNLINK;
        }
        if (shape->call == CALL_CONNECT) {
                caller_wish_socket(tid, call, ret);
                return;
        }
        caller_wish_path(tid, call, shape->dir, shape->path, ret->path);
        if (shape->call == CALL_RENAME || shape->call == CALL_LINK)
                caller_wish_path(tid, call, shape->dir2, shape->path2, ret->path2);
}
