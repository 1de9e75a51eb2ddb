/* SPDX-License-Identifier: Apache-2.0 */
/* Speech from one rate to another, piece by piece, off the media thread: for sound that does not come from a leg or go to one.
 *
 * Ownership  The caller's.
 * Threads    One at a time.
 * Units      Samples of 16 bits, host order.
 */
#pragma once
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

struct resampler;

int resampler_new(struct resampler **out, int from, int to, struct err *e); /* ERR_INVALID: not 8000 to 48000 Hz */
void resampler_free(struct resampler *r);
/* How many samples so many may become at most. */
size_t resampler_most(const struct resampler *r, size_t samples);
/* Takes all of pcm; returns how many were written to out, which has room for resampler_most(). What comes is a few ms late. */
size_t resampler_feed(struct resampler *r, const int16_t *pcm, size_t samples, int16_t *out);
/* Forgets what is on its way: the next piece follows nothing. */
void resampler_reset(struct resampler *r);
