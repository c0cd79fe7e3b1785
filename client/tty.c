/*
 * The terminal is changed in tty_raw() only and given back by tty_cooked(): called on the ordinary way, by atexit(3), and
 * from the handlers of crashes. tcsetattr(3) and write(2) are async-signal-safe.
 *
 * Only a process of the foreground group may change a terminal; we never do it from the background, where it would pull
 * the terminal from under another job.
 *
 * Runs as: the user.   Input: none.
 */
#include "client/tty.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "common/error.h"
#include "common/fd.h"
#include "common/loop.h"

/* The third allowed global: atexit(3) and signal handlers take no argument. */
static struct {
        struct tty *tty;
        char undo[512];
        size_t n_undo;
} tty_guarded;

static int tty_reopen(int fd) {
        char name[64];
        struct stat a, b;
        int copy;

        if (ttyname_r(fd, name, sizeof(name)) == 0) {
                copy = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
                if (copy >= 0 && fstat(fd, &a) == 0 && fstat(copy, &b) == 0 && a.st_rdev == b.st_rdev)
                        return copy;
                fd_close(&copy);
        }
        return fd_dup(fd); /* of another mount namespace, or not ours to open: blocking, but it works */
}

int tty_open(struct tty *ret, unsigned *ret_mask) {
        struct tty t = { .fd = -1 };
        unsigned mask = 0;

        for (int fd = 0; fd < 3; fd++) {
                if (!isatty(fd))
                        continue;
                mask |= BIT(fd);
                if (t.fd < 0)
                        t.fd = tty_reopen(fd);
        }
        *ret_mask = mask;
        if (mask == 0)
                return TTY_E_NONE;
        if (t.fd < 0)
                return err_pass(t.fd);
        *ret = t;
        return 0;
}

int tty_open_controlling(struct tty *ret) {
        int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0)
                return TTY_E_NONE;
        *ret = (struct tty){ .fd = fd };
        return 0;
}

void tty_done(struct tty *t) {
        tty_cooked(t);
        if (tty_guarded.tty == t)
                tty_guarded.tty = NULL;
        fd_close(&t->fd);
}

int tty_raw(struct tty *t) {
        struct termios now;

        if (tcgetattr(t->fd, &now) < 0)
                return err_raise(-errno);
        if (!t->raw)
                t->saved = now;
        t->set = t->saved;
        cfmakeraw(&t->set);
        t->set.c_cc[VMIN] = 1;
        t->set.c_cc[VTIME] = 0;
        if (tcsetattr(t->fd, TCSANOW, &t->set) < 0)
                return err_raise(-errno);
        t->raw = true;
        return 0;
}

static bool termios_equal(const struct termios *a, const struct termios *b) {
        return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_cflag == b->c_cflag && a->c_lflag == b->c_lflag &&
               memcmp(a->c_cc, b->c_cc, sizeof(a->c_cc)) == 0;
}

bool tty_is_as_set(struct tty *t) {
        struct termios now;

        if (t->raw && tcgetattr(t->fd, &now) == 0 && !termios_equal(&now, &t->set))
                t->raw = false;
        return t->raw;
}

void tty_cooked(struct tty *t) {
        if (t->fd < 0 || !t->raw)
                return;
        if (tty_is_foreground(t))
                (void)tcsetattr(t->fd, TCSANOW, &t->saved);
        t->raw = false;
}

bool tty_is_foreground(const struct tty *t) {
        pid_t group = tcgetpgrp(t->fd);

        return group < 0 ? errno == ENOTTY : group == getpgrp(); /* not our controlling terminal: no job control on it */
}

bool tty_is_canonical(const struct tty *t) {
        struct termios now;

        return tcgetattr(t->fd, &now) == 0 && now.c_lflag & ICANON;
}

struct winsize tty_size(const struct tty *t) {
        struct winsize size = { 0 };

        (void)ioctl(t->fd, TIOCGWINSZ, &size);
        return size;
}

int tty_write(const struct tty *t, const char *data, size_t n, int timeout_ms) {
        uint64_t deadline = loop_now_us() + (uint64_t)timeout_ms * 1000;

        while (n > 0) {
                ssize_t m = write(t->fd, data, n);

                if (m > 0) {
                        data += m;
                        n -= (size_t)m;
                        continue;
                }
                if (m < 0 && errno == EAGAIN) {
                        struct pollfd p = { .fd = t->fd, .events = POLLOUT };

                        if (loop_now_us() >= deadline)
                                return -ETIMEDOUT;
                        (void)poll(&p, 1, 100);
                        continue;
                }
                if (m < 0 && errno != EINTR)
                        return err_raise(-errno);
        }
        return 0;
}

static void tty_give_back(void) {
        struct tty *t = tty_guarded.tty;

        if (!t || t->fd < 0)
                return;
        if (t->raw && tty_guarded.n_undo > 0)
                (void)!write(t->fd, tty_guarded.undo, tty_guarded.n_undo);
        tty_cooked(t);
}

static void on_crash(int signo) {
        tty_give_back();
        (void)raise(signo); /* SA_RESETHAND: the default action now */
}

void tty_guard(struct tty *t) {
        static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGXCPU, SIGALRM };
        struct sigaction action = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND };

        tty_guarded.tty = t;
        (void)atexit(tty_give_back);
        for (size_t i = 0; i < ELEMENTSOF(crashes); i++)
                (void)sigaction(crashes[i], &action, NULL);
}

void tty_guard_undo(const char *text) {
        size_t n = MIN_OF(strlen(text), sizeof(tty_guarded.undo));

        tty_guarded.n_undo = 0;
        memcpy(tty_guarded.undo, text, n);
        tty_guarded.n_undo = n;
}
