/*
 * Cleanup attributes and ownership transfer. Every owner in this tree is released by one of these.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(free_p)
#define _cleanup_close_ _cleanup_(close_p)
#define _cleanup_fclose_ _cleanup_(fclose_p)
#define _cleanup_closedir_ _cleanup_(closedir_p)
#define _printf_(a, b) __attribute__((format(printf, a, b)))

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))
#define BIT(n) (1U << (n))

/* Makes `TYPE_freep` from `TYPE *TYPE_free(TYPE *)`, for _cleanup_(TYPE_freep). */
#define DEFINE_CLEANUP(type, func)                                                                 \
        static inline void func##p(type **p) {                                                     \
                if (*p)                                                                            \
                        func(*p);                                                                  \
        }                                                                                          \
        struct func##_needs_a_semicolon

#define steal_ptr(p)                                                                               \
        ({                                                                                         \
                __typeof__(*(p)) steal_old_ = *(p);                                                \
                *(p) = NULL;                                                                       \
                steal_old_;                                                                        \
        })

static inline int steal_fd(int *fd) {
        int old = *fd;

        *fd = -1;
        return old;
}

static inline void free_p(void *p) {
        free(*(void **)p);
}

/* Closes and forgets; errno survives, so an error path may close on its way out. */
static inline void fd_close(int *fd) {
        int saved = errno;

        if (*fd >= 0)
                (void)close(*fd);
        *fd = -1;
        errno = saved;
}

static inline void close_p(int *fd) {
        fd_close(fd);
}

static inline void fclose_p(FILE **f) {
        if (*f)
                (void)fclose(*f);
}

static inline void closedir_p(DIR **d) {
        if (*d)
                (void)closedir(*d);
}
