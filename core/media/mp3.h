/* SPDX-License-Identifier: Apache-2.0 */
/* Two channels of speech as MP3, piece by piece: for recordings that people take with them. Channels stay apart.
 *
 * Ownership  The caller's.
 * Threads    One at a time, and not a loop's: an hour of sound takes seconds.
 * Units      Frames: a sample of 16 bits of each channel, left first.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

struct mp3;

/* ERR_INVALID: a rate or bit rate that MP3 does not have (8000 Hz takes 8 to 64 kbit/s). */
int mp3_new(struct mp3 **out, int rate, int kbps, struct err *e);
void mp3_free(struct mp3 *m);
/* Appends what is ready to out; of the last pieces some is still held. ERR_IO: the encoder broke, and is good for nothing more. */
int mp3_feed(struct mp3 *m, const int16_t *pcm, size_t frames, struct buf *out, struct err *e);
/* Appends what was held. Nothing can be fed behind it. */
int mp3_end(struct mp3 *m, struct buf *out, struct err *e);
