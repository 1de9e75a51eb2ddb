/* SPDX-License-Identifier: Apache-2.0 */
#include "media/audio.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

struct media_audio *audio_new_blank(size_t samples) {
    struct media_audio *a = mem_alloc(sizeof *a + samples * sizeof *a->pcm);
    atomic_init(&a->refs, 1);
    a->samples = samples;
    return a;
}

struct media_audio *media_audio_new(const int16_t *pcm, size_t samples) {
    struct media_audio *a = audio_new_blank(samples);
    if (samples > 0) memcpy(a->pcm, pcm, samples * sizeof *pcm);
    return a;
}

struct media_audio *media_audio_ref(struct media_audio *a) {
    atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

void media_audio_unref(struct media_audio *a) {
    if (a != NULL && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1) free(a);
}

size_t media_audio_samples(const struct media_audio *a) {
    return a->samples;
}
const int16_t *media_audio_pcm(const struct media_audio *a) {
    return a->pcm;
}
