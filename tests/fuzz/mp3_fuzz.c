/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the sound is and however it is cut, the encoder takes it and gives no more than its bit rate. */
#include "media/mp3.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    enum { RATE = 8000, KBPS = 32, MOST_HELD = 4000 };
    struct mp3 *m = NULL;
    struct buf out = {0};
    struct err e = {0};
    size_t frames = 0;

    if (mp3_new(&m, RATE, KBPS, &e) < 0) abort();
    while (len >= 5) { /* how long the piece is, then its samples over and over */
        size_t piece = (size_t)bytes[0] * 40 + 1;
        int16_t *pcm = malloc(piece * 4);
        for (size_t i = 0; i < piece; i++) memcpy(pcm + 2 * i, bytes + 1 + (i % ((len - 1) / 4)) * 4, 4);
        if (mp3_feed(m, pcm, piece, &out, &e) < 0) abort();
        free(pcm);
        frames += piece;
        bytes += 5;
        len -= 5;
        if (frames > 10 * RATE) break;
    }
    if (mp3_end(m, &out, &e) < 0 || out.len > frames * KBPS / 8 / (RATE / 1000) + MOST_HELD) abort();
    buf_free(&out);
    mp3_free(m);
    return 0;
}
