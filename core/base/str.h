/* SPDX-License-Identifier: Apache-2.0 */
/* Text helpers with bounds. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Copies with a NUL, cut when too long; returns false when it was cut. */
bool str_copy(char *out, size_t cap, const char *text);
bool str_starts(const char *text, const char *prefix);
/* Appends text as the inside of a JSON string; bytes that are not UTF-8 become U+FFFD. */
struct buf;
void str_json(struct buf *out, const char *text, size_t len);
/* The same for the one character at text (len > 0), without memory: fills out and returns how many bytes it read. */
size_t str_json_char(const char *text, size_t len, char out[8], size_t *out_len);
bool str_is_utf8(const char *text, size_t len);
/* Decimal integer, whole text, no spaces; false when it is not one or does not fit. */
bool str_to_int(const char *text, long long *out);
