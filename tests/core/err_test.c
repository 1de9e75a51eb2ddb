/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "test.h"
#include <string.h>

TEST(err_set_returns_the_code_and_keeps_the_line) {
    struct err e = {0};
    CHECK_INT(ERR_LIMIT, err_set(&e, ERR_LIMIT, "all %d lines are in use", 40));
    CHECK_INT(ERR_LIMIT, e.code);
    CHECK_STR("all 40 lines are in use", e.text);
}

TEST(err_set_works_where_nobody_wants_the_text) {
    CHECK_INT(ERR_IO, err_set(NULL, ERR_IO, "disk %s", "full"));
}

TEST(a_text_too_long_is_cut) {
    struct err e;
    char text[400];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&e, ERR_IO, "%s", text);
    CHECK_INT(sizeof e.text - 1, strlen(e.text));
}

TEST(an_error_can_be_put_into_its_own_text) {
    struct err e;
    err_set(&e, ERR_IO, "connection refused");
    err_set(&e, e.code, "redis: %s", e.text);
    CHECK_STR("redis: connection refused", e.text);
}

TEST(each_code_has_its_own_name) {
    for (int a = ERR_INVALID; a >= ERR_STALE; a--) {
        CHECK(strcmp(err_name(a), "unknown") != 0);
        for (int b = ERR_INVALID; b > a; b--) CHECK(strcmp(err_name(a), err_name(b)) != 0);
    }
    CHECK_STR("not_found", err_name(ERR_NOT_FOUND));
    CHECK_STR("unknown", err_name(ERR_STALE - 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(err_set_returns_the_code_and_keeps_the_line),
        RUN(err_set_works_where_nobody_wants_the_text),
        RUN(a_text_too_long_is_cut),
        RUN(an_error_can_be_put_into_its_own_text),
        RUN(each_code_has_its_own_name),
    };
    return RUN_ALL(tests);
}
