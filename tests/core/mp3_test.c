/* SPDX-License-Identifier: Apache-2.0 */
/* What the encoder makes is decoded by LAME's own decoder, as a player would. */
#include "media/mp3.h"
#include "test.h"
#include <lame/lame.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 8000, KBPS = 32, SECONDS = 3, FRAMES = RATE * SECONDS };

/* A tone of 500 Hz on the left, nothing on the right. */
static int16_t *tone(void) {
    int16_t *pcm = calloc(2 * FRAMES, sizeof *pcm);
    for (int i = 0; i < FRAMES; i++) pcm[2 * i] = (int16_t)(8000 * sin(2 * M_PI * 500 * i / RATE));
    return pcm;
}

static struct buf encoded(const int16_t *pcm, size_t frames, size_t piece) {
    struct mp3 *m = NULL;
    struct buf out = {0};
    struct err e = {0};
    CHECK_INT(0, mp3_new(&m, RATE, KBPS, &e));
    for (size_t at = 0; at < frames; at += piece)
        CHECK_INT(0, mp3_feed(m, pcm + 2 * at, frames - at < piece ? frames - at : piece, &out, &e));
    CHECK_INT(0, mp3_end(m, &out, &e));
    mp3_free(m);
    return out;
}

/* Sizes of the channels' sound (root mean square), and how many frames there were. */
static size_t heard(const struct buf *mp3, double *left, double *right) {
    enum { ROOM = FRAMES + 20000 };
    short *l = calloc(ROOM, sizeof *l), *r = calloc(ROOM, sizeof *r);
    hip_t decoder = hip_decode_init();
    int count = hip_decode(decoder, (unsigned char *)mp3->data, mp3->len, l, r), more;
    while (count >= 0 && (more = hip_decode(decoder, (unsigned char *)"", 0, l + count, r + count)) > 0) count += more;
    *left = *right = 0;
    for (int i = 0; i < count; i++) {
        *left += (double)l[i] * l[i];
        *right += (double)r[i] * r[i];
    }
    if (count > 0) {
        *left = sqrt(*left / count);
        *right = sqrt(*right / count);
    }
    hip_decode_exit(decoder);
    free(l);
    free(r);
    return count > 0 ? (size_t)count : 0;
}

TEST(a_player_hears_the_left_on_the_left_for_as_long_as_it_was) {
    int16_t *pcm = tone();
    struct buf out = encoded(pcm, FRAMES, FRAMES);
    double left, right;
    size_t frames = heard(&out, &left, &right);
    CHECK(frames >= FRAMES && frames < FRAMES + 3000);
    CHECK(left > 4500 && left < 6500);
    CHECK(right < 30);
    CHECK(out.len > KBPS * 1000 / 8 * SECONDS && out.len < KBPS * 1000 / 8 * (SECONDS + 1));
    buf_free(&out);
    free(pcm);
}

TEST(pieces_of_any_length_make_the_same_file) {
    int16_t *pcm = tone();
    struct buf whole = encoded(pcm, FRAMES, FRAMES);
    for (size_t piece = 1; piece < FRAMES; piece = piece * 5 + 3) {
        struct buf out = encoded(pcm, FRAMES, piece);
        CHECK_INT(whole.len, out.len);
        CHECK(memcmp(whole.data, out.data, out.len) == 0);
        buf_free(&out);
    }
    buf_free(&whole);
    free(pcm);
}

TEST(no_sound_is_a_file_that_ends) {
    static const int16_t none[2];
    struct buf out = encoded(none, 0, 1);
    CHECK(out.len < 2000);
    buf_free(&out);
}

TEST(what_mp3_has_not_is_refused) {
    struct mp3 *m = NULL;
    struct err e = {0};
    CHECK_INT(ERR_INVALID, mp3_new(&m, 1234, KBPS, &e));
    CHECK_STR("MP3 has no 1234 Hz with 32 kbit/s", e.text);
    CHECK_INT(ERR_INVALID, mp3_new(&m, RATE, 33, &e));
    CHECK_INT(ERR_INVALID, mp3_new(&m, RATE, 320, &e));
    CHECK_INT(ERR_INVALID, mp3_new(&m, 0, 0, &e));
    CHECK(m == NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_player_hears_the_left_on_the_left_for_as_long_as_it_was),
        RUN(pieces_of_any_length_make_the_same_file),
        RUN(no_sound_is_a_file_that_ends),
        RUN(what_mp3_has_not_is_refused),
    };
    return RUN_ALL(tests);
}
