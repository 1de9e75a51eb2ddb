/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/err.h"
#include "test.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t parsed(const char *text) {
    int64_t us = INT64_MIN;
    return clock_parse_rfc3339(text, strlen(text), &us) == 0 ? us : INT64_MIN;
}

static const char *shown(int64_t us) {
    static char text[28];
    clock_rfc3339(us, text);
    return text;
}

TEST(a_time_is_written_with_six_digits_in_utc) {
    CHECK_STR("1970-01-01T00:00:00.000000Z", shown(0));
    CHECK_STR("2026-11-22T10:00:00.000123Z", shown(1795341600000123));
    CHECK_STR("1969-12-31T23:59:59.999999Z", shown(-1));
    CHECK_STR("2000-02-29T00:00:00.000000Z", shown(951782400000000));
}

TEST(a_time_outside_four_digit_years_is_held_at_the_edge) {
    CHECK_STR("0000-01-01T00:00:00.000000Z", shown(INT64_MIN));
    CHECK_STR("9999-12-31T23:59:59.999999Z", shown(INT64_MAX));
}

TEST(the_calendar_agrees_with_the_c_library) {
    for (int64_t s = -62135596800; s < 253402300000; s += 86400 * 17 + 12345) {
        struct tm tm;
        char want[64];
        time_t t = s;
        gmtime_r(&t, &tm);
        snprintf(want, sizeof want, "%04d-%02d-%02dT%02d:%02d:%02d.000007Z", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        CHECK_STR(want, shown(s * 1000000 + 7));
        CHECK(parsed(want) == s * 1000000 + 7);
    }
}

TEST(offsets_and_fractions_are_understood) {
    CHECK(parsed("1970-01-01T00:00:00Z") == 0);
    CHECK(parsed("1970-01-01t01:30:00+01:30") == 0);
    CHECK(parsed("1969-12-31T19:00:00-05:00") == 0);
    CHECK(parsed("1970-01-01T00:00:00.5z") == 500000);
    CHECK(parsed("1970-01-01T00:00:00.000001Z") == 1);
    CHECK(parsed("1969-12-31T23:59:59.999999Z") == -1);
}

TEST(a_leap_second_becomes_the_next_second_and_only_stands_at_midnight) {
    CHECK(parsed("2016-12-31T23:59:60Z") == parsed("2017-01-01T00:00:00Z"));
    CHECK(parsed("2017-01-01T00:59:60+01:00") == parsed("2017-01-01T00:00:00Z"));
    CHECK(parsed("2016-12-31T12:00:60Z") == INT64_MIN);
}

TEST(what_is_no_time_is_refused) {
    static const char *const bad[] = {
        "",
        "2026",
        "2026-11-22",
        "2026-11-22T10:00:00",
        "2026-11-22 10:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00Zx",
        "+026-01-01T00:00:00Z",
        "2026-01-01T00:00:00+01:00 ",
        "2026-1-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(parsed(bad[i]) == INT64_MIN);
    int64_t us;
    CHECK_INT(ERR_INVALID, clock_parse_rfc3339("1970-01-01T00:00:00Z", 19, &us)); /* the length counts, not a NUL */
}

TEST(the_clocks_go_forward) {
    uint64_t a = clock_mono_us(), ms = clock_mono_ms();
    CHECK(clock_mono_us() >= a && ms >= a / 1000 && ms - a / 1000 < 60000);
    CHECK(clock_wall_us() / 1000000 - (int64_t)time(NULL) <= 1);
    CHECK(clock_wall_us() > 1700000000000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_time_is_written_with_six_digits_in_utc),
        RUN(a_time_outside_four_digit_years_is_held_at_the_edge),
        RUN(the_calendar_agrees_with_the_c_library),
        RUN(offsets_and_fractions_are_understood),
        RUN(a_leap_second_becomes_the_next_second_and_only_stands_at_midnight),
        RUN(what_is_no_time_is_refused),
        RUN(the_clocks_go_forward),
    };
    return RUN_ALL(tests);
}
