/* SPDX-License-Identifier: Apache-2.0 */
/* The media thread's part of a listener: puts what the party says into a ring, a frame on every tick, at the listener's rate.
 *
 * A frame has its number, and numbers go on while frames are dropped because the loop did not read, or while the thread was
 * late: so the reader sees each gap and knows how long it was.
 *
 * Threads    tap_tick() and tap_skip(): the media thread. The ring's other end: the loop.
 */
#pragma once
#include "base/err.h"
#include "media/frame.h"
#include "media/ring.h"
#include <stdatomic.h>

struct media_listener;
struct session;
struct tap_frame {
    uint64_t number; /* since listening began */
    int16_t pcm[];   /* tap.samples of them */
};
struct tap {
    struct media_listener *listener; /* whose part this is; not looked into */
    struct session *session;         /* borrowed; outlives the tap: the loop ends taps before their stream */
    struct tap *prev, *next;         /* among the session's */
    unsigned samples;                /* of a frame */
    unsigned batch_frames;
    unsigned since_whole; /* frames since a batch was whole */
    atomic_bool told;     /* a report of a whole batch is on its way: the loop takes all that there are */
    uint64_t number;      /* of the next frame */
    struct SpeexResamplerState_ *resampler; /* ours; NULL: 8000 Hz, as it is */
    struct ring frames;                     /* of struct tap_frame */
};

int tap_init(struct tap *t, int rate, unsigned batch_frames, unsigned keep_frames, struct err *e);
void tap_deinit(struct tap *t);
bool tap_tick(struct tap *t); /* true: a batch is whole */
void tap_skip(struct tap *t, unsigned frames);
