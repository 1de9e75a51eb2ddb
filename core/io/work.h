/* SPDX-License-Identifier: Apache-2.0 */
/* Named bounded queues of blocking work on libuv's thread pool. A full queue says ERR_BUSY at once. */
#pragma once
#include "base/err.h"
#include <uv.h>

struct work_queue;
struct work_queue *work_queue_new(uv_loop_t *loop, const char *name, int running_max, int waiting_max);
void work_queue_free(struct work_queue *q);     /* only when idle */
int work_queue_len(const struct work_queue *q); /* waiting and running */
/* run(arg) on a pool thread, then done(arg) on the loop. */
int work_submit(struct work_queue *q, void (*run)(void *arg), void (*done)(void *arg), void *arg, struct err *e);
