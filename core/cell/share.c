/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/share.h"
#include "base/clock.h"
#include <time.h>

enum {
    GLANCE_US = 200, /* of use as the wall's clock tells it, and the CPU's is looked at */
    IDLE_US = 1000,  /* a cell that waited longer for its last message is not expected to run again soon */
};

static struct {
    int percent;
    uint64_t cpu_us, looked_us; /* used, at most; and when the CPU's clock was last looked at */
    uint64_t now_us;            /* as of which moment */
    bool idles;
    uint64_t window_ms, window_cpu_us; /* the second being counted: when it began, CPU paid for by then */
} share;

/* What has been used, as if nobody else had run since the CPU's clock was looked at: that is a system call and the wall's clock is
 * none, and for so short a time it makes little difference. */
void share_count(void) {
    uint64_t now = clock_mono_us();
    struct timespec t;

    share.cpu_us += now - share.now_us;
    share.now_us = now;
    if (share.cpu_us - share.looked_us < GLANCE_US) return;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    share.cpu_us = share.looked_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void share_slept(void) {
    uint64_t now = clock_mono_us();

    share.idles = now - share.now_us > IDLE_US;
    share.now_us = now;
}

uint64_t share_used_us(void) {
    return share.cpu_us;
}

bool share_idles(void) {
    return share.idles;
}

void share_begin(int percent) {
    share.percent = percent;
    share.now_us = clock_mono_us();
    share.window_ms = share.now_us / 1000;
    share.looked_us = 0;
    share.cpu_us = GLANCE_US; /* so that the clock is looked at */
    share_count();
    share.window_cpu_us = share.cpu_us;
}

int share_wait_ms(void) {
    uint64_t share_us = (uint64_t)share.percent * 10000;

    share_count();
    uint64_t now = share.now_us / 1000, seconds = (now - share.window_ms) / 1000;
    if (seconds > 0) { /* what a second took beyond its share is the next one's: the worker counts over all of them */
        uint64_t paid = share.window_cpu_us + seconds * share_us;
        share.window_ms = now;
        share.window_cpu_us = share.cpu_us < paid ? share.cpu_us : paid;
    }
    if (share.cpu_us < share.window_cpu_us + share_us) return 0;
    return (int)(1000 - (now - share.window_ms));
}
