/* SPDX-License-Identifier: Apache-2.0 */
#include "media/jitter.h"
#include <string.h>

enum {
    START_BEHIND = 40 * SAMPLES_PER_MS,
    EARLY = 60 * SAMPLES_PER_MS,
    BEHIND_MAX = 200 * SAMPLES_PER_MS,
    WINDOW_PACKETS = 100,
    LATE_RUN_MAX = 10,
};

void jitter_reset(struct jitter *j) {
    j->running = false;
    j->late_run = 0;
}

/* Notes that n samples from timestamp on are there, or are not. */
static void mark(struct jitter *j, uint32_t timestamp, size_t n, bool there) {
    while (n > 0) {
        size_t at = timestamp % JITTER_SAMPLES, bit = at % 64, run = 64 - bit < n ? 64 - bit : n;
        uint64_t bits = (run == 64 ? UINT64_MAX : (UINT64_C(1) << run) - 1) << bit;
        if (there)
            j->there[at / 64] |= bits;
        else
            j->there[at / 64] &= ~bits;
        timestamp += (uint32_t)run;
        n -= run;
    }
}

/* How many samples from place `at` on, max at most and not beyond the ring's end, are there, or are all missing. */
static size_t run_at(const struct jitter *j, size_t at, size_t max, bool *there) {
    size_t n = 0;
    if (max > JITTER_SAMPLES - at) max = JITTER_SAMPLES - at;
    *there = j->there[at / 64] >> at % 64 & 1;
    while (n < max) {
        size_t bit = (at + n) % 64, left = 64 - bit;
        uint64_t other = (*there ? ~j->there[(at + n) / 64] : j->there[(at + n) / 64]) >> bit;
        size_t same = other == 0 ? left : (size_t)__builtin_ctzll(other);
        n += same;
        if (same < left) break;
    }
    return n < max ? n : max;
}

static void start(struct jitter *j, uint32_t timestamp) {
    memset(j->there, 0, sizeof j->there);
    j->running = true;
    j->play_at = timestamp - START_BEHIND;
    j->late_run = 0;
    j->window = 0;
}

/* Makes room for `ahead`, which is negative, by playing whole frames of nothing first. What came so early that it lies at
 * their place in the ring is given up. */
static int wait_longer(struct jitter *j, int ahead) {
    int frames = (-ahead + FRAME_SAMPLES - 1) / FRAME_SAMPLES;
    j->play_at -= (uint32_t)(frames * FRAME_SAMPLES);
    mark(j, j->play_at, (size_t)frames * FRAME_SAMPLES, false);
    j->window = 0;
    return ahead + frames * FRAME_SAMPLES;
}

static void watch_ahead(struct jitter *j, int ahead) {
    j->early_x16 += j->window == 0 && j->early_x16 == 0 ? 16 * ahead : ahead - j->early_x16 / 16;
    if (j->window == 0 || ahead < j->earliest) j->earliest = ahead;
    if (++j->window < WINDOW_PACKETS) return;
    if (j->earliest > EARLY) jitter_skip(j, 1);
    j->window = 0;
}

bool jitter_put(struct jitter *j, uint32_t timestamp, bool marker, const uint8_t *codes, size_t count) {
    bool in_time = true;
    if (count > JITTER_PACKET_MAX) count = JITTER_PACKET_MAX;
    if (!j->running) start(j, timestamp);
    int64_t ahead = (int32_t)(timestamp - j->play_at);
    if (ahead < 0) {
        in_time = false;
        if (ahead >= -BEHIND_MAX)
            ahead = wait_longer(j, (int)ahead);
        else if (!marker && ++j->late_run < LATE_RUN_MAX)
            return false;
    }
    /* Still behind, or far ahead: the sender's timestamps have stepped. */
    if (ahead < 0 || ahead + (int64_t)count > JITTER_SAMPLES) {
        start(j, timestamp);
        ahead = START_BEHIND;
    }
    j->late_run = 0;
    size_t at = timestamp % JITTER_SAMPLES, run = JITTER_SAMPLES - at < count ? JITTER_SAMPLES - at : count;
    memcpy(j->codes + at, codes, run);
    memcpy(j->codes, codes + run, count - run);
    mark(j, timestamp, count, true);
    watch_ahead(j, (int)ahead);
    return in_time;
}

/* Plays a frame, or leaves it out when out is NULL. */
static void take_frame(struct jitter *j, int16_t *out, const int16_t *table) {
    for (size_t done = 0, n; done < FRAME_SAMPLES; done += n) {
        size_t at = j->play_at % JITTER_SAMPLES;
        bool there;
        n = run_at(j, at, FRAME_SAMPLES - done, &there);
        if (out != NULL && there) {
            for (size_t i = 0; i < n; i++) out[done + i] = table[j->codes[at + i]];
            plc_hear(&j->plc, out + done, n);
        } else if (out != NULL) {
            j->concealed += plc_conceal(&j->plc, out + done, n);
        }
        if (there) mark(j, j->play_at, n, false);
        j->play_at += (uint32_t)n;
    }
}

void jitter_get(struct jitter *j, int16_t out[FRAME_SAMPLES], const int16_t *table) {
    if (j->running)
        take_frame(j, out, table);
    else
        j->concealed += plc_conceal(&j->plc, out, FRAME_SAMPLES);
}

void jitter_skip(struct jitter *j, unsigned frames) {
    if (!j->running || frames == 0) return;
    if (frames * FRAME_SAMPLES >= JITTER_SAMPLES) {
        jitter_reset(j);
        return;
    }
    while (frames-- > 0) take_frame(j, NULL, NULL);
    plc_cut(&j->plc);
}
