/* SPDX-License-Identifier: Apache-2.0 */
/* PCM that comes in pieces while it is played: a queue of chunks from the loop to the media thread, without a lock.
 *
 *   loop: oldest -> ... -> (chunk the thread is in) -> ... -> newest        the thread follows `next` and counts what it has left
 *         behind; the loop frees those with the next piece, or all with the feed
 *
 * When nothing is left before the end, what was heard last goes on and fades (plc.h), then there is silence until enough has come
 * to begin again; so a short wait is hardly heard, and none clicks.
 *
 * Threads    feed_take() and the members named so: the media thread. All else: the loop.
 * Ownership  The loop's. It frees a feed when the thread has reported that its play has ended, or is gone.
 */
#pragma once
#include "base/err.h"
#include "media/frame.h"
#include "media/plc.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct feed_chunk {
    _Atomic(struct feed_chunk *) next;
    size_t samples;
    int16_t pcm[];
};
struct feed {
    uint64_t id;
    struct feed *next;                      /* of the same stream */
    struct SpeexResamplerState_ *resampler; /* NULL: it comes at 8000 Hz */
    int rate;
    bool half_waits; /* the last piece ended in the middle of a sample */
    uint8_t half;
    struct feed_chunk *oldest, *newest;
    uint64_t freed; /* chunks */

    _Atomic uint64_t appended;  /* samples, by the loop */
    atomic_bool ended;          /* no more will come, by the loop */
    _Atomic uint64_t left;      /* chunks behind the one that the thread is in, by the thread */
    _Atomic uint64_t sent;      /* samples that went out, by the thread */
    _Atomic uint64_t starved;   /* samples of waiting between them, by the thread */
    _Atomic uint32_t underruns; /* how many times, by the thread */

    /* the thread's */
    struct feed_chunk *chunk;
    size_t at;
    bool running;     /* since enough had come */
    unsigned enough;  /* samples */
    uint64_t waiting; /* samples since it ran out */
    struct plc plc;
};

enum { FEED_WAITING_MAX = 120 * 1000 * SAMPLES_PER_MS };

int feed_new(struct feed **out, uint64_t id, int rate, int prebuffer_ms, struct err *e);
void feed_free(struct feed *f);
/* 16 bit little-endian PCM, cut anywhere. */
int feed_append(struct feed *f, const void *pcm, size_t len, struct err *e);
void feed_end(struct feed *f);

/* The next room samples or, when it ends within them, fewer, and *over is set. stop: the last ones, which fade out. */
int feed_take(struct feed *f, int16_t *out, int room, bool stop, bool *over);
