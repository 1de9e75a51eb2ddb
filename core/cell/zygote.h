/* SPDX-License-Identifier: Apache-2.0 */
/* The process that all cells are forked from: tiny, nothing inherited, no Lua of its own. Only it kills, stops and reaps. */
#pragma once
#include "cell/cell.h"
#include <stdbool.h>

struct zygote_opts {
    struct cell_opts cell;
    bool weak; /* cells may start with walls missing */
};
/* Serves the master's control socket until it closes; returns the exit code. */
int zygote_serve(int control, const struct zygote_opts *opts);
