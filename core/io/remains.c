/* SPDX-License-Identifier: Apache-2.0 */
#include "io/remains.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 100 };

struct remains {
    int fd;
    char *path; /* ours */
};

static int fail(struct err *e, const char *what, const char *path) {
    int code = errno == ENOENT ? ERR_NOT_FOUND : errno == ENOSPC || errno == EDQUOT ? ERR_LIMIT : ERR_IO;

    return err_set(e, code, "%s %.150s: %s", what, path, strerror(errno));
}

static int name_check(const char *name, struct err *e) {
    size_t len = strlen(name);
    bool ok = len > 0 && len <= NAME_MAX_BYTES && name[0] != '.' && (len < 4 || strcmp(name + len - 4, ".new") != 0);

    for (const char *p = name; ok && *p; p++)
        ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
             strchr("._-", *p) != NULL;
    return ok ? 0 : err_set(e, ERR_INVALID, "'%.60s' is no name of such a file", name);
}

static struct remains *remains_of(int fd, char *path) {
    struct remains *r = mem_alloc(sizeof *r);

    r->fd = fd;
    r->path = path;
    return r;
}

/* Locked before it has its name: nobody finds it without its owner. */
int remains_create(struct remains **out, const char *folder, const char *name, struct err *e) {
    int rc = name_check(name, e);

    if (rc < 0) return rc;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST) return fail(e, "making", folder);
    char *path = mem_printf("%s/%s", folder, name), *temporary = mem_printf("%s/%s.new", folder, name);
    int fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || rename(temporary, path) < 0) {
        rc = fail(e, "making", path);
        if (fd >= 0) {
            unlink(temporary);
            close(fd);
        }
        free(path);
    } else {
        *out = remains_of(fd, path);
    }
    free(temporary);
    return rc;
}

int remains_take(struct remains **out, const char *folder, const char *name, struct err *e) {
    int rc = name_check(name, e);
    struct stat st;

    if (rc < 0) return rc;
    char *path = mem_printf("%s/%s", folder, name);
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (fd < 0) {
        rc = fail(e, "opening", path);
    } else if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        rc = errno == EWOULDBLOCK ? err_set(e, ERR_BUSY, "%.150s is somebody's", path) : fail(e, "locking", path);
    } else if (fstat(fd, &st) < 0 || st.st_nlink == 0) { /* another has done it and gone */
        rc = err_set(e, ERR_NOT_FOUND, "%.150s is gone", path);
    } else {
        *out = remains_of(fd, path);
        return 0;
    }
    if (fd >= 0) close(fd);
    free(path);
    return rc;
}

int remains_add(struct remains *r, const void *bytes, size_t len, struct err *e) {
    off_t before = lseek(r->fd, 0, SEEK_END);

    for (size_t done = 0; done < len;) {
        ssize_t n = write(r->fd, (const char *)bytes + done, len - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            int rc = fail(e, "writing", r->path);
            if (before < 0 || ftruncate(r->fd, before) < 0) { /* half a line stays: readers pass over it */
            }
            return rc;
        }
        done += (size_t)n;
    }
    return 0;
}

int remains_clear(struct remains *r, struct err *e) {
    return ftruncate(r->fd, 0) < 0 ? fail(e, "emptying", r->path) : 0;
}

int remains_read(struct remains *r, size_t limit, struct buf *out, struct err *e) {
    char chunk[65536];
    off_t at = 0;

    for (;;) {
        ssize_t n = pread(r->fd, chunk, sizeof chunk, at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(e, "reading", r->path);
        if (n == 0) return 0;
        if ((uint64_t)at + (size_t)n > limit)
            return err_set(e, ERR_LIMIT, "%.150s has more than %zu bytes", r->path, limit);
        buf_add(out, chunk, (size_t)n);
        at += n;
    }
}

void remains_leave(struct remains *r) {
    close(r->fd);
    free(r->path);
    free(r);
}

void remains_remove(struct remains *r) {
    unlink(r->path); /* before the lock goes with the file: nobody takes it in between */
    remains_leave(r);
}
