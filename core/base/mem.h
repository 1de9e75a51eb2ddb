/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that aborts with a log line when memory is out: no caller can do better. */
#pragma once
#include <stddef.h>

void *mem_alloc(size_t size); /* zeroed */
void *mem_realloc(void *p, size_t size);
char *mem_strdup(const char *text); /* NULL stays NULL */
void *mem_dup(const void *p, size_t size);
/* Printf into a new string; free() it. */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
