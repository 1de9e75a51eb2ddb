/* SPDX-License-Identifier: Apache-2.0 */
#include "media/g711.h"
#include <pthread.h>

/* µ-law works on 14 bits, A-law on 13: that many bits of a sample are the index of the encoding tables. */
static int16_t ulaw_to_pcm[256], alaw_to_pcm[256];
static uint8_t ulaw_from_pcm[1 << 14], alaw_from_pcm[1 << 13];

/* The code's segment (0..7): in which power of two above the first the magnitude lies. */
static int segment_of(int magnitude, int first_bits) {
    int segment = 0;
    while (segment < 7 && magnitude >> (first_bits + segment)) segment++;
    return segment;
}

static uint8_t ulaw_encode(int pcm14) {
    int magnitude = (pcm14 < 0 ? ~pcm14 : pcm14) + 33;
    if (magnitude > 0x1fff) magnitude = 0x1fff;
    int segment = segment_of(magnitude, 6);
    int code = segment << 4 | ((magnitude >> (segment + 1)) & 0x0f);
    return (uint8_t)(code ^ (pcm14 < 0 ? 0x7f : 0xff));
}

static int16_t ulaw_decode(uint8_t code) {
    code = (uint8_t)~code;
    int magnitude = ((((code & 0x0f) << 3) + 0x84) << (code >> 4 & 7)) - 0x84;
    return (int16_t)(code & 0x80 ? -magnitude : magnitude);
}

static uint8_t alaw_encode(int pcm13) {
    int magnitude = pcm13 < 0 ? ~pcm13 : pcm13;
    int segment = segment_of(magnitude, 5);
    int code = segment << 4 | ((magnitude >> (segment == 0 ? 1 : segment)) & 0x0f);
    return (uint8_t)(code ^ (pcm13 < 0 ? 0x55 : 0xd5));
}

static int16_t alaw_decode(uint8_t code) {
    code ^= 0x55;
    int segment = code >> 4 & 7;
    int magnitude = ((code & 0x0f) << 4) + 8;
    if (segment > 0) magnitude = (magnitude + 0x100) << (segment - 1);
    return (int16_t)(code & 0x80 ? magnitude : -magnitude);
}

static void fill_tables(void) {
    for (int code = 0; code < 256; code++) {
        ulaw_to_pcm[code] = ulaw_decode((uint8_t)code);
        alaw_to_pcm[code] = alaw_decode((uint8_t)code);
    }
    for (int i = 0; i < 1 << 14; i++) ulaw_from_pcm[i] = ulaw_encode(i < 1 << 13 ? i : i - (1 << 14));
    for (int i = 0; i < 1 << 13; i++) alaw_from_pcm[i] = alaw_encode(i < 1 << 12 ? i : i - (1 << 13));
}

void g711_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_tables);
}

const int16_t *g711_decode_table(enum media_codec codec) {
    return codec == MEDIA_ALAW ? alaw_to_pcm : ulaw_to_pcm;
}

void g711_encode(enum media_codec codec, uint8_t *out, const int16_t *pcm, size_t samples) {
    if (codec == MEDIA_ALAW)
        for (size_t i = 0; i < samples; i++) out[i] = alaw_from_pcm[(uint16_t)pcm[i] >> 3];
    else
        for (size_t i = 0; i < samples; i++) out[i] = ulaw_from_pcm[(uint16_t)pcm[i] >> 2];
}

uint8_t g711_silence(enum media_codec codec) {
    return codec == MEDIA_ALAW ? 0xd5 : 0xff;
}
