/* SPDX-License-Identifier: Apache-2.0 */
/* Calendar arithmetic is ours rather than timegm()'s: it must not depend on a time zone or locale, and it is
 * the proleptic Gregorian calendar for every year from 0000 to 9999. */
#include "base/clock.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t US = 1000000; /* in a second */
static const int64_t DAY_S = 86400;
static const int64_t FIRST_S = -62167219200; /* 0000-01-01T00:00:00Z */
static const int64_t LAST_S = 253402300799;  /* 9999-12-31T23:59:59Z */

static int64_t now_us(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * US + t.tv_nsec / 1000;
}

uint64_t clock_mono_us(void) {
    return (uint64_t)now_us(CLOCK_MONOTONIC);
}
uint64_t clock_mono_ms(void) {
    return clock_mono_us() / 1000;
}
/* A test's clock that steps: PARLEY_TEST_CLOCK names a file that holds how many seconds it is fast by. */
static int64_t step_us(void) {
    static const char *file = "";
    double step_s = 0;
    FILE *f;

    if (file != NULL && *file == 0) file = getenv("PARLEY_TEST_CLOCK");
    if (file == NULL || (f = fopen(file, "re")) == NULL) return 0;
    if (fscanf(f, "%lf", &step_s) != 1) step_s = 0;
    fclose(f);
    return (int64_t)(step_s * 1e6);
}

int64_t clock_wall_us(void) {
    return now_us(CLOCK_REALTIME) + step_us();
}

/* Days since 1970-01-01. Years are counted from March, so that the leap day is a year's last. */
static int64_t days_from_date(int year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_from_days(int64_t days, int *year, int *month, int *day) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t m = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

static void put_digits(char *at, int count, int64_t n) {
    while (count) {
        at[--count] = (char)('0' + n % 10);
        n /= 10;
    }
}

void clock_rfc3339(int64_t wall_us, char out[28]) {
    int64_t s = wall_us / US, us = wall_us % US;
    if (us < 0) {
        us += US;
        s--;
    }
    /* The form has four digits for the year: what lies outside is shown as the first or last moment inside. */
    if (s < FIRST_S) {
        s = FIRST_S;
        us = 0;
    } else if (s > LAST_S) {
        s = LAST_S;
        us = US - 1;
    }
    int64_t days = s / DAY_S, rest = s % DAY_S;
    if (rest < 0) {
        rest += DAY_S;
        days--;
    }
    int year, month, day;
    date_from_days(days, &year, &month, &day);
    static const char form[] = "0000-00-00T00:00:00.000000Z";
    memcpy(out, form, sizeof form);
    put_digits(out, 4, year);
    put_digits(out + 5, 2, month);
    put_digits(out + 8, 2, day);
    put_digits(out + 11, 2, rest / 3600);
    put_digits(out + 14, 2, rest / 60 % 60);
    put_digits(out + 17, 2, rest % 60);
    put_digits(out + 20, 6, us);
}

/* Reads exactly n digits at *at. */
static bool digits(const char **at, const char *end, int n, int *out) {
    *out = 0;
    for (int i = 0; i < n; i++) {
        if (*at == end || **at < '0' || **at > '9') return false;
        *out = *out * 10 + (*(*at)++ - '0');
    }
    return true;
}

static bool mark(const char **at, const char *end, char c) {
    if (*at == end || (**at != c && **at != (c | 0x20))) return false; /* 'T' and 'Z' may be small letters */
    (*at)++;
    return true;
}

int clock_parse_rfc3339(const char *text, size_t len, int64_t *wall_us) {
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *at = text, *end = text + len;
    int year, month, day, hour, minute, second;

    if (!digits(&at, end, 4, &year) || !mark(&at, end, '-')) return ERR_INVALID;
    if (!digits(&at, end, 2, &month) || !mark(&at, end, '-')) return ERR_INVALID;
    if (!digits(&at, end, 2, &day) || !mark(&at, end, 'T')) return ERR_INVALID;
    if (!digits(&at, end, 2, &hour) || !mark(&at, end, ':')) return ERR_INVALID;
    if (!digits(&at, end, 2, &minute) || !mark(&at, end, ':')) return ERR_INVALID;
    if (!digits(&at, end, 2, &second)) return ERR_INVALID;

    if (month < 1 || month > 12 || day < 1 || day > month_days[month - 1]) return ERR_INVALID;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month == 2 && day == 29 && !leap) return ERR_INVALID;
    if (hour > 23 || minute > 59 || second > 60) return ERR_INVALID;

    int64_t us = 0;
    if (at < end && *at == '.') {
        at++;
        int seen = 0;
        for (; at < end && *at >= '0' && *at <= '9'; at++, seen++) us = us * 10 + (*at - '0');
        if (seen < 1 || seen > 6) return ERR_INVALID;
        for (; seen < 6; seen++) us *= 10;
    }

    int offset_s = 0;
    if (!mark(&at, end, 'Z')) {
        if (at == end || (*at != '+' && *at != '-')) return ERR_INVALID;
        int sign = *at++ == '-' ? -1 : 1, offset_h, offset_m;
        if (!digits(&at, end, 2, &offset_h) || !mark(&at, end, ':') || !digits(&at, end, 2, &offset_m))
            return ERR_INVALID;
        if (offset_h > 23 || offset_m > 59) return ERR_INVALID;
        offset_s = sign * (offset_h * 3600 + offset_m * 60);
    }
    if (at != end) return ERR_INVALID;

    int64_t s = days_from_date(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second - offset_s;
    /* A leap second is the last of a UTC day; it has no number of its own and becomes the next day's first. */
    if (second == 60 && s % DAY_S != 0) return ERR_INVALID;
    *wall_us = s * US + us;
    return 0;
}
