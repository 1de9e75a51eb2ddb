/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks. mono never steps and starts anywhere; wall is UTC since 1970, and may step. */
#pragma once
#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_us(void);
uint64_t clock_mono_ms(void);
int64_t clock_wall_us(void);
/* "2026-11-22T10:00:00.000123Z" into out (at least 28 bytes). */
void clock_rfc3339(int64_t wall_us, char out[28]);
/* RFC 3339 with any offset and up to 6 fraction digits; 0 or ERR_INVALID. */
int clock_parse_rfc3339(const char *text, size_t len, int64_t *wall_us);
