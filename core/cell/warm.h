/* SPDX-License-Identifier: Apache-2.0 */
/* What every flow touches, touched by a cell while it waits for its tenant: a page that is first used while a caller waits costs
 * some microseconds each, of which a first flow has about fifty, and some hundred of code. */
#pragma once
#include "cell/cell.h"

/* In the zygote, once the first program is made and while /proc is seen: finds where the code lies, and what a flow writes to. */
void warm_prepare(const struct cell_opts *opts);
/* In a cell that waits, its walls up. Takes no more memory than its first flow would. */
void warm_touch(struct cell_page *page);
