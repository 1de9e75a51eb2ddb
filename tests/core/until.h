/* SPDX-License-Identifier: Apache-2.0 */
/* Running a loop until something holds. The file that includes it has a `static uv_loop_t loop`. */
#pragma once
#include "base/clock.h"
#include "test.h"
#include <stdbool.h>
#include <uv.h>

enum { UNTIL_LIMIT_MS = 8000 };

static void until_on_timer(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}
static void until_on_closed(uv_handle_t *handle) {
    *(bool *)handle->data = true;
}

/* Runs the loop until the condition holds; fails the test when it does not within the limit. */
#define UNTIL(condition)                                                              \
    do {                                                                              \
        uv_timer_t until_timer;                                                       \
        bool until_late = false, until_closed = false;                                \
        uv_update_time(&loop); /* a test may have blocked */                          \
        uv_timer_init(&loop, &until_timer);                                           \
        until_timer.data = &until_late;                                               \
        uv_timer_start(&until_timer, until_on_timer, UNTIL_LIMIT_MS, 0);              \
        while (!(condition) && !until_late) uv_run(&loop, UV_RUN_ONCE);               \
        until_timer.data = &until_closed;                                             \
        uv_close((uv_handle_t *)&until_timer, until_on_closed);                       \
        while (!until_closed) uv_run(&loop, UV_RUN_NOWAIT);                           \
        if (until_late) fail_msg("not within %d ms: %s", UNTIL_LIMIT_MS, #condition); \
    } while (0)

/* For what must not happen within this time. */
#define RUN_FOR(ms)                                           \
    do {                                                      \
        uv_timer_t for_timer;                                 \
        bool for_over = false;                                \
        uv_update_time(&loop); /* a test may have blocked */  \
        uv_timer_init(&loop, &for_timer);                     \
        for_timer.data = &for_over;                           \
        uv_timer_start(&for_timer, until_on_timer, (ms), 0);  \
        while (!for_over) uv_run(&loop, UV_RUN_ONCE);         \
        for_over = false;                                     \
        uv_close((uv_handle_t *)&for_timer, until_on_closed); \
        while (!for_over) uv_run(&loop, UV_RUN_NOWAIT);       \
    } while (0)
