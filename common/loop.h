/*
 * Loop — the one door to libevent. One loop per process, no threads.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

struct loop;
struct loop_source;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

typedef void (*loop_io_fn)(int fd, unsigned ready, void *arg);
typedef void (*loop_time_fn)(void *arg);
typedef void (*loop_signal_fn)(int signo, void *arg);

/* Return: 0; -ENOMEM or what epoll_create1(2) says. */
int loop_new(struct loop **ret);
struct loop *loop_free(struct loop *l);
DEFINE_CLEANUP(struct loop, loop_free);

/* Runs until loop_stop(). Return: the value given there; -errno when polling fails. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int value);

/**
 * loop_io() - call @fn whenever @fd is ready
 * @fd:   borrowed; must stay open as long as the source lives
 * @want: LOOP_READ | LOOP_WRITE
 * The source is freed with loop_source_free(), also from inside @fn.
 */
int loop_io(struct loop *l, int fd, unsigned want, loop_io_fn fn, void *arg, struct loop_source **ret);
int loop_io_want(struct loop_source *s, unsigned want);
/* One shot, @delay_us from now (CLOCK_MONOTONIC); re-arm with loop_timer_set(); UINT64_MAX disarms. */
int loop_timer(struct loop *l, uint64_t delay_us, loop_time_fn fn, void *arg, struct loop_source **ret);
int loop_timer_set(struct loop_source *s, uint64_t delay_us);
int loop_signal(struct loop *l, int signo, loop_signal_fn fn, void *arg, struct loop_source **ret);
struct loop_source *loop_source_free(struct loop_source *s);
DEFINE_CLEANUP(struct loop_source, loop_source_free);

/* Calls @fn(@arg) once, after the callbacks of this round: the safe place to free what a callback runs for. Aborts when memory is out. */
void loop_defer(struct loop *l, loop_time_fn fn, void *arg);

/* CLOCK_MONOTONIC and CLOCK_REALTIME in microseconds. */
uint64_t loop_now_us(void);
uint64_t loop_realtime_us(void);
