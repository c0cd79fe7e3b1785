/*
 * Any bytes as a stream of frames. First byte: bit 0 which side decodes, bit 1 a descriptor comes along.
 * Links with libFuzzer (-DNONOD_LIBFUZZER), or alone: then it runs each file of the directories and files it is given.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        int pair[2], fds[WIRE_FDS_MAX], r, buffer = 1 << 20;
        bool server = size > 0 && data[0] & 1;
        struct wire *w = NULL;

        if (size < 2 || size > 256 * 1024)
                return 0;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return 0;
        (void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
        if (wire_new(pair[0], server, &w) || fd_set_nonblock(pair[1], true))
                __builtin_trap();
        if (data[0] & 2) {
                (void)fd_send(pair[1], data + 1, 1, &pair[1], 1);
                (void)!write(pair[1], data + 2, size - 2);
        } else
                (void)!write(pair[1], data + 1, size - 1);
        (void)shutdown(pair[1], SHUT_WR);
        do {
                Nono__Request *request;
                Nono__Reply *reply;
                size_t n_fds = 0;

                r = server ? wire_recv_request(w, &request, fds, &n_fds) : wire_recv_reply(w, &reply, fds, &n_fds);
                if (r)
                        break;
                if (n_fds > WIRE_FDS_MAX)
                        __builtin_trap();
                fd_close_many(fds, n_fds);
                if (server)
                        wire_request_free(request);
                else
                        wire_reply_free(reply);
        } while (true);
        wire_free(w);
        fd_close(&pair[1]);
        return 0;
}

#ifndef NONOD_LIBFUZZER
#include <dirent.h>
#include <sys/stat.h>

static int run_file(int dir, const char *name) {
        static uint8_t data[256 * 1024];
        _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -errno : fd_read_full(fd, data, sizeof(data));

        if (n < 0) {
                fprintf(stderr, "%s: cannot read\n", name);
                return 1;
        }
        LLVMFuzzerTestOneInput(data, (size_t)n);
        return 0;
}

int main(int argc, char **argv) {
        unsigned n = 0;

        for (int i = 1; i < argc; i++) {
                _cleanup_closedir_ DIR *d = opendir(argv[i]);
                struct dirent *e;

                if (!d) {
                        if (run_file(AT_FDCWD, argv[i]))
                                return 1;
                        n++;
                        continue;
                }
                while ((e = readdir(d)))
                        if (e->d_name[0] != '.') {
                                if (run_file(dirfd(d), e->d_name))
                                        return 1;
                                n++;
                        }
        }
        printf("%u inputs\n", n);
        return n > 0 ? 0 : 1;
}
#endif
