/* SPDX-License-Identifier: Apache-2.0 */
/* A play that comes in pieces: what a provider sends, cut anywhere, while it is heard.
 * Input: a byte for the rate and the prebuffer, then of each step a byte: how many of the following bytes are the next piece
 * (0: none, 255: the end is told), and one: how many samples are taken after it. */
#include "base/err.h"
#include "media/feed.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    static const int rates[] = {8000, 16000, 24000, 8000};
    struct feed *f;
    uint64_t heard = 0;
    bool over = false;

    if (len == 0 || feed_new(&f, 1, rates[bytes[0] & 3], bytes[0] >> 2, NULL) < 0) return 0;
    bytes++;
    len--;
    while (len >= 2 && !over) {
        size_t piece = bytes[0];
        int room = bytes[1] % FRAME_SAMPLES + 1, n;
        bool stop = bytes[1] > 250;
        int16_t *out = malloc((size_t)room * sizeof *out); /* of just this size, so that a step beyond is seen */
        bytes += 2;
        len -= 2;
        if (piece == 255) {
            feed_end(f);
        } else {
            if (piece > len) piece = len;
            feed_append(f, bytes, piece, NULL);
            bytes += piece;
            len -= piece;
        }
        n = feed_take(f, out, room, stop, &over);
        if (n < 0 || n > room || (!over && n != room)) abort();
        heard += (uint64_t)n;
        free(out);
    }
    if (f->sent > f->appended || f->sent > heard || f->starved > heard) abort();
    feed_free(f);
    return 0;
}
