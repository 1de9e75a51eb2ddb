/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages a first flow writes to, of those that a cell has from the zygote: a flow of our own is run in a process like a cell, and the
 * kernel tells which pages it has for itself then. */
#pragma once
#include "cell/cell.h"

struct written {
    char *at;
    size_t len;
};
/* In the zygote, once the first program is made and while /proc is seen. Returns how many were found, at most `most`; 0 where it cannot
 * be found out. Heap and stack are left out: where they are used next is not the same in every cell. */
int rehearsal_run(const struct cell_opts *opts, struct written *found, int most);
