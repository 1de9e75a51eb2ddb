/* SPDX-License-Identifier: Apache-2.0 */
/* A playout buffer: packets go in when they come, a frame comes out every 20 ms.
 *
 * Samples lie in a ring by their RTP timestamp, so any packet length works and order does not matter. What never came is
 * made up by plc.h, and silence when more than 60 ms of it are missing. Playing starts 40 ms behind the first packet. A packet that comes too late moves playing back by whole frames
 * (up to 200 ms behind); when for 2 s every packet came more than 60 ms early, a frame is dropped: that also follows
 * a sender whose clock runs faster or slower than ours.
 *
 * Threads    One. Allocates nothing. Zero-initialised is empty.
 */
#pragma once
#include "media/frame.h"
#include "media/plc.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JITTER_SAMPLES = 4096, JITTER_PACKET_MAX = 1024 };

struct jitter {
    bool running;
    uint32_t play_at;   /* timestamp of the next sample to come out */
    int late_run;       /* packets in a row dropped as late */
    int earliest;       /* least lead of the packets of this window, in samples */
    int window;         /* packets seen in it */
    int early_x16;      /* by how many samples packets come early, smoothed: the delay that the buffer adds */
    uint64_t concealed; /* samples made up so far */
    struct plc plc;
    uint64_t there[JITTER_SAMPLES / 64]; /* a bit for each sample that has come and was not played yet */
    uint8_t codes[JITTER_SAMPLES];       /* as they came: half the memory of what they mean */
};

/* The next packet decides anew when playing starts. */
void jitter_reset(struct jitter *j);
/* marker: the sender says that a new stretch begins here. Returns false when it came late. */
bool jitter_put(struct jitter *j, uint32_t timestamp, bool marker, const uint8_t *codes, size_t count);
/* table: the 256 samples that the codes mean. */
void jitter_get(struct jitter *j, int16_t out[FRAME_SAMPLES], const int16_t *table);
void jitter_skip(struct jitter *j, unsigned frames); /* time passed in which nobody called jitter_get() */
