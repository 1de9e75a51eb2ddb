/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/str.h"
#include "test.h"
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static char *json_of(const char *text, size_t len) {
    struct buf b = {0};
    str_json(&b, text, len);
    return buf_take(&b);
}

static void check_json(const char *want, const char *text, size_t len) {
    char *got = json_of(text, len);
    CHECK_STR(want, got);
    free(got);
}

TEST(a_copy_too_long_is_cut_and_said_so) {
    char out[4];
    CHECK(str_copy(out, sizeof out, "abc"));
    CHECK_STR("abc", out);
    CHECK(!str_copy(out, sizeof out, "abcd"));
    CHECK_STR("abc", out);
    CHECK(!str_copy(out, 0, ""));
}

TEST(a_prefix_is_found_only_at_the_start) {
    CHECK(str_starts("env:NAME", "env:"));
    CHECK(str_starts("x", ""));
    CHECK(!str_starts("en", "env:"));
    CHECK(!str_starts(" env:", "env:"));
}

TEST(json_text_escapes_what_json_forbids) {
    check_json("a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f/", "a\"b\\c\n\r\t\x01\x7f/", 11);
    check_json("\\u0000", "\0", 1);
    check_json("", "", 0);
    check_json("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9);
}

TEST(bytes_that_are_no_utf8_become_the_replacement_character) {
    check_json("\xEF\xBF\xBD", "\xFF", 1);
    check_json("\xEF\xBF\xBDx", "\xC3x", 2);
    check_json("\xEF\xBF\xBD\xEF\xBF\xBD", "\xC0\xAF", 2);                 /* overlong '/' */
    check_json("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", "\xED\xA0\x80", 3); /* a surrogate */
    check_json("\xEF\xBF\xBD\xEF\xBF\xBD", "\xE2\x82", 2);                 /* cut in the middle */
}

TEST(whatever_the_bytes_the_json_parses) {
    srand(7);
    for (int round = 0; round < 2000; round++) {
        char bytes[40];
        size_t len = (size_t)rand() % sizeof bytes;
        for (size_t i = 0; i < len; i++) bytes[i] = (char)rand();
        struct buf b = {0};
        buf_add_str(&b, "[\"");
        str_json(&b, bytes, len);
        buf_add_str(&b, "\"]");
        json_t *value = json_loadb(b.data, b.len, JSON_ALLOW_NUL, NULL);
        CHECK(value != NULL);
        if (str_is_utf8(bytes, len)) {
            CHECK_INT(len, json_string_length(json_array_get(value, 0)));
            CHECK(memcmp(bytes, json_string_value(json_array_get(value, 0)), len) == 0);
        }
        json_decref(value);
        buf_free(&b);
    }
}

TEST(utf8_is_told_from_what_only_looks_like_it) {
    CHECK(str_is_utf8("", 0));
    CHECK(str_is_utf8("a\0b", 3));
    CHECK(str_is_utf8("\xF4\x8F\xBF\xBF", 4));
    CHECK(!str_is_utf8("\xF4\x90\x80\x80", 4)); /* above U+10FFFF */
    CHECK(!str_is_utf8("\xF0\x80\x80\x80", 4));
    CHECK(!str_is_utf8("\xE0\x80\x80", 3));
    CHECK(!str_is_utf8("\x80", 1));
    CHECK(!str_is_utf8("\xF8\x88\x80\x80\x80", 5));
}

TEST(a_number_is_the_whole_text_and_fits) {
    long long n;
    CHECK(str_to_int("0", &n) && n == 0);
    CHECK(str_to_int("-9223372036854775808", &n) && n == LLONG_MIN);
    CHECK(str_to_int("9223372036854775807", &n) && n == LLONG_MAX);
    static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "1x", "0x10", "1.0", "9223372036854775808", "--1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!str_to_int(bad[i], &n));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_copy_too_long_is_cut_and_said_so),  RUN(a_prefix_is_found_only_at_the_start),
        RUN(json_text_escapes_what_json_forbids), RUN(bytes_that_are_no_utf8_become_the_replacement_character),
        RUN(whatever_the_bytes_the_json_parses),  RUN(utf8_is_told_from_what_only_looks_like_it),
        RUN(a_number_is_the_whole_text_and_fits),
    };
    return RUN_ALL(tests);
}
