/* SPDX-License-Identifier: Apache-2.0 */
/* The process that all cells are forked from: tiny, nothing inherited, no Lua of its own. Only it kills, stops and reaps.
 *
 * A few cells are forked ahead and wait, their walls up, for a tenant and its budget; so the first use of a tenant takes no fork.
 * When they are out, one is forked as it is asked for. A cell serves one tenant and is never given to another. */
#pragma once
#include "cell/cell.h"
#include <stdbool.h>

enum { ZYGOTE_READY_MAX = 64 };
struct zygote_opts {
    struct cell_opts cell;
    bool weak; /* cells may start with walls missing */
    int ready; /* how many cells wait, 0 to ZYGOTE_READY_MAX */
};
/* Serves the master's control socket until it closes; returns the exit code. */
int zygote_serve(int control, const struct zygote_opts *opts);
