/* SPDX-License-Identifier: Apache-2.0 */
/* One turn of a task: a slice of its run, what is counted for it, and what is sent when it asks, ends or has used up its time. */
#pragma once
#include "cell/task.h"
#include "script/zygote.h"

/* The page is stamped with what runs before each. */
void turn_setup(struct cell_page *page);
/* Runs one slice of a task that is ready and was taken out. Right after share_wait_ms(), which counts. */
void turn_run(struct task *t);
