/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: a function of a bundle's file decides something by its input. It has no call, asks for nothing, and its time is short. */
#pragma once
#include "cell/task.h"

enum { HOOK_MS = 50 /* of CPU */, HOOKS_MAX = 256 /* at a time */ };

/* Makes the task's run and budget. */
void hook_begin(struct task *t, const char *name, const char *input, size_t len);
/* The message HOOKED: what the run gave, or how it ended. */
void hook_report(struct task *t, enum run_end end, struct buf *out);
/* HOOKED for one that was not begun. */
void hook_refuse(int64_t id, const char *kind, const char *text, struct buf *out);
