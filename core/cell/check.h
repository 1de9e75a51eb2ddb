/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a bundle: every Lua file is parsed, flows and bundle.lua are run; what is wrong is collected, not the first only. */
#pragma once
#include "cell/task.h"

/* Makes the run of the next file that is to be run; false when all are done. */
bool check_next(struct task *t);
/* Names the files that are loaded besides flows and bundle.lua: a checked value. False when it is no list of paths. */
bool check_wants(struct task *t, const char *list, size_t len);
/* Takes the results of the run that has ended as end says (RUN_SLICED: over its budget) and frees it. */
void check_take(struct task *t, enum run_end end);
/* The message CHECKED. */
void check_report(struct task *t, struct buf *out);
void check_free(struct task *t);
