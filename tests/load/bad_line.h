/* SPDX-License-Identifier: Apache-2.0 */
/* What a bad line does to packets: it loses some, holds each up by a time that varies, lets some be overtaken by the next, and
 * brings some twice. From the same seed it does the same. Arithmetic only: who sends keeps the packets until they are due.
 *
 * Units  Shares from 0 to 1; microseconds of any clock.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    BAD_LINE_HELD_UP_US = 30000 /* more than a packet's time, so that the next comes first */,
    BAD_LINE_AGAIN_US = 5000
};

struct bad_line {
    double loss, duplicated, overtaken;
    uint64_t jitter_us; /* each packet comes 0 to so much later; by that alone none overtakes another of its stream */
    uint64_t random;    /* the seed; any value */
};

static inline bool bad_line_is_bad(const struct bad_line *l) {
    return l->loss > 0 || l->duplicated > 0 || l->overtaken > 0 || l->jitter_us > 0;
}

/* The next of [0, 1): splitmix64. */
static inline double bad_line_random(struct bad_line *l) {
    uint64_t z = l->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

/* A packet of a stream is sent now: when it comes, 0 to 2 times. Returns how often. last_us: of the stream, zero at first. */
static inline int bad_line_take(struct bad_line *l, uint64_t *last_us, uint64_t now_us, uint64_t at_us[2]) {
    if (bad_line_random(l) < l->loss) return 0;
    uint64_t at = now_us + (uint64_t)(bad_line_random(l) * (double)l->jitter_us);
    if (at < *last_us) at = *last_us;
    if (bad_line_random(l) < l->overtaken)
        at += BAD_LINE_HELD_UP_US;
    else
        *last_us = at;
    at_us[0] = at;
    at_us[1] = at + BAD_LINE_AGAIN_US;
    return bad_line_random(l) < l->duplicated ? 2 : 1;
}
