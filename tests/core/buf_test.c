/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/mem.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

TEST(bytes_added_follow_each_other_and_end_with_nul) {
    struct buf b = {0};
    buf_add(&b, "a\0b", 3);
    buf_add_str(&b, "cd");
    buf_printf(&b, "%d%s", 12, "");
    CHECK_INT(7, b.len);
    CHECK(memcmp(b.data, "a\0bcd12", 8) == 0);
    buf_free(&b);
    CHECK(b.data == NULL && b.len == 0 && b.cap == 0);
}

TEST(a_buffer_grows_far_beyond_its_first_size) {
    struct buf b = {0};
    for (int i = 0; i < 10000; i++) buf_printf(&b, "%05d", i);
    CHECK_INT(50000, b.len);
    CHECK(memcmp(b.data + 5 * 9876, "09876", 5) == 0);
    CHECK_INT(b.len, strlen(b.data));
    buf_free(&b);
}

TEST(reserve_gives_room_and_changes_nothing_else) {
    struct buf b = {0};
    buf_reserve(&b, 1000);
    CHECK(b.cap >= 1001 && b.len == 0);
    CHECK_STR("", b.data);
    char *before = b.data;
    for (int i = 0; i < 1000; i++) buf_add(&b, "x", 1);
    CHECK(b.data == before);
    buf_free(&b);
}

TEST(drop_takes_bytes_from_the_front) {
    struct buf b = {0};
    buf_add_str(&b, "hello world");
    buf_drop(&b, 6);
    CHECK_STR("world", b.data);
    buf_drop(&b, 0);
    CHECK_INT(5, b.len);
    buf_drop(&b, 99);
    CHECK_INT(0, b.len);
    CHECK_STR("", b.data);
    buf_free(&b);
    buf_drop(&b, 1);
    CHECK(b.data == NULL);
}

TEST(clear_keeps_the_memory) {
    struct buf b = {0};
    buf_add_str(&b, "text");
    size_t cap = b.cap;
    buf_clear(&b);
    CHECK_INT(0, b.len);
    CHECK_INT(cap, b.cap);
    CHECK_STR("", b.data);
    buf_free(&b);
}

TEST(take_hands_over_the_bytes_and_empties_the_buffer) {
    struct buf b = {0};
    buf_add_str(&b, "mine");
    char *text = buf_take(&b);
    CHECK_STR("mine", text);
    CHECK(b.data == NULL && b.cap == 0);
    free(text);
    text = buf_take(&b); /* of nothing: an empty text, not NULL */
    CHECK_STR("", text);
    free(text);
}

TEST(mem_copies_are_the_callers) {
    char *text = mem_printf("%s-%d", "a", 5), *copy = mem_strdup(text);
    CHECK_STR("a-5", copy);
    CHECK(copy != text && mem_strdup(NULL) == NULL);
    unsigned char *zero = mem_alloc(100);
    for (int i = 0; i < 100; i++) CHECK_INT(0, zero[i]);
    free(text);
    free(copy);
    free(zero);
    free(mem_alloc(0));
    free(mem_dup(NULL, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(bytes_added_follow_each_other_and_end_with_nul),
        RUN(a_buffer_grows_far_beyond_its_first_size),
        RUN(reserve_gives_room_and_changes_nothing_else),
        RUN(drop_takes_bytes_from_the_front),
        RUN(clear_keeps_the_memory),
        RUN(take_hands_over_the_bytes_and_empties_the_buffer),
        RUN(mem_copies_are_the_callers),
    };
    return RUN_ALL(tests);
}
