/* SPDX-License-Identifier: Apache-2.0 */
/* The media thread's part of a recorder: puts a frame of two channels in a ring on every tick.
 *
 * Threads    recording_read(): the loop. All else after recording_init(): the media thread.
 */
#pragma once
#include "media/frame.h"
#include "media/media.h"
#include "media/ring.h"
#include <stdatomic.h>

enum { RECORDING_RING_MS = 10000, RECORDING_FRAME_SAMPLES = 2 * FRAME_SAMPLES };

struct recording;
struct session;

/* A channel, and its place among those that a session has to let go of when it ends. */
enum { RECORDING_LEFT = 0, RECORDING_RIGHT, RECORDING_SIDES };
struct recording_side {
    struct session *session; /* borrowed; NULL: silence */
    enum media_source source;
    struct recording_side *prev, *next;
};
struct recording {
    struct media_recorder *recorder; /* whose part this is; not looked into */
    struct recording_side sides[RECORDING_SIDES];
    int slice; /* among the thread's, and the place in it */
    struct recording *prev, *next;
    unsigned chunk_frames;
    unsigned since_whole;  /* frames since a chunk was whole */
    atomic_bool told;      /* a report of a whole chunk is on its way: the loop takes all that there are */
    struct ring frames;    /* of RECORDING_FRAME_SAMPLES int16_t */
    unsigned *lost_before; /* one for each place of the ring */
    atomic_uint lost;      /* not in lost_before yet: the ring has been full since */
};

/* The ring holds RECORDING_RING_MS, rounded up to whole chunks so that a chunk never wraps. */
void recording_init(struct recording *r, unsigned chunk_frames);
void recording_deinit(struct recording *r);
void recording_set(struct recording *r, struct session *left, struct session *right);
void recording_leave(struct session *s);  /* silence in its place in all recordings */
bool recording_tick(struct recording *r); /* true: a chunk is whole */
void recording_skip(struct recording *r, unsigned frames);
/* Frames that lie ready, at most max, without a loss between them; *lost: how many were lost before them. */
unsigned recording_read(struct recording *r, size_t from, unsigned max, const int16_t **pcm, unsigned *lost);
