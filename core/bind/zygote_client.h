/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's control socket to the zygote (script/zygote.h): asks for cells, holds them and ends them.
 *
 * While the zygote lives, nothing that was said is lost: what the socket does not take waits, in order, until it can be written. Both
 * ends of that are bounded: a SPAWN that would be too far behind is refused, and a zygote that leaves far more than that unread is
 * given up, which ends all cells of this worker. Who cannot have another zygote is told of that (vm_services.zygote_lost).
 *
 * There is one in a process.
 * Threads  Loop thread only.
 */
#pragma once
#include "base/err.h"
#include "script/zygote.h"
#include <stdbool.h>

enum { ZYGOTE_SPAWNS_MAX = 4096, ZYGOTE_WAITING_MAX = 16384 }; /* messages that wait to be sent */

struct vm_services;

struct zygote_events {
    /* SPAWNED, FAILED or ENDED. fds: a SPAWNED one's, else -1. Whoever keeps one puts -1 in its place; the others are closed. */
    void (*said)(const struct zygote_message *m, int fds[3]);
    /* Nothing of what waits for an answer will have one. The next zygote_client_open() begins anew, where there is a way to. */
    void (*gone)(void);
};

/* Uses s->zygote_fd, or where there is none what s->zygote_start() gives; does nothing when it is open. False: no zygote. s and
 * events are borrowed until gone. */
bool zygote_client_open(struct vm_services *s, const struct zygote_events *events);

/* Comes back at once, and never calls an event. ERR_CLOSED: there is none; ERR_BUSY: a SPAWN too many. What is not a SPAWN is
 * refused for no other reason than that its cell ends anyway. */
int zygote_client_say(const struct zygote_message *m, struct err *e);
