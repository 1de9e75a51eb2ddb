/* SPDX-License-Identifier: Apache-2.0 */
#include "media/g711.h"
#include "test.h"
#include <stdlib.h>

static uint8_t encode(enum media_codec codec, int pcm) {
    int16_t sample = (int16_t)pcm;
    uint8_t code;
    g711_encode(codec, &code, &sample, 1);
    return code;
}

TEST(known_values_of_both_laws) {
    const int16_t *ulaw = g711_decode_table(MEDIA_ULAW), *alaw = g711_decode_table(MEDIA_ALAW);
    CHECK_INT(-32124, ulaw[0x00]);
    CHECK_INT(32124, ulaw[0x80]);
    CHECK_INT(0, ulaw[0xff]);
    CHECK_INT(0, ulaw[0x7f]);
    CHECK_INT(8, ulaw[0xfe]);
    CHECK_INT(-5504, alaw[0x00]);
    CHECK_INT(5504, alaw[0x80]);
    CHECK_INT(8, alaw[0xd5]);
    CHECK_INT(-8, alaw[0x55]);
    CHECK_INT(32256, alaw[0xaa]);
    CHECK_INT(0xff, encode(MEDIA_ULAW, 0));
    CHECK_INT(0x80, encode(MEDIA_ULAW, 32767));
    CHECK_INT(0x00, encode(MEDIA_ULAW, -32768));
    CHECK_INT(0xce, encode(MEDIA_ULAW, 1000));
    CHECK_INT(0xd5, encode(MEDIA_ALAW, 0));
    CHECK_INT(0xaa, encode(MEDIA_ALAW, 32767));
    CHECK_INT(0x2a, encode(MEDIA_ALAW, -32768));
    CHECK_INT(0xfa, encode(MEDIA_ALAW, 1000));
    CHECK_INT(encode(MEDIA_ULAW, 0), g711_silence(MEDIA_ULAW));
    CHECK_INT(encode(MEDIA_ALAW, 0), g711_silence(MEDIA_ALAW));
}

TEST(every_code_survives_a_round_trip) {
    for (int code = 0; code < 256; code++) {
        int ulaw = encode(MEDIA_ULAW, g711_decode_table(MEDIA_ULAW)[code]);
        CHECK_INT(code == 0x7f ? 0xff : code, ulaw); /* the second zero of µ-law */
        CHECK_INT(code, encode(MEDIA_ALAW, g711_decode_table(MEDIA_ALAW)[code]));
    }
}

/* Within half a step of the segment, which doubles from one to the next, and the bits that the law does not look at. */
TEST(ulaw_is_off_by_half_a_step_at_most) {
    const int16_t *table = g711_decode_table(MEDIA_ULAW);
    for (int pcm = -32635; pcm <= 32635; pcm++) {
        int code = encode(MEDIA_ULAW, pcm), half = 4 << (~code >> 4 & 7);
        CHECK(abs(table[code] - pcm) <= half + 3);
    }
}
TEST(alaw_is_off_by_half_a_step_at_most) {
    const int16_t *table = g711_decode_table(MEDIA_ALAW);
    for (int pcm = -32768; pcm <= 32767; pcm++) {
        int code = encode(MEDIA_ALAW, pcm), segment = (code ^ 0x55) >> 4 & 7;
        CHECK(abs(table[code] - pcm) <= (segment < 2 ? 8 : 8 << (segment - 1)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(known_values_of_both_laws),
        RUN(every_code_survives_a_round_trip),
        RUN(ulaw_is_off_by_half_a_step_at_most),
        RUN(alaw_is_off_by_half_a_step_at_most),
    };
    g711_init();
    return RUN_ALL(tests);
}
