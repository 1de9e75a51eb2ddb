/* SPDX-License-Identifier: Apache-2.0 */
/* The media thread's detector of voice on a synthetic call, as a library for turns.lua: frame by frame, behind G.711 as it comes from a
 * carrier, with the echo of what we play in it. */
#include "media/frame.h"
#include "media/g711.h"
#include "media/vad.h"
#include <stdlib.h>
#include <string.h>

struct ears {
    struct vad vad;
    const int16_t *pcm; /* borrowed */
    size_t frames, at;
};

struct ears *ears_new(const int16_t *pcm, size_t samples);
/* The next frame. sent: what we play in it, echo: what of ours comes back in it, that much softer; either may be NULL. Returns what
 * vad_frame() says, or -1 at the end. */
int ears_hear(struct ears *e, const int16_t *sent, double loudness, const int16_t *echo, double gain,
              uint32_t *quiet_ms);

struct ears *ears_new(const int16_t *pcm, size_t samples) {
    struct ears *e = calloc(1, sizeof *e);
    g711_init();
    vad_init(&e->vad);
    e->pcm = pcm;
    e->frames = samples / FRAME_SAMPLES;
    return e;
}

int ears_hear(struct ears *e, const int16_t *sent, double loudness, const int16_t *echo, double gain,
              uint32_t *quiet_ms) {
    const int16_t *decode = g711_decode_table(MEDIA_ULAW);
    int16_t in[FRAME_SAMPLES], out[FRAME_SAMPLES] = {0};
    uint8_t codes[FRAME_SAMPLES];
    if (e->at == e->frames) return -1;
    for (int i = 0; i < FRAME_SAMPLES; i++) {
        double sum = e->pcm[e->at * FRAME_SAMPLES + (size_t)i] + (echo != NULL ? echo[i] * gain : 0);
        in[i] = (int16_t)(sum > 32767 ? 32767 : sum < -32768 ? -32768 : sum);
        if (sent != NULL) out[i] = (int16_t)(sent[i] * loudness);
    }
    e->at++;
    g711_encode(MEDIA_ULAW, codes, in, FRAME_SAMPLES);
    for (int i = 0; i < FRAME_SAMPLES; i++) in[i] = decode[codes[i]];
    return vad_frame(&e->vad, in, out, quiet_ms);
}
