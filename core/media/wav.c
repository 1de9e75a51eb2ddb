/* SPDX-License-Identifier: Apache-2.0 */
/* media_audio_from_wav(): RIFF/WAVE from uploads and synthesisers, so from hostile bytes. */
#include "base/err.h"
#include "base/mem.h"
#include "media/audio.h"
#include <speex/speex_resampler.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 8000, RATE_MAX = 48000, QUALITY = 5, FORMAT_PCM = 1, FORMAT_EXTENSIBLE = 0xfffe };

struct wav {
    unsigned channels, rate;
    const uint8_t *data; /* little-endian 16 bit samples, channels interleaved; NULL: no such chunk */
    size_t frames;
};

static unsigned read16(const uint8_t *p) {
    return (unsigned)(p[0] | p[1] << 8);
}
static uint32_t read32(const uint8_t *p) {
    return (uint32_t)read16(p) | (uint32_t)read16(p + 2) << 16;
}

static int read_format(struct wav *w, const uint8_t *chunk, size_t len, struct err *e) {
    if (len < 16) return err_set(e, ERR_INVALID, "WAV: the format chunk is too short");
    unsigned format = read16(chunk), bits = read16(chunk + 14);
    /* Extensible: the first two bytes of the GUID are the format. */
    if (format == FORMAT_EXTENSIBLE && len >= 26) format = read16(chunk + 24);
    w->channels = read16(chunk + 2);
    w->rate = read32(chunk + 4);
    if (format != FORMAT_PCM || bits != 16)
        return err_set(e, ERR_INVALID, "WAV: format %u with %u bits; it must be PCM with 16 bits", format, bits);
    if (w->channels < 1 || w->channels > 2)
        return err_set(e, ERR_INVALID, "WAV: %u channels; it must have 1 or 2", w->channels);
    if (w->rate < RATE || w->rate > RATE_MAX)
        return err_set(e, ERR_INVALID, "WAV: %u samples per second; it must be %d to %d", w->rate, RATE, RATE_MAX);
    return 0;
}

static int wav_parse(struct wav *w, const uint8_t *bytes, size_t len, struct err *e) {
    if (len < 12 || memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0)
        return err_set(e, ERR_INVALID, "not a WAV file (RIFF/WAVE)");
    *w = (struct wav){0};
    for (size_t at = 12; len - at >= 8;) {
        const uint8_t *chunk = bytes + at + 8;
        size_t size = read32(bytes + at + 4), left = len - at - 8;
        if (memcmp(bytes + at, "fmt ", 4) == 0) {
            int rc = read_format(w, chunk, size < left ? size : left, e);
            if (rc < 0) return rc;
        } else if (memcmp(bytes + at, "data", 4) == 0) {
            if (w->channels == 0) return err_set(e, ERR_INVALID, "WAV: data before its format");
            /* A writer to a pipe cannot know the size and says 0 or a huge one: then it is all that is there. */
            w->data = chunk;
            w->frames = (size == 0 || size > left ? left : size) / (2 * w->channels);
            return 0;
        }
        size += size & 1; /* chunks lie on even places */
        if (size >= left) break;
        at += 8 + size;
    }
    return err_set(e, ERR_INVALID, "WAV: it has no data chunk");
}

static void mix_down(int16_t *out, const struct wav *w) {
    for (size_t i = 0; i < w->frames; i++) {
        const uint8_t *frame = w->data + i * 2 * w->channels;
        int left = (int16_t)read16(frame), right = w->channels == 2 ? (int16_t)read16(frame + 2) : left;
        out[i] = (int16_t)((left + right) / 2);
    }
}

/* Fills out exactly: the filter's delay is skipped at the front and made up with silence at the end. */
static int resample(struct media_audio *out, const int16_t *pcm, size_t count, unsigned rate, struct err *e) {
    static const int16_t silence[RATE_MAX / 100];
    int why = 0;
    SpeexResamplerState *state = speex_resampler_init(1, rate, RATE, QUALITY, &why);
    if (state == NULL) return err_set(e, ERR_INVALID, "WAV: cannot resample: %s", speex_resampler_strerror(why));
    speex_resampler_skip_zeros(state);
    for (size_t done = 0, used = 0; done < out->samples;) {
        bool rest = used < count;
        size_t left = rest ? count - used : sizeof silence / sizeof *silence, room = out->samples - done;
        spx_uint32_t in = (spx_uint32_t)(left > 65536 ? 65536 : left);
        spx_uint32_t got = (spx_uint32_t)(room > 65536 ? 65536 : room);
        why = speex_resampler_process_int(state, 0, rest ? pcm + used : silence, &in, out->pcm + done, &got);
        if (why != RESAMPLER_ERR_SUCCESS || (in == 0 && got == 0)) break;
        if (rest) used += in;
        done += got;
    }
    speex_resampler_destroy(state);
    return 0;
}

int media_audio_from_wav(struct media_audio **out, const void *wav, size_t len, struct err *e) {
    struct wav w;
    int rc = wav_parse(&w, wav, len, e);
    if (rc < 0) return rc;
    struct media_audio *audio = audio_new_blank((size_t)((uint64_t)w.frames * RATE / w.rate));
    if (w.rate == RATE) {
        mix_down(audio->pcm, &w);
    } else {
        int16_t *pcm = mem_alloc((w.frames + 1) * sizeof *pcm);
        mix_down(pcm, &w);
        rc = resample(audio, pcm, w.frames, w.rate, e);
        free(pcm);
    }
    if (rc < 0) {
        media_audio_unref(audio);
        return rc;
    }
    *out = audio;
    return 0;
}
