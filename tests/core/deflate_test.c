/* SPDX-License-Identifier: Apache-2.0 */
#include "io/deflate.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

TEST(what_was_packed_comes_back_behind_what_was_there) {
    struct buf packed = {0}, out = {0};
    struct err e = {0};
    deflate_pack("a\0b", 3, &packed);
    buf_add_str(&out, "x");
    CHECK_INT(0, deflate_unpack(packed.data, packed.len, 3, &out, &e));
    CHECK_INT(4, out.len);
    CHECK(memcmp(out.data, "xa\0b", 5) == 0);
    buf_free(&packed);
    buf_free(&out);
}

TEST(nothing_is_packed_and_unpacked_too) {
    struct buf packed = {0}, out = {0};
    struct err e = {0};
    deflate_pack("", 0, &packed);
    CHECK(packed.len > 0);
    CHECK_INT(0, deflate_unpack(packed.data, packed.len, 0, &out, &e));
    CHECK_INT(0, out.len);
    buf_free(&packed);
    buf_free(&out);
}

TEST(a_bomb_is_refused_before_it_takes_its_memory) {
    enum { SIZE = 64 << 20, LIMIT = 100000 };
    struct buf packed = {0}, out = {0};
    struct err e = {0};
    char *zeros = calloc(1, SIZE);
    deflate_pack(zeros, SIZE, &packed);
    free(zeros);
    CHECK(packed.len < SIZE / 200);
    CHECK_INT(ERR_LIMIT, deflate_unpack(packed.data, packed.len, LIMIT, &out, &e));
    CHECK_INT(0, out.len);
    CHECK(out.cap < 4 * LIMIT);
    CHECK_STR("unpacked it has more than 100000 bytes", e.text);
    buf_free(&packed);
    buf_free(&out);
}

TEST(bytes_that_end_too_soon_or_are_changed_are_damaged) {
    struct buf packed = {0}, out = {0};
    struct err e = {0};
    char text[5000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * i % 251);
    deflate_pack(text, sizeof text, &packed);
    for (size_t len = 0; len < packed.len; len += 7)
        CHECK_INT(ERR_INVALID, deflate_unpack(packed.data, len, sizeof text, &out, &e));
    packed.data[packed.len - 1] ^= 1; /* the checksum */
    CHECK_INT(ERR_INVALID, deflate_unpack(packed.data, packed.len, sizeof text, &out, &e));
    CHECK_INT(0, out.len);
    buf_free(&packed);
    buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(what_was_packed_comes_back_behind_what_was_there),
        RUN(nothing_is_packed_and_unpacked_too),
        RUN(a_bomb_is_refused_before_it_takes_its_memory),
        RUN(bytes_that_end_too_soon_or_are_changed_are_damaged),
    };
    return RUN_ALL(tests);
}
