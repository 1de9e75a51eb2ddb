/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's end of a cell's socket (script/message.h): sends without waiting and keeps what the cell does not read yet; reads no
 * faster than intake.h allows. It looks into no message.
 *
 * Ownership  A link lies in its owner and does not move. The descriptor is the link's from cell_link_open() on.
 * Threads    Loop thread only.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "bind/intake.h"
#include <stdbool.h>
#include <uv.h>

enum {
    CELL_LINK_UNSENT_MAX = 4096,
    CELL_LINK_UNSENT_BYTES_MAX = 4 << 20
}; /* of what waits for a cell that does not read */

struct cell_link;
/* Both may close the link, and free it. */
struct cell_link_events {
    void (*said)(struct cell_link *l, const char *data, size_t len); /* data is borrowed for the call */
    void (*over)(struct cell_link *l, const char *why);              /* nothing more will be read: close it */
};

struct unsent;
struct cell_link {
    int fd; /* -1: not open */
    uv_loop_t *loop;
    const struct cell_link_events *events;
    uv_poll_t *poll;  /* freed in its close callback, as the timer is */
    uv_timer_t *rest; /* runs while the cell is not read */
    struct unsent *first, *last;
    int unsent;
    size_t unsent_bytes;
    struct intake intake;
    bool resting; /* not read until the timer comes */
    bool unpaced; /* read as fast as it sends: set before it is opened */
};

/* A link that is all 0 but for fd = -1 may be closed, and not be used otherwise. */
void cell_link_open(struct cell_link *l, uv_loop_t *loop, int fd, const struct cell_link_events *events);
void cell_link_close(struct cell_link *l); /* once more does nothing */

/* pass: a descriptor that goes along, which is the link's whatever comes of it; or -1. ERR_BUSY when too much waits already, ERR_CLOSED
 * when the cell is gone. */
int cell_link_send(struct cell_link *l, const struct buf *message, int pass, struct err *e);

/* For how long the cell has sent as fast as it is read, in milliseconds; 0: it does not. */
uint64_t cell_link_dry_ms(struct cell_link *l);
