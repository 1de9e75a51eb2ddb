/* SPDX-License-Identifier: Apache-2.0 */
#include "media/recording.h"
#include "base/mem.h"
#include "media/session.h"
#include <stdlib.h>

void recording_init(struct recording *r, unsigned chunk_frames) {
    unsigned chunks = (RECORDING_RING_MS / FRAME_MS + chunk_frames - 1) / chunk_frames;
    r->chunk_frames = chunk_frames;
    ring_init(&r->frames, RECORDING_FRAME_SAMPLES * sizeof(int16_t), (size_t)chunks * chunk_frames);
    r->lost_before = mem_alloc(r->frames.cap * sizeof *r->lost_before);
    atomic_init(&r->lost, 0);
}

void recording_deinit(struct recording *r) {
    ring_deinit(&r->frames);
    free(r->lost_before);
}

static void put_channel(int16_t *out, const struct recording_side *side) {
    const struct session *s = side->session;
    const int16_t *pcm = s == NULL ? NULL : side->source == MEDIA_SAYS ? s->says : s->hears;
    for (int i = 0; i < FRAME_SAMPLES; i++) out[2 * i] = pcm == NULL ? 0 : pcm[i];
}

static void take_off(struct recording_side *side) {
    if (side->session == NULL) return;
    if (side->prev != NULL) side->prev->next = side->next;
    if (side->next != NULL) side->next->prev = side->prev;
    if (side->session->recorded == side) side->session->recorded = side->next;
    side->session = NULL;
    side->prev = side->next = NULL;
}

static void put_on(struct recording_side *side, struct session *s) {
    take_off(side);
    if (s == NULL) return;
    side->session = s;
    side->next = s->recorded;
    if (side->next != NULL) side->next->prev = side;
    s->recorded = side;
}

void recording_set(struct recording *r, struct session *left, struct session *right) {
    put_on(&r->sides[RECORDING_LEFT], left);
    put_on(&r->sides[RECORDING_RIGHT], right);
}

void recording_leave(struct session *s) {
    while (s->recorded != NULL) take_off(s->recorded);
}

bool recording_tick(struct recording *r) {
    int16_t *frame = ring_slot(&r->frames);
    if (frame == NULL) {
        recording_skip(r, 1);
    } else {
        put_channel(frame, &r->sides[RECORDING_LEFT]);
        put_channel(frame + 1, &r->sides[RECORDING_RIGHT]);
        r->lost_before[ring_index(&r->frames, frame)] = atomic_exchange_explicit(&r->lost, 0, memory_order_relaxed);
        ring_commit(&r->frames);
    }
    if (++r->since_whole < r->chunk_frames) return false;
    r->since_whole = 0;
    return true;
}

void recording_skip(struct recording *r, unsigned frames) {
    atomic_fetch_add_explicit(&r->lost, frames, memory_order_relaxed);
}

unsigned recording_read(struct recording *r, size_t from, unsigned max, const int16_t **pcm, unsigned *lost) {
    size_t count = ring_count(&r->frames);
    if (from >= count) return 0;
    const int16_t *frame = *pcm = ring_peek(&r->frames, from);
    size_t place = ring_index(&r->frames, frame), n = 1;
    *lost = r->lost_before[place];
    r->lost_before[place] = 0; /* told once */
    while (n < max && from + n < count && place + n < r->frames.cap && r->lost_before[place + n] == 0) n++;
    return (unsigned)n;
}
