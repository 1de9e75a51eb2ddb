/* SPDX-License-Identifier: Apache-2.0 */
/* Packet-loss concealment: what did not come is made up from what came before, after the method of ITU-T G.711 Appendix I.
 *
 * A gap repeats the last pitch period; after 10 ms the last two, after 20 ms the last three, so that it does not buzz. From
 * 10 ms on it becomes softer and is silent after 60 ms. The first good samples after it are faded in over what would have gone
 * on. Unlike the Appendix nothing is delayed: the step into the gap is levelled out inside of it.
 *
 * Threads    One. Allocates nothing. Zero-initialised has heard silence.
 */
#pragma once
#include "media/frame.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PLC_PITCH_MIN = 5 * SAMPLES_PER_MS, /* 200 Hz; of a higher voice it finds a multiple */
    PLC_PITCH_MAX = 15 * SAMPLES_PER_MS,
    PLC_OVERLAP_MAX = PLC_PITCH_MAX / 4,
    PLC_HISTORY = 3 * PLC_PITCH_MAX + PLC_OVERLAP_MAX,
    PLC_RING = 512,                   /* more than the history, and a power of two */
    PLC_SILENT = 60 * SAMPLES_PER_MS, /* a gap of this length has faded out */
};

/* Goes round and round over the last `length` samples of plc.past. */
struct plc_cycle {
    int length, at;
};
struct plc {
    unsigned at;                  /* where the next sample is written in `heard` */
    bool silent;                  /* there was nothing in the past */
    int missing;                  /* samples of the gap so far, at most PLC_SILENT + PLC_HISTORY */
    int join_left, join_len;      /* good samples still to be faded in */
    int pitch, overlap;           /* samples */
    struct plc_cycle now, before; /* `before` is faded out while switch_left > 0 */
    int switch_left;
    int step;                  /* from the last good sample to where the repetition would have come from */
    int16_t heard[PLC_RING];   /* what came out; a ring: written all the time, read where something is missing */
    int16_t past[PLC_HISTORY]; /* the last of it as it was when the gap began, newest last */
};

/* These were missing. Returns how many of them are more than silence. */
size_t plc_conceal(struct plc *p, int16_t *out, size_t n);
/* These came. The first after a gap are changed. */
void plc_hear(struct plc *p, int16_t *pcm, size_t n);
/* Time was left out here: the next good samples are faded in as after a gap. */
void plc_cut(struct plc *p);
