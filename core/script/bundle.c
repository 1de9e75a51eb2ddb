/* SPDX-License-Identifier: Apache-2.0 */
#include "script/bundle.h"
#include <stdint.h>
#include <string.h>

static const char MAGIC[4] = {'P', 'B', '1', '\n'};
enum { HEAD = 8 /* path length and size of a file */ };

/* A path as it may stand in an error: bytes from outside, cut and made printable. */
struct shown {
    char text[BUNDLE_PATH_MAX + 4];
};

static struct shown shown(const char *path, size_t len) {
    struct shown s = {.text = ""};
    size_t n = len < BUNDLE_PATH_MAX ? len : BUNDLE_PATH_MAX;

    for (size_t i = 0; i < n; i++) s.text[i] = path[i] > 32 && path[i] < 127 ? path[i] : '?';
    if (n < len) memcpy(s.text + n, "...", 3);
    return s;
}

int bundle_path_check(const char *path, size_t len, struct err *e) {
    size_t part = 0; /* where the current part starts */

    if (len == 0) return err_set(e, ERR_INVALID, "a file has no path");
    if (len > BUNDLE_PATH_MAX)
        return err_set(e, ERR_INVALID, "%s: the path is longer than %d", shown(path, len).text, BUNDLE_PATH_MAX);
    for (size_t i = 0; i <= len; i++) {
        if (i < len && path[i] != '/') {
            char c = path[i];
            if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                  c == '-'))
                return err_set(e, ERR_INVALID, "%s: a path has only letters, digits and . _ - /",
                               shown(path, len).text);
            continue;
        }
        size_t n = i - part;
        if (n == 0 || (n == 1 && path[part] == '.') || (n == 2 && memcmp(path + part, "..", 2) == 0))
            return err_set(e, ERR_INVALID, "%s: a path is relative and has no empty, '.' or '..' part",
                           shown(path, len).text);
        part = i + 1;
    }
    return 0;
}

static bool is_lua(const struct bundle_file *f) {
    return f->path_len > 4 && memcmp(f->path + f->path_len - 4, ".lua", 4) == 0;
}

static int file_check(const struct bundle_file *f, struct err *e) {
    int rc = bundle_path_check(f->path, f->path_len, e);

    if (rc < 0) return rc;
    if (f->len > BUNDLE_FILE_MAX)
        return err_set(e, ERR_LIMIT, "%s: %zu bytes; a file has at most %d", shown(f->path, f->path_len).text, f->len,
                       BUNDLE_FILE_MAX);
    if (!is_lua(f)) return 0;
    if (f->len > BUNDLE_LUA_MAX)
        return err_set(e, ERR_LIMIT, "%s: %zu bytes; a Lua file has at most %d", shown(f->path, f->path_len).text,
                       f->len, BUNDLE_LUA_MAX);
    if (f->len && f->data[0] == 0x1b)
        return err_set(e, ERR_INVALID, "%s: compiled Lua is not accepted, only source",
                       shown(f->path, f->path_len).text);
    return 0;
}

static int compare(const struct bundle_file *a, const struct bundle_file *b) {
    size_t n = a->path_len < b->path_len ? a->path_len : b->path_len;
    int order = memcmp(a->path, b->path, n);

    return order ? order : (a->path_len > b->path_len) - (a->path_len < b->path_len);
}

static uint32_t get32(const char *at) {
    const uint8_t *b = (const uint8_t *)at;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void put32(struct buf *out, size_t n) {
    char b[4] = {(char)n, (char)(n >> 8), (char)(n >> 16), (char)(n >> 24)};
    buf_add(out, b, sizeof b);
}

int bundle_next(const void *bytes, size_t len, size_t *at, struct bundle_file *f, struct err *e) {
    const char *data = bytes;

    if (len < sizeof MAGIC || memcmp(data, MAGIC, sizeof MAGIC) != 0)
        return err_set(e, ERR_INVALID, "these bytes are no bundle");
    if (*at == 0) *at = sizeof MAGIC;
    if (*at == len) return 0;
    if (*at > len || len - *at < HEAD) return err_set(e, ERR_INVALID, "the bundle is cut off");
    size_t path_len = get32(data + *at), size = get32(data + *at + 4), rest = len - *at - HEAD;
    if (path_len > rest || size > rest - path_len) return err_set(e, ERR_INVALID, "the bundle is cut off");
    f->path = data + *at + HEAD;
    f->path_len = path_len;
    f->data = f->path + path_len;
    f->len = size;
    *at += HEAD + path_len + size;
    return 1;
}

int bundle_begin(struct buf *out) {
    buf_add(out, MAGIC, sizeof MAGIC);
    return 0;
}

int bundle_add(struct buf *out, const char *path, size_t path_len, const void *data, size_t len, struct err *e) {
    struct bundle_file f = {.path = path, .path_len = path_len, .data = data, .len = len}, last = {0};
    size_t at = 0;
    int count = 0, rc = file_check(&f, e);

    if (rc < 0) return rc;
    while ((rc = bundle_next(out->data, out->len, &at, &last, e)) > 0) count++;
    if (rc < 0) return rc;
    if (count >= BUNDLE_FILES)
        return err_set(e, ERR_LIMIT, "%s: a bundle has at most %d files", shown(path, path_len).text, BUNDLE_FILES);
    if (count && compare(&last, &f) >= 0)
        return err_set(e, ERR_INVALID, "%s: twice, or out of order", shown(path, path_len).text);
    if (out->len + HEAD + path_len + len > BUNDLE_MAX)
        return err_set(e, ERR_LIMIT, "%s: with it the bundle has more than %d bytes", shown(path, path_len).text,
                       BUNDLE_MAX);
    put32(out, path_len);
    put32(out, len);
    buf_add(out, path, path_len);
    buf_add(out, data, len);
    return 0;
}

int bundle_check(const void *bytes, size_t len, struct err *e) {
    struct bundle_file f, last = {0};
    size_t at = 0;
    int rc, count = 0;

    if (len > BUNDLE_MAX) return err_set(e, ERR_LIMIT, "%zu bytes; a bundle has at most %d", len, BUNDLE_MAX);
    while ((rc = bundle_next(bytes, len, &at, &f, e)) > 0) {
        rc = file_check(&f, e);
        if (rc < 0) return rc;
        if (++count > BUNDLE_FILES)
            return err_set(e, ERR_LIMIT, "%s: a bundle has at most %d files", shown(f.path, f.path_len).text,
                           BUNDLE_FILES);
        if (count > 1 && compare(&last, &f) >= 0)
            return err_set(e, ERR_INVALID, "%s: twice, or out of order", shown(f.path, f.path_len).text);
        last = f;
    }
    return rc;
}
