/*
 * Exec spec — what to run, as init reads it from the memfd (daemon/target/control.h).
 */
#pragma once

#include <stdint.h>

struct spec {
        const char *program, *workdir;
        char **argv, **envp; /* NULL-terminated; point into the mapping */
        uint16_t rows, columns;
        uint32_t tty_mask;
};

/* Maps and indexes the memfd; the memory is never freed (exec or exit follows). Return: 0; -EBADMSG; -errno. */
int spec_open(int fd, struct spec *ret);
/* execve(2) of the program; without '/' it is searched on the spec's PATH, as execvp(3) does; a file without magic is
 * given to /bin/sh. Return: -errno, the most telling of the search. */
int spec_exec(const struct spec *spec);
