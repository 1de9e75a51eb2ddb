/* SPDX-License-Identifier: Apache-2.0 */
/* What one stream heard, frame by frame, and how it kept its pace: a frame belongs at the stream's own beginning plus its
 * timestamp, and the pacing error is how far from there it came, against the median of its stream.
 *
 * Threads    track_take(): the sound's. The rest when that has ended.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { TRACK_ERROR_MAX_US = 100000 };

struct track {
    bool begun;
    uint32_t first_stamp;
    uint64_t first_us;
    int32_t *off_us; /* of each frame from its plan; the least there is: it has not come */
    uint32_t cap, end;
    uint64_t again, overtaken, strange;
};

/* Of many tracks. */
struct pacing {
    uint64_t frames, missing, again, overtaken, strange;
    uint64_t errors[TRACK_ERROR_MAX_US + 1]; /* how many frames by their error in us; the last: that and more */
};

void track_open(struct track *t, uint32_t frames);
void track_take(struct track *t, uint32_t stamp, uint64_t at_us);
/* Adds what came, and should have come, from one moment to another. */
void track_judge(struct track *t, uint64_t from_us, uint64_t to_us, struct pacing *all);
/* The error in us that so many of all have at most; part from 0 to 1. */
uint32_t pacing_error(const struct pacing *all, double part);
