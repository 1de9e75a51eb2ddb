/* SPDX-License-Identifier: Apache-2.0 */
#include "media/plc.h"
#include <string.h>

enum {
    WINDOW = 20 * SAMPLES_PER_MS, /* which is looked for one pitch period earlier */
    LONGER_AFTER = 10 * SAMPLES_PER_MS,
    FADE_FROM = 10 * SAMPLES_PER_MS,
    JOIN_MORE = 4 * SAMPLES_PER_MS, /* for each 10 ms that were missing */
    JOIN_MAX = 10 * SAMPLES_PER_MS,
};

static int16_t clip(int n) {
    return (int16_t)(n > INT16_MAX ? INT16_MAX : n < INT16_MIN ? INT16_MIN : n);
}

static void remember(struct plc *p, const int16_t *pcm, size_t n) {
    if (n > PLC_RING) {
        pcm += n - PLC_RING;
        n = PLC_RING;
    }
    size_t run = PLC_RING - p->at < n ? PLC_RING - p->at : n;
    memcpy(p->heard + p->at, pcm, run * sizeof *pcm);
    memcpy(p->heard, pcm + run, (n - run) * sizeof *pcm);
    p->at = (p->at + (unsigned)n) % PLC_RING;
}

static void recall(struct plc *p) {
    size_t from = (p->at + PLC_RING - PLC_HISTORY) % PLC_RING;
    size_t run = PLC_RING - from < PLC_HISTORY ? PLC_RING - from : PLC_HISTORY;
    memcpy(p->past, p->heard + from, run * sizeof *p->past);
    memcpy(p->past + run, p->heard, (PLC_HISTORY - run) * sizeof *p->past);
}

/* How alike the window at the end is to the one `lag` earlier, by each step-th sample: how much of its energy a repetition
 * would give. 0 when they have nothing in common. */
static double likeness(const int16_t *end, int lag, int step) {
    int64_t product = 0, energy = 1;
    for (int i = -WINDOW; i < 0; i += step) {
        product += (int32_t)end[i] * end[i - lag];
        energy += (int32_t)end[i - lag] * end[i - lag];
    }
    return product <= 0 ? 0 : (double)product * (double)product / (double)energy;
}

/* Each second lag over each second sample first, then its neighbours over all of them. */
static int find_pitch(const int16_t *past) {
    const int16_t *end = past + PLC_HISTORY;
    double best = -1;
    int around = PLC_PITCH_MIN, pitch = PLC_PITCH_MIN;
    for (int lag = PLC_PITCH_MIN; lag <= PLC_PITCH_MAX; lag += 2) {
        double alike = likeness(end, lag, 2);
        if (alike <= best) continue;
        best = alike;
        around = lag;
    }
    best = -1;
    for (int lag = around - 1; lag <= around + 1; lag++) {
        if (lag < PLC_PITCH_MIN || lag > PLC_PITCH_MAX) continue;
        double alike = likeness(end, lag, 1);
        if (alike <= best) continue;
        best = alike;
        pitch = lag;
    }
    return pitch;
}

static bool is_silence(const int16_t *pcm, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (pcm[i] != 0) return false;
    return true;
}

static void begin_gap(struct plc *p) {
    recall(p);
    p->missing = 0;
    p->join_left = p->switch_left = 0;
    p->silent = is_silence(p->past, PLC_HISTORY);
    if (p->silent) return;
    p->pitch = find_pitch(p->past);
    p->overlap = p->pitch / 4;
    p->now = (struct plc_cycle){.length = p->pitch};
    p->step = p->past[PLC_HISTORY - 1] - p->past[PLC_HISTORY - 1 - p->pitch];
}

/* The end of a round is faded into what came before the round began, so that it closes without a step. */
static int cycle_next(const struct plc *p, struct plc_cycle *c) {
    const int16_t *round = p->past + PLC_HISTORY - c->length;
    int at = c->at, in = at - (c->length - p->overlap), sample = round[at];
    if (in >= 0) sample = ((p->overlap - in) * sample + in * round[at - c->length]) / p->overlap;
    c->at = at + 1 == c->length ? 0 : at + 1;
    return sample;
}

/* The next sample of the repetition; goes over to a longer one when it is time. */
static int repeat(struct plc *p) {
    int periods = p->now.length / p->pitch;
    if (periods < 3 && p->missing == periods * LONGER_AFTER) {
        /* Further back by whole periods, so in the same phase. */
        p->before = p->now;
        p->now.length += p->pitch;
        p->switch_left = p->overlap;
    }
    int sample = cycle_next(p, &p->now);
    if (p->switch_left > 0) {
        sample = (p->switch_left * cycle_next(p, &p->before) + (p->overlap - p->switch_left) * sample) / p->overlap;
        p->switch_left--;
    }
    if (p->missing < p->overlap) sample += p->step * (p->overlap - p->missing) / (p->overlap + 1);
    if (p->missing > FADE_FROM) sample = sample * (PLC_SILENT - p->missing) / (PLC_SILENT - FADE_FROM);
    p->missing++;
    return sample;
}

size_t plc_conceal(struct plc *p, int16_t *out, size_t n) {
    size_t made = 0;
    if (n == 0) return 0;
    if (p->missing == 0 || p->join_len > 0) begin_gap(p);
    p->join_len = 0;
    if (!p->silent)
        for (; made < n && p->missing < PLC_SILENT; made++) out[made] = clip(repeat(p));
    memset(out + made, 0, (n - made) * sizeof *out);
    /* Once there is nothing but silence in the history, there is nothing to do. */
    if (p->missing < PLC_SILENT + PLC_HISTORY) remember(p, out, n);
    p->missing += (int)(n - made);
    if (p->missing > PLC_SILENT + PLC_HISTORY) p->missing = PLC_SILENT + PLC_HISTORY;
    return made;
}

static void begin_join(struct plc *p) {
    int len = p->silent ? 0 : p->overlap + JOIN_MORE * (p->missing / LONGER_AFTER);
    p->join_len = p->join_left = len > JOIN_MAX ? JOIN_MAX : len;
    if (len == 0) p->missing = 0;
}

void plc_hear(struct plc *p, int16_t *pcm, size_t n) {
    if (n > 0 && p->missing > 0 && p->join_len == 0) begin_join(p);
    for (size_t i = 0; i < n && p->join_left > 0; i++) {
        int gone_on = p->missing < PLC_SILENT ? repeat(p) : 0;
        pcm[i] = clip((p->join_left * gone_on + (p->join_len - p->join_left) * pcm[i]) / p->join_len);
        p->join_left--;
    }
    if (p->join_len > 0 && p->join_left == 0) p->join_len = p->missing = 0;
    remember(p, pcm, n);
}

void plc_cut(struct plc *p) {
    if (p->missing > 0) return; /* inside a gap: it just goes on */
    begin_gap(p);
    p->join_len = p->join_left = p->silent ? 0 : p->overlap;
}
