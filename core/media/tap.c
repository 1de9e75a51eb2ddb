/* SPDX-License-Identifier: Apache-2.0 */
#include "media/tap.h"
#include "media/session.h"
#include <speex/speex_resampler.h>
#include <string.h>

enum { RATE = 8000, QUALITY = 3 /* speexdsp's own for telephony */ };

int tap_init(struct tap *t, int rate, unsigned batch_frames, unsigned keep_frames, struct err *e) {
    int why = 0;
    /* The filter begins in silence and is not moved forward: each frame gives just its length, 3 ms late. */
    t->resampler = rate == RATE ? NULL : speex_resampler_init(1, RATE, (spx_uint32_t)rate, QUALITY, &why);
    if (why != RESAMPLER_ERR_SUCCESS)
        return err_set(e, ERR_INVALID, "cannot resample to %d Hz: %s", rate, speex_resampler_strerror(why));
    t->samples = (unsigned)rate / 1000 * FRAME_MS;
    t->batch_frames = batch_frames;
    /* Places are whole multiples of a frame number, so that each lies straight. */
    size_t size = sizeof(struct tap_frame) + t->samples * sizeof(int16_t);
    ring_init(&t->frames, (size + sizeof(uint64_t) - 1) / sizeof(uint64_t) * sizeof(uint64_t), keep_frames);
    return 0;
}

void tap_deinit(struct tap *t) {
    if (t->resampler != NULL) speex_resampler_destroy(t->resampler);
    ring_deinit(&t->frames);
}

static void put(const struct tap *t, int16_t *out) {
    spx_uint32_t in = FRAME_SAMPLES, got = t->samples;
    if (t->resampler == NULL) {
        memcpy(out, t->session->says, sizeof t->session->says);
        return;
    }
    speex_resampler_process_int(t->resampler, 0, t->session->says, &in, out, &got);
    memset(out + got, 0, (t->samples - got) * sizeof *out);
}

bool tap_tick(struct tap *t) {
    struct tap_frame *frame = ring_slot(&t->frames);
    if (frame != NULL) {
        frame->number = t->number;
        put(t, frame->pcm);
        ring_commit(&t->frames);
    }
    t->number++;
    if (++t->since_whole < t->batch_frames) return false;
    t->since_whole = 0;
    return true;
}

void tap_skip(struct tap *t, unsigned frames) {
    t->number += frames;
}
