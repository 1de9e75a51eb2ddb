/* SPDX-License-Identifier: Apache-2.0 */
#include "track.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { FRAME = 160, FRAME_US = 20000, NOT_COME = INT32_MIN };

void track_open(struct track *t, uint32_t frames) {
    *t = (struct track){.off_us = mem_alloc(frames * sizeof *t->off_us), .cap = frames};
    for (uint32_t i = 0; i < frames; i++) t->off_us[i] = NOT_COME;
}

void track_take(struct track *t, uint32_t stamp, uint64_t at_us) {
    if (!t->begun) {
        t->begun = true;
        t->first_stamp = stamp;
        t->first_us = at_us;
    }
    uint32_t i = (stamp - t->first_stamp) / FRAME;
    if ((stamp - t->first_stamp) % FRAME != 0 || i >= t->cap) {
        t->strange++;
        return;
    }
    if (t->off_us[i] != NOT_COME) {
        t->again++;
        return;
    }
    t->off_us[i] = (int32_t)((int64_t)(at_us - t->first_us) - (int64_t)i * FRAME_US);
    if (i < t->end) t->overtaken++;
    if (i >= t->end) t->end = i + 1;
}

static int by_size(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

void track_judge(struct track *t, uint64_t from_us, uint64_t to_us, struct pacing *all) {
    int32_t *came = mem_alloc((t->end + 1) * sizeof *came);
    uint32_t count = 0;
    for (uint32_t i = 0; t->begun && i < t->cap; i++) {
        uint64_t plan_us = t->first_us + (uint64_t)i * FRAME_US;
        if (plan_us < from_us) continue;
        if (plan_us >= to_us) break;
        all->frames++;
        if (i >= t->end || t->off_us[i] == NOT_COME)
            all->missing++;
        else
            came[count++] = t->off_us[i];
    }
    if (!t->begun) {
        all->frames += (to_us - from_us) / FRAME_US;
        all->missing += (to_us - from_us) / FRAME_US;
    }
    all->again += t->again;
    all->overtaken += t->overtaken;
    all->strange += t->strange;
    if (count > 0) {
        qsort(came, count, sizeof *came, by_size);
        int32_t middle = came[count / 2];
        for (uint32_t i = 0; i < count; i++) {
            int64_t error = llabs((long long)came[i] - middle);
            all->errors[error < TRACK_ERROR_MAX_US ? error : TRACK_ERROR_MAX_US]++;
        }
    }
    free(came);
}

uint32_t pacing_error(const struct pacing *all, double part) {
    uint64_t total = 0, seen = 0;
    for (uint32_t us = 0; us <= TRACK_ERROR_MAX_US; us++) total += all->errors[us];
    for (uint32_t us = 0; us <= TRACK_ERROR_MAX_US; us++) {
        seen += all->errors[us];
        if (seen > 0 && (double)seen >= part * (double)total) return us;
    }
    return 0;
}
