/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs: bytes under a key, in a shared directory (S3 comes behind the same calls). Keys are [a-z0-9/._-], no "..", at most 200.
 * Writes go to a temporary name, are synced and renamed: a blob is there whole or not at all. Work is done on the pool. */
#pragma once
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct blob_store;
typedef void (*blob_cb)(void *arg, const void *data, size_t len, const struct err *e); /* e NULL: done */
int blob_open(struct blob_store **out, uv_loop_t *loop, const char *directory, struct err *e);
void blob_close(struct blob_store *b);
void blob_put(struct blob_store *b, const char *key, const void *data, size_t len, blob_cb cb, void *arg); /* copies */
/* Appends to a file that grows (recording spool), in order per key, synced when sync is set. */
void blob_append(struct blob_store *b, const char *key, const void *data, size_t len, int sync, blob_cb cb, void *arg);
void blob_get(struct blob_store *b, const char *key, size_t limit, blob_cb cb,
              void *arg); /* ERR_NOT_FOUND, ERR_LIMIT */
/* At most `most` bytes from `from` on: fewer at the end, none behind it. For what is too large to be held whole. */
void blob_part(struct blob_store *b, const char *key, size_t from, size_t most, blob_cb cb,
               void *arg); /* ERR_NOT_FOUND */
/* The keys of at most `most` blobs right in a folder, each with a '\n' behind it, that were written before a time (seconds since 1970). A folder
 * that is not there has none. What a dead writer left under a temporary name is among them, a file whose name is no key is not. */
void blob_older(struct blob_store *b, const char *folder, int64_t before_s, size_t most, blob_cb cb, void *arg);
void blob_remove(struct blob_store *b, const char *key, blob_cb cb, void *arg);
