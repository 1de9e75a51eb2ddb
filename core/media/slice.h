/* SPDX-License-Identifier: Apache-2.0 */
/* The sessions and recordings of which each 20 ms tick comes at the same time. A tick's time is cut into slices, so that thousands of
 * packets do not leave in one burst, and a busy moment shifts those of a millisecond and not those of a whole tick. Few share one slice:
 * a slice costs a wake-up.
 *
 * Threads    One: the media thread. Allocates nothing.
 */
#pragma once
#include "media/frame.h"
#include <stdbool.h>

enum {
    SLICES = 20,
    SLICE_US = FRAME_MS * 1000 / SLICES,
    SLICE_FULL = 64, /* sessions in one before the next is begun; when all have so many, they fill alike */
};

struct recording;
struct session;
struct slice {
    struct session *sessions; /* borrowed, and so are those that follow, newest first */
    int session_count;
    struct recording *recordings;
};

/* To the first slice that is not full, or the one with the fewest. Its ticks come at that slice's time from then on. */
void slice_add_session(struct slice slices[SLICES], struct session *s);
void slice_remove_session(struct slice slices[SLICES], struct session *s);
/* With the party on the left, so that its sound is in it soon; the first when there is none. Stays there when another comes to the left. */
void slice_add_recording(struct slice slices[SLICES], struct recording *r);
void slice_remove_recording(struct slice slices[SLICES], struct recording *r);
bool slice_is_empty(const struct slice *s);
