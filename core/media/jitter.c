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

static void start(struct jitter *j, uint32_t timestamp) {
    memset(j->pcm, 0, sizeof j->pcm);
    j->running = true;
    j->play_at = timestamp - START_BEHIND;
    j->late_run = 0;
    j->window = 0;
}

/* Makes room for `ahead`, which is negative, by playing whole frames of silence first. */
static int wait_longer(struct jitter *j, int ahead) {
    int frames = (-ahead + FRAME_SAMPLES - 1) / FRAME_SAMPLES;
    j->play_at -= (uint32_t)(frames * FRAME_SAMPLES);
    j->window = 0;
    return ahead + frames * FRAME_SAMPLES;
}

static void watch_ahead(struct jitter *j, int ahead) {
    if (j->window == 0 || ahead < j->earliest) j->earliest = ahead;
    if (++j->window < WINDOW_PACKETS) return;
    if (j->earliest > EARLY) jitter_skip(j, 1);
    j->window = 0;
}

bool jitter_put(struct jitter *j, uint32_t timestamp, bool marker, const uint8_t *codes, size_t count,
                const int16_t *table) {
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
    for (size_t i = 0; i < count; i++) j->pcm[(timestamp + i) % JITTER_SAMPLES] = table[codes[i]];
    watch_ahead(j, (int)ahead);
    return in_time;
}

/* Copies out when out is not NULL; what has been played is silence from then on. */
static void take_frame(struct jitter *j, int16_t *out) {
    size_t at = j->play_at % JITTER_SAMPLES;
    size_t first = JITTER_SAMPLES - at < FRAME_SAMPLES ? JITTER_SAMPLES - at : FRAME_SAMPLES;
    if (out != NULL) {
        memcpy(out, j->pcm + at, first * sizeof *out);
        memcpy(out + first, j->pcm, (FRAME_SAMPLES - first) * sizeof *out);
    }
    memset(j->pcm + at, 0, first * sizeof *j->pcm);
    memset(j->pcm, 0, (FRAME_SAMPLES - first) * sizeof *j->pcm);
    j->play_at += FRAME_SAMPLES;
}

void jitter_get(struct jitter *j, int16_t out[FRAME_SAMPLES]) {
    if (j->running)
        take_frame(j, out);
    else
        memset(out, 0, FRAME_SAMPLES * sizeof *out);
}

void jitter_skip(struct jitter *j, unsigned frames) {
    if (!j->running) return;
    if (frames * FRAME_SAMPLES >= JITTER_SAMPLES)
        jitter_reset(j);
    else
        while (frames-- > 0) take_frame(j, NULL);
}
