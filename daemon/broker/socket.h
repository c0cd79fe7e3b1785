/*
 * Socket — making a socket that can stand in for another process's: same options, and bound for ever to one peer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* The caller's socket, through a duplicate of its descriptor. */
struct socket_facts {
        int domain, type, protocol;
        bool nonblock, outside; /* outside: it is in our network namespace, so we made it */
        bool connected;
};

enum { SOCKET_OPTIONS = 11 };

/* What is the same for every stand-in, learned once. */
struct socket_template {
        uint64_t namespace; /* cookie of our own network namespace; 0: unknown */
        struct {
                unsigned n;
                char value[16];
        } fresh[SOCKET_OPTIONS]; /* options of a new stream socket */
        bool no_filter;          /* this kernel lets only root attach one */
};

void socket_template_init(struct socket_template *ret);
/* A descriptor of thread @tid. Return: the duplicate; -errno. */
int socket_take(pid_t tid, int number);
int socket_facts(const struct socket_template *t, int fd, struct socket_facts *ret);
/* The caller's descriptor closes on exec: a property of the number, so only /proc/PID/fdinfo knows. */
bool socket_closes_on_exec(pid_t tid, int number);
/**
 * socket_stand_in() - new stream socket with the options of @fd_old, non-blocking
 * @peer: loopback address it will be connected to, and the only one it will ever hear
 * Return: the descriptor; -errno.
 */
int socket_stand_in(struct socket_template *t, int fd_old, const struct socket_facts *facts,
                    const struct sockaddr *peer);
/**
 * socket_repair_epoll() - registers @fd_new wherever the caller has @number in an epoll set
 * @fd_old: what is registered there now
 */
void socket_repair_epoll(pid_t tid, int number, int fd_old, int fd_new);
