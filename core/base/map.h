/* SPDX-License-Identifier: Apache-2.0 */
/* Text to pointer: a hash table that grows by doubling. Zero-initialised is empty and valid; map_free() returns it to that.
 * Keys are borrowed: they live in what they point to, or at least as long as they stand here. One key may stand several
 * times; map_get() then finds the newest. */
#pragma once
#include <stddef.h>

struct map_item;
struct map {
    struct map_item **slots;
    size_t cap, count;
};
void map_put(struct map *m, const char *key, void *value);
void *map_get(const struct map *m, const char *key);              /* NULL: not there */
void map_drop(struct map *m, const char *key, const void *value); /* nothing when this pair is not there */
/* Calls each(arg, value) for all, in no order; nothing may be put or dropped meanwhile. */
void map_each(const struct map *m, void (*each)(void *arg, void *value), void *arg);
void map_free(struct map *m);
