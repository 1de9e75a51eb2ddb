/* SPDX-License-Identifier: Apache-2.0 */
/* What of the processor a cell has used, and its share of each second: it sleeps when that is used up. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Begins to count; percent of each second. */
void share_begin(int percent);
/* Counts until now. */
void share_count(void);
/* Nothing was used since it was last counted: the cell slept. */
void share_slept(void);
/* Microseconds that were used, as last counted. */
uint64_t share_used_us(void);
/* The last sleep was a long one: the cell is not expected to run again soon. */
bool share_idles(void);
/* Counts; milliseconds to wait until the cell may run again. */
int share_wait_ms(void);
