/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/err.h"
#include "media/media.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add16(struct buf *b, unsigned n) {
    buf_add(b, (uint8_t[]){(uint8_t)n, (uint8_t)(n >> 8)}, 2);
}
static void add32(struct buf *b, uint32_t n) {
    add16(b, n & 0xffff);
    add16(b, n >> 16);
}

static void add_format(struct buf *b, unsigned format, unsigned channels, unsigned rate, unsigned bits) {
    buf_add(b, "fmt ", 4);
    add32(b, 16);
    add16(b, format);
    add16(b, channels);
    add32(b, rate);
    add32(b, rate * channels * 2);
    add16(b, channels * 2);
    add16(b, bits);
}

static struct buf wav_begin(void) {
    struct buf b = {0};
    buf_add(&b, "RIFF\0\0\0\0WAVE", 12);
    return b;
}

/* A tone of 400 Hz at half the scale; the right channel, if any, is silent. */
static struct buf tone_wav(unsigned channels, unsigned rate, unsigned frames) {
    struct buf b = wav_begin();
    add_format(&b, 1, channels, rate, 16);
    buf_add(&b, "LIST\3\0\0\0abc\0", 12); /* an odd chunk and its pad byte */
    buf_add(&b, "data", 4);
    add32(&b, frames * channels * 2);
    for (unsigned i = 0; i < frames; i++)
        for (unsigned c = 0; c < channels; c++)
            add16(&b, c == 0 ? (uint16_t)(int16_t)lround(16000 * sin(2 * M_PI * 400 * i / rate)) : 0);
    return b;
}

static struct media_audio *parse(struct buf *b) {
    struct media_audio *a = NULL;
    struct err e = {0};
    CHECK_INT(0, media_audio_from_wav(&a, b->data, b->len, &e));
    buf_free(b);
    return a;
}

static void check_refused(struct buf *b, const char *part_of_text) {
    struct media_audio *a = NULL;
    struct err e = {0};
    CHECK_INT(ERR_INVALID, media_audio_from_wav(&a, b->data, b->len, &e));
    CHECK(a == NULL);
    CHECK(strstr(e.text, part_of_text) != NULL);
    buf_free(b);
}

TEST(eight_kilohertz_mono_comes_through_unchanged) {
    struct buf b = tone_wav(1, 8000, 4000);
    struct media_audio *a = parse(&b);
    CHECK_INT(4000, media_audio_samples(a));
    for (unsigned i = 0; i < 4000; i++)
        CHECK_INT(lround(16000 * sin(2 * M_PI * 400 * i / 8000)), media_audio_pcm(a)[i]);
    media_audio_unref(a);
}

/* Right in length, in place and in level: the difference to the ideal tone is small away from the edges. */
static void check_resampled(unsigned channels, unsigned rate, double level) {
    struct buf b = tone_wav(channels, rate, rate / 2);
    struct media_audio *a = parse(&b);
    CHECK_INT(4000, media_audio_samples(a));
    for (unsigned i = 200; i < 3800; i++) {
        double want = level * sin(2 * M_PI * 400 * i / 8000);
        CHECK(fabs(media_audio_pcm(a)[i] - want) < 0.03 * level + 2);
    }
    media_audio_unref(a);
}
TEST(other_rates_are_resampled_in_place) {
    check_resampled(1, 16000, 16000);
    check_resampled(1, 22050, 16000);
    check_resampled(1, 44100, 16000);
    check_resampled(1, 48000, 16000);
}
TEST(stereo_is_mixed_down) {
    check_resampled(2, 48000, 8000);
}

TEST(a_size_that_a_pipe_could_not_know_means_all_there_is) {
    struct buf b = tone_wav(1, 8000, 100);
    memset(b.data + b.len - 204, 0xff, 4);
    struct media_audio *a = parse(&b);
    CHECK_INT(100, media_audio_samples(a));
    media_audio_unref(a);
}

TEST(what_cannot_be_played_is_refused_with_the_reason) {
    struct buf b = {0};
    buf_add_str(&b, "ID3 something else entirely");
    check_refused(&b, "not a WAV");
    b = wav_begin();
    add_format(&b, 1, 1, 8000, 8);
    check_refused(&b, "8 bits");
    b = wav_begin();
    add_format(&b, 7, 1, 8000, 16);
    check_refused(&b, "format 7");
    b = wav_begin();
    add_format(&b, 1, 3, 8000, 16);
    check_refused(&b, "3 channels");
    b = wav_begin();
    add_format(&b, 1, 1, 96000, 16);
    check_refused(&b, "96000");
    b = wav_begin();
    add_format(&b, 1, 1, 8000, 16);
    check_refused(&b, "no data");
    b = wav_begin();
    buf_add(&b, "data\0\0\0\0", 8);
    check_refused(&b, "before its format");
    b = wav_begin();
    buf_add(&b, "junk\xff\xff\xff\xff", 8);
    check_refused(&b, "no data");
}

TEST(every_cut_of_a_file_is_either_shorter_or_refused) {
    struct buf b = tone_wav(2, 44100, 60);
    for (size_t len = 0; len <= b.len; len++) {
        char *copy = malloc(len > 0 ? len : 1); /* of just this size, so that a step beyond is seen */
        struct media_audio *a = NULL;
        memcpy(copy, b.data, len);
        if (media_audio_from_wav(&a, copy, len, NULL) == 0) CHECK(media_audio_samples(a) <= 10);
        media_audio_unref(a);
        free(copy);
    }
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(eight_kilohertz_mono_comes_through_unchanged),
        RUN(other_rates_are_resampled_in_place),
        RUN(stereo_is_mixed_down),
        RUN(a_size_that_a_pipe_could_not_know_means_all_there_is),
        RUN(what_cannot_be_played_is_refused_with_the_reason),
        RUN(every_cut_of_a_file_is_either_shorter_or_refused),
    };
    return RUN_ALL(tests);
}
