/* SPDX-License-Identifier: Apache-2.0 */
#include "script/bundle.h"
#include "test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add(struct buf *b, const char *path, const char *data, struct err *e) {
    return bundle_add(b, path, strlen(path), data, strlen(data), e);
}

TEST(files_come_back_as_they_were_added) {
    struct buf b = {0};
    struct bundle_file f;
    size_t at = 0;

    bundle_begin(&b);
    CHECK_INT(0, add(&b, "bundle.lua", "return {}", NULL));
    CHECK_INT(0, add(&b, "flows/main.lua", "", NULL));
    CHECK_INT(0, add(&b, "kb/a-b_c.1.md", "text", NULL));
    CHECK_INT(0, bundle_check(b.data, b.len, NULL));
    CHECK_INT(1, bundle_next(b.data, b.len, &at, &f, NULL));
    CHECK(f.path_len == 10 && memcmp(f.path, "bundle.lua", 10) == 0 && f.len == 9);
    CHECK_INT(1, bundle_next(b.data, b.len, &at, &f, NULL));
    CHECK_INT(0, f.len);
    CHECK_INT(1, bundle_next(b.data, b.len, &at, &f, NULL));
    CHECK(f.len == 4 && memcmp(f.data, "text", 4) == 0);
    CHECK_INT(0, bundle_next(b.data, b.len, &at, &f, NULL));
    buf_free(&b);
}

TEST(paths_that_lead_elsewhere_are_refused) {
    static const char *bad[] = {"",     "/etc/passwd", "../x", "a/../b", "a/..", ".",        "./a",
                                "a//b", "a/",          "a b",  "a\\b",   "a\nb", "\xc3\xa4", "a:b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        CHECK_INT(ERR_INVALID, bundle_path_check(bad[i], strlen(bad[i]), &e));
        CHECK(e.text[0]);
    }
    CHECK_INT(ERR_INVALID, bundle_path_check("a\0b", 3, NULL));
    CHECK_INT(0, bundle_path_check("..a/b..", 7, NULL));
    char path[BUNDLE_PATH_MAX + 1];
    memset(path, 'a', sizeof path);
    CHECK_INT(0, bundle_path_check(path, BUNDLE_PATH_MAX, NULL));
    CHECK_INT(ERR_INVALID, bundle_path_check(path, sizeof path, NULL));
}

TEST(errors_name_the_file) {
    struct buf b = {0};
    struct err e = {0};
    char *big = malloc(BUNDLE_FILE_MAX + 1);
    memset(big, ' ', BUNDLE_FILE_MAX + 1);
    bundle_begin(&b);
    CHECK_INT(ERR_LIMIT, bundle_add(&b, "flows/big.lua", 13, big, BUNDLE_LUA_MAX + 1, &e));
    CHECK(strstr(e.text, "flows/big.lua"));
    CHECK_INT(ERR_LIMIT, bundle_add(&b, "kb/big.md", 9, big, BUNDLE_FILE_MAX + 1, &e));
    CHECK(strstr(e.text, "kb/big.md"));
    CHECK_INT(ERR_INVALID, bundle_add(&b, "flows/x.lua", 11, "\x1bLJ", 3, &e));
    CHECK(strstr(e.text, "flows/x.lua"));
    CHECK_INT(0, bundle_add(&b, "m.lua", 5, big, BUNDLE_LUA_MAX, &e));
    CHECK_INT(ERR_INVALID, add(&b, "m.lua", "", &e));
    CHECK(strstr(e.text, "m.lua"));
    CHECK_INT(ERR_INVALID, add(&b, "a.lua", "", &e));
    CHECK_INT(0, bundle_check(b.data, b.len, NULL));
    free(big);
    buf_free(&b);
}

TEST(too_many_files_or_bytes_are_refused) {
    struct buf b = {0};
    struct err e = {0};
    char path[32], *big = calloc(1, BUNDLE_FILE_MAX);
    bundle_begin(&b);
    for (int i = 0; i < BUNDLE_FILES; i++) {
        snprintf(path, sizeof path, "f%03d", i);
        CHECK_INT(0, add(&b, path, "", NULL));
    }
    CHECK_INT(ERR_LIMIT, add(&b, "g", "", &e));
    buf_clear(&b);
    bundle_begin(&b);
    int rc = 0;
    for (int i = 0; i < 20 && rc == 0; i++) {
        snprintf(path, sizeof path, "f%03d", i);
        rc = bundle_add(&b, path, strlen(path), big, BUNDLE_FILE_MAX, &e);
    }
    CHECK_INT(ERR_LIMIT, rc);
    CHECK(b.len <= BUNDLE_MAX);
    free(big);
    buf_free(&b);
}

TEST(every_cut_and_every_lie_about_a_length_is_seen) {
    struct buf b = {0};
    bundle_begin(&b);
    add(&b, "a", "one", NULL);
    add(&b, "b", "two", NULL);
    size_t first_end = 4 + 8 + 1 + 3;
    for (size_t len = 0; len < b.len; len++) {
        char *cut = malloc(len ? len : 1);
        memcpy(cut, b.data, len);
        if (len == 4 || len == first_end)
            CHECK_INT(0, bundle_check(cut, len, NULL));
        else
            CHECK(bundle_check(cut, len, NULL) < 0);
        free(cut);
    }
    for (size_t i = 4; i < 12; i++) {
        b.data[i] ^= (char)0xff;
        CHECK(bundle_check(b.data, b.len, NULL) < 0);
        b.data[i] ^= (char)0xff;
    }
    CHECK_INT(0, bundle_check(b.data, b.len, NULL));
    b.data[4 + 8] = 'c'; /* now out of order */
    CHECK_INT(ERR_INVALID, bundle_check(b.data, b.len, NULL));
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(files_come_back_as_they_were_added), RUN(paths_that_lead_elsewhere_are_refused), RUN(errors_name_the_file),
        RUN(too_many_files_or_bytes_are_refused), RUN(every_cut_and_every_lie_about_a_length_is_seen)};
    return RUN_ALL(tests);
}
