/* SPDX-License-Identifier: Apache-2.0 */
/* One tenant's process: reads messages (script/message.h) from its socket, runs visits and checks of bundles in turn, one slice
 * each, and answers. Single-threaded; whatever the worker sends that has no valid form ends it. */
#pragma once
#include "script/zygote.h"
#include <stddef.h>

struct cell_opts {
    size_t soft_bytes, hard_bytes;
    int slice_ms, invocation_ms, call_ms;
    int share_percent; /* of each second */
};
/* Of bundles it holds: calls that are up keep theirs; lua/scripts/cells.lua unloads the others long before. */
enum { CELL_VERSIONS_MAX = 128 };
/* The most that an option or a tenant's own budget may be. */
enum { CELL_MB_MAX = 4096, CELL_SLICE_MS_MAX = 1000, CELL_RUN_MS_MAX = 1 << 30 };
enum cell_exit { CELL_EXIT_CLOSED = 0, CELL_EXIT_SETUP = 70, CELL_EXIT_PROTOCOL = 71, CELL_EXIT_MEMORY = 72 };

/* What must be made before seccomp shuts: the timer. 0 or an errno. */
int cell_setup(const struct cell_opts *opts, struct cell_page *page);
/* Its tenant's budget takes the place of that one. Before it serves. */
void cell_budget(const struct cell_opts *opts);
/* Does not return. */
void cell_serve(int fd) __attribute__((noreturn));
