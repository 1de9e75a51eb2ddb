/* SPDX-License-Identifier: Apache-2.0 */
#include "media/mp3.h"
#include "base/mem.h"
#include <lame/lame.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_FRAMES = 8000, TAIL_BYTES = 7200, QUALITY = 5 /* 0 best and slow, 9 worst and fast */ };

struct mp3 {
    lame_t lame;
};

/* It would write to the standard error of a server. */
static void say_nothing(const char *format, va_list args) {
    (void)format;
    (void)args;
}

/* LAME takes what is nearest without a word. */
static bool is_as_asked(lame_t lame, int rate, int kbps) {
    return lame_get_out_samplerate(lame) == rate && lame_get_brate(lame) == kbps;
}

int mp3_new(struct mp3 **out, int rate, int kbps, struct err *e) {
    lame_t lame = lame_init();

    if (lame == NULL) abort(); /* out of memory */
    lame_set_errorf(lame, say_nothing);
    lame_set_debugf(lame, say_nothing);
    lame_set_msgf(lame, say_nothing);
    lame_set_num_channels(lame, 2);
    lame_set_mode(lame, STEREO);
    lame_set_in_samplerate(lame, rate);
    lame_set_out_samplerate(lame, rate);
    lame_set_brate(lame, kbps);
    lame_set_quality(lame, QUALITY);
    lame_set_lowpassfreq(lame, -1); /* a telephone's sound has been through one */
    lame_set_bWriteVbrTag(lame, 0); /* it stands at the front and is known at the end */
    if (lame_init_params(lame) < 0 || !is_as_asked(lame, rate, kbps)) {
        lame_close(lame);
        return err_set(e, ERR_INVALID, "MP3 has no %d Hz with %d kbit/s", rate, kbps);
    }
    struct mp3 *m = mem_alloc(sizeof *m);
    m->lame = lame;
    *out = m;
    return 0;
}

void mp3_free(struct mp3 *m) {
    lame_close(m->lame);
    free(m);
}

static int take(struct buf *out, int written, struct err *e) {
    if (written < 0) return err_set(e, ERR_IO, "the MP3 encoder failed (%d)", written);
    out->len += (size_t)written;
    if (out->data != NULL) out->data[out->len] = '\0';
    return 0;
}

int mp3_feed(struct mp3 *m, const int16_t *pcm, size_t frames, struct buf *out, struct err *e) {
    int16_t piece[2 * PIECE_FRAMES]; /* LAME wants to be allowed to write to what it is given */

    for (size_t at = 0; at < frames;) {
        size_t count = frames - at < PIECE_FRAMES ? frames - at : PIECE_FRAMES, room = count * 5 / 4 + TAIL_BYTES;
        memcpy(piece, pcm + 2 * at, 2 * count * sizeof *piece);
        buf_reserve(out, room + 1);
        int rc = take(out,
                      lame_encode_buffer_interleaved(m->lame, piece, (int)count, (unsigned char *)out->data + out->len,
                                                     (int)room),
                      e);
        if (rc < 0) return rc;
        at += count;
    }
    return 0;
}

int mp3_end(struct mp3 *m, struct buf *out, struct err *e) {
    buf_reserve(out, TAIL_BYTES + 1);
    return take(out, lame_encode_flush(m->lame, (unsigned char *)out->data + out->len, TAIL_BYTES), e);
}
