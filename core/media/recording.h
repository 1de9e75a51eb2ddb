/* SPDX-License-Identifier: Apache-2.0 */
/* The media thread's part of a recorder: puts a frame of two channels in a ring on every tick.
 *
 * Threads    recording_tick() and recording_skip(), left and right: the media thread. recording_read(): the loop.
 */
#pragma once
#include "media/frame.h"
#include "media/media.h"
#include "media/ring.h"

enum { RECORDING_RING_MS = 10000, RECORDING_FRAME_SAMPLES = 2 * FRAME_SAMPLES };

struct session;
struct recording {
    struct media_recorder *recorder; /* whose part this is; not looked into */
    struct session *left, *right;    /* NULL: silence */
    enum media_source left_source, right_source;
    int index; /* in the thread's list */
    unsigned chunk_frames;
    unsigned since_told;   /* frames since the loop was told of a whole chunk */
    struct ring frames;    /* of RECORDING_FRAME_SAMPLES int16_t */
    unsigned *lost_before; /* one for each place of the ring */
    atomic_uint lost;      /* not in lost_before yet: the ring has been full since */
};

/* The ring holds RECORDING_RING_MS, rounded up to whole chunks so that a chunk never wraps. */
void recording_init(struct recording *r, unsigned chunk_frames);
void recording_deinit(struct recording *r);
bool recording_tick(struct recording *r); /* true: a chunk is whole since the loop was told last */
void recording_skip(struct recording *r, unsigned frames);
/* Frames that lie ready, at most max, without a loss between them; *lost: how many were lost before them. */
unsigned recording_read(struct recording *r, size_t from, unsigned max, const int16_t **pcm, unsigned *lost);
