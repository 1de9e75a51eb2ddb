/* SPDX-License-Identifier: Apache-2.0 */
/* The form in which a tenant's scripts travel: a flat list of files.
 *
 * "PB1\n", then per file: path length, size (both 4 bytes little-endian), path, bytes; files sorted by path.
 * The version is the hex SHA-256 of these bytes (computed above: this floor knows no crypto).
 * Paths are relative, [A-Za-z0-9._/-], no empty, "." or ".." part, at most 128; at most 256 files, 256 KiB each, 4 MiB in all.
 * Lua source: at most 64 KiB a file, text only (the first byte is never 0x1b).
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum {
    BUNDLE_MAX = 4 * 1024 * 1024,
    BUNDLE_FILES = 256,
    BUNDLE_FILE_MAX = 256 * 1024,
    BUNDLE_LUA_MAX = 64 * 1024,
    BUNDLE_PATH_MAX = 128
};
struct bundle_file {
    const char *path; /* not NUL-terminated; borrowed from the bundle's bytes */
    size_t path_len;
    const char *data;
    size_t len;
};
int bundle_path_check(const char *path, size_t len, struct err *e);
int bundle_begin(struct buf *out);
/* Files in sorted order; errors name the file. */
int bundle_add(struct buf *out, const char *path, size_t path_len, const void *data, size_t len, struct err *e);
/* Checks the whole. 0 or ERR_INVALID/ERR_LIMIT naming the file. */
int bundle_check(const void *bytes, size_t len, struct err *e);
/* Walks: *at starts at 0; returns 1 with *f filled, 0 at the end, or an error. */
int bundle_next(const void *bytes, size_t len, size_t *at, struct bundle_file *f, struct err *e);
