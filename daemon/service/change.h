/*
 * Change — what the broker did on the host on behalf of a session is shown in its view.
 * Runs as: user nono.   Input: the broker's claims, paths checked; judged by the rules again before anything is attached.
 */
#pragma once

#include <stdint.h>

#include "daemon/broker/message.h"

struct run;

/**
 * change_done() - BROKER_CHANGED
 * @path:   what was created or removed; the old name of a rename, the new one of a link
 * @second: the new name of a rename, the old one of a link; a symlink's target
 * @fd:     O_PATH of the new object; consumed; -1 after a delete
 * The caller in the session is released when the view is up to date, in any case.
 */
void change_done(struct run *r, uint64_t tag, enum operation operation, enum object_kind kind, const char *path,
                 const char *second, int fd);
