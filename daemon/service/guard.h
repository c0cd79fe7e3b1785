/*
 * Guard — denied paths below granted directories stay denied when the host replaces or makes them.
 * Runs as: user nono.   Input: the broker's claims about paths that the service itself named.
 */
#pragma once

struct run;

/* The program is about to run: names every denied path inside a granted directory to the broker. */
void guard_start(struct run *r);
/* Something appeared at @path: it is masked anew, when it is denied and inside a granted directory. */
void guard_touched(struct run *r, const char *path);
/* Masks @path if it exists, is denied, lies in a granted directory, and nothing stands there yet. */
void guard_mask(struct run *r, const char *path);
