/* SPDX-License-Identifier: Apache-2.0 */
#include "voice.h"
#include "base/mem.h"
#include "media/g711.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8000 * 3600, LOUD = 16000 };

/* A loud one of 2 kHz, so that each frame of it is told from silence. */
static int16_t *tone(size_t *samples) {
    int16_t *pcm = mem_alloc(VOICE_FRAME * sizeof *pcm);
    for (int i = 0; i < VOICE_FRAME; i++) pcm[i] = (int16_t)(i % 4 < 2 ? LOUD : -LOUD);
    *samples = VOICE_FRAME;
    return pcm;
}

static int16_t *read_file(const char *path, size_t *samples) {
    FILE *f = fopen(path, "rb");
    if (f == NULL) return NULL;
    int16_t *pcm = mem_alloc(MOST * sizeof *pcm);
    *samples = fread(pcm, sizeof *pcm, MOST, f);
    bool broken = ferror(f);
    fclose(f);
    if (!broken && *samples >= VOICE_FRAME) return pcm;
    free(pcm);
    errno = broken ? EIO : ENODATA;
    return NULL;
}

int voice_open(struct voice *v, const char *path) {
    int16_t *pcm = path ? read_file(path, &v->samples) : tone(&v->samples);
    if (pcm == NULL) return -1;
    g711_init();
    for (int law = 0; law < 2; law++) {
        v->codes[law] = mem_alloc(v->samples + VOICE_FRAME);
        g711_encode(law ? MEDIA_ALAW : MEDIA_ULAW, v->codes[law], pcm, v->samples);
        memcpy(v->codes[law] + v->samples, v->codes[law], VOICE_FRAME);
    }
    free(pcm);
    return 0;
}

const uint8_t *voice_frame(const struct voice *v, bool alaw, uint64_t from) {
    return v->codes[alaw] + from % v->samples;
}
