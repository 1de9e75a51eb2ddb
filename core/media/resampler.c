/* SPDX-License-Identifier: Apache-2.0 */
#include "media/resampler.h"
#include "base/mem.h"
#include <speex/speex_resampler.h>
#include <stdlib.h>

enum { QUALITY = 4, RATE_MIN = 8000, RATE_MAX = 48000, SLACK = 8 };

struct resampler {
    SpeexResamplerState *state;
    size_t from, to;
};

int resampler_new(struct resampler **out, int from, int to, struct err *e) {
    int why = 0;

    if (from < RATE_MIN || from > RATE_MAX || to < RATE_MIN || to > RATE_MAX)
        return err_set(e, ERR_INVALID, "sound is resampled between %d and %d Hz", RATE_MIN, RATE_MAX);
    SpeexResamplerState *state = speex_resampler_init(1, (spx_uint32_t)from, (spx_uint32_t)to, QUALITY, &why);
    if (state == NULL)
        return err_set(e, ERR_INVALID, "cannot resample from %d to %d Hz: %s", from, to, speex_resampler_strerror(why));
    struct resampler *r = mem_alloc(sizeof *r);
    r->state = state;
    r->from = (size_t)from;
    r->to = (size_t)to;
    *out = r;
    return 0;
}

void resampler_free(struct resampler *r) {
    speex_resampler_destroy(r->state);
    free(r);
}

size_t resampler_most(const struct resampler *r, size_t samples) {
    return samples * r->to / r->from + SLACK;
}

size_t resampler_feed(struct resampler *r, const int16_t *pcm, size_t samples, int16_t *out) {
    size_t most = resampler_most(r, samples), used = 0, done = 0;

    while (used < samples && done < most) {
        spx_uint32_t in = (spx_uint32_t)(samples - used), got = (spx_uint32_t)(most - done);
        speex_resampler_process_int(r->state, 0, pcm + used, &in, out + done, &got);
        if (in == 0 && got == 0) break;
        used += in;
        done += got;
    }
    return done;
}

void resampler_reset(struct resampler *r) {
    speex_resampler_reset_mem(r->state);
}
