/* SPDX-License-Identifier: Apache-2.0 */
#include "media/rtp.h"
#include "test.h"
#include <string.h>

TEST(what_is_built_is_parsed_again) {
    uint8_t packet[RTP_HEADER_BYTES + 2] = {0};
    struct rtp in = {.payload_type = 8, .marker = true, .seq = 0xfffe, .timestamp = 0xfedcba98, .ssrc = 0x89abcdef};
    struct rtp out;
    rtp_build(packet, &in);
    packet[RTP_HEADER_BYTES] = 0xaa;
    CHECK(rtp_parse(&out, packet, sizeof packet));
    CHECK_INT(8, out.payload_type);
    CHECK(out.marker);
    CHECK_INT(0xfffe, out.seq);
    CHECK_INT(0xfedcba98, out.timestamp);
    CHECK_INT(0x89abcdef, out.ssrc);
    CHECK_INT(2, out.payload_len);
    CHECK_INT(0xaa, out.payload[0]);
}

TEST(sources_extension_and_padding_are_left_out) {
    uint8_t packet[12 + 2 * 4 + 4 + 4 + 3 + 2] = {0xb2, 0x00}; /* padding, extension, 2 sources */
    struct rtp out;
    packet[12 + 8 + 3] = 1; /* one word of extension */
    memset(packet + 12 + 8 + 4 + 4, 0x77, 3);
    packet[sizeof packet - 1] = 2;
    CHECK(rtp_parse(&out, packet, sizeof packet));
    CHECK_INT(3, out.payload_len);
    CHECK(out.payload == packet + 28);
}

TEST(lengths_that_lie_are_refused) {
    uint8_t packet[20] = {0x80};
    struct rtp out;
    CHECK(rtp_parse(&out, packet, 12));
    CHECK_INT(0, out.payload_len);
    CHECK(!rtp_parse(&out, packet, 11));
    packet[0] = 0x40; /* version 1 */
    CHECK(!rtp_parse(&out, packet, 20));
    packet[0] = 0x83; /* 3 sources: 24 bytes */
    CHECK(!rtp_parse(&out, packet, 20));
    packet[0] = 0x90; /* an extension of 65535 words */
    packet[14] = packet[15] = 0xff;
    CHECK(!rtp_parse(&out, packet, 20));
    CHECK(!rtp_parse(&out, packet, 14));
    packet[0] = 0xa0;
    packet[19] = 9; /* one more than there is behind the header */
    CHECK(!rtp_parse(&out, packet, 20));
    packet[19] = 0;
    CHECK(!rtp_parse(&out, packet, 20));
    packet[19] = 8;
    CHECK(rtp_parse(&out, packet, 20));
    CHECK_INT(0, out.payload_len);
}

TEST(sequence_goes_through_its_wrap_without_a_loss) {
    struct rtp_sequence s = {0};
    for (unsigned n = 65500; n < 65600; n++) CHECK(rtp_sequence_take(&s, (uint16_t)n));
    CHECK_INT(0, s.lost);
}

TEST(a_straggler_takes_its_loss_back_and_a_duplicate_is_refused) {
    struct rtp_sequence s = {0};
    CHECK(rtp_sequence_take(&s, 65534));
    CHECK(rtp_sequence_take(&s, 1)); /* 65535 and 0 are missing */
    CHECK_INT(2, s.lost);
    CHECK(rtp_sequence_take(&s, 65535));
    CHECK_INT(1, s.lost);
    CHECK_INT(1, s.reordered);
    CHECK(!rtp_sequence_take(&s, 65535));
    CHECK(!rtp_sequence_take(&s, 1));
    CHECK_INT(1, s.lost);
    CHECK_INT(2, s.duplicated);
    CHECK(!rtp_sequence_take(&s, 65000)); /* too old to tell */
    CHECK_INT(2, s.duplicated);
}

TEST(a_far_jump_is_a_new_beginning_and_no_loss) {
    struct rtp_sequence s = {0};
    CHECK(rtp_sequence_take(&s, 10));
    CHECK(rtp_sequence_take(&s, 30000));
    CHECK(rtp_sequence_take(&s, 30001));
    CHECK_INT(0, s.lost);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(what_is_built_is_parsed_again),
        RUN(sources_extension_and_padding_are_left_out),
        RUN(lengths_that_lie_are_refused),
        RUN(sequence_goes_through_its_wrap_without_a_loss),
        RUN(a_straggler_takes_its_loss_back_and_a_duplicate_is_refused),
        RUN(a_far_jump_is_a_new_beginning_and_no_loss),
    };
    return RUN_ALL(tests);
}
