/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config_parts.h"
#include "base/str.h"
#include <string.h>

enum { LONGEST = 64 };

static int least(int a, int b) {
    return a < b ? a : b;
}

/* How many letters must be changed, added, taken out or swapped with their neighbour to get from a to b. */
static int distance(const char *a, const char *b) {
    int rows[3][LONGEST + 1];
    int a_len = (int)strnlen(a, LONGEST), b_len = (int)strnlen(b, LONGEST);
    int *before = rows[0], *last = rows[1], *now = rows[2];
    for (int j = 0; j <= b_len; j++) last[j] = j;
    for (int i = 1; i <= a_len; i++) {
        now[0] = i;
        for (int j = 1; j <= b_len; j++) {
            int change = last[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = least(change, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        int *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[b_len];
}

static const char *last_part(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static void consider(const char *written, const char *candidate, int *best, char *out, size_t cap) {
    /* The right word in the wrong place is a near miss as well: `port` for `http.port`. */
    int score = least(distance(written, candidate), distance(last_part(written), last_part(candidate)) + 1);
    if (score >= *best) return;
    *best = score;
    str_copy(out, cap, candidate);
}

void config_nearest(const char *written, char *out, size_t cap) {
    int best = 1000;
    for (const struct config_row *row = config_rows; row->path; row++) {
        char group[LONGEST + 1];
        consider(written, row->path, &best, out, cap);
        str_copy(group, sizeof group, row->path);
        for (char *dot; (dot = strrchr(group, '.')) != NULL;) {
            *dot = '\0';
            if (config_is_group(group)) consider(written, group, &best, out, cap);
        }
    }
}
