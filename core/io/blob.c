/* SPDX-License-Identifier: Apache-2.0 */
#include "io/blob.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/mem.h"
#include "io/work.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_MAX = 200, LANES = 16 };

enum blob_op { BLOB_PUT, BLOB_APPEND, BLOB_GET, BLOB_PART, BLOB_OLDER, BLOB_REMOVE };

/* Work of one key stays in order: a key always takes the same lane, and a lane does one thing at a time. */
struct blob_store {
    char *directory;
    struct work_queue *lanes[LANES];
    unsigned long serial;
};

struct blob_job {
    struct blob_store *store;
    enum blob_op op;
    char key[KEY_MAX + 1];
    char *data;
    size_t len, limit, from;
    int64_t before_s;
    int sync;
    unsigned long serial;
    struct buf result;
    struct err e;
    blob_cb cb;
    void *arg;
};

static int key_check(const char *key, struct err *e) {
    size_t len = strlen(key);

    if (len == 0 || len > KEY_MAX) return err_set(e, ERR_INVALID, "a blob's key has 1 to %d characters", KEY_MAX);
    if (key[0] == '/' || key[len - 1] == '/' || strstr(key, "..") != NULL || strstr(key, "//") != NULL)
        return err_set(e, ERR_INVALID, "'%.60s' is no blob key", key);
    for (const char *p = key; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || strchr("/._-", *p) != NULL))
            return err_set(e, ERR_INVALID, "'%.60s' is no blob key: it takes a-z, 0-9 and / . _ -", key);
    return 0;
}

static int fail(struct blob_job *j, const char *what) {
    int code = errno == ENOENT ? ERR_NOT_FOUND : errno == ENOSPC || errno == EDQUOT ? ERR_LIMIT : ERR_IO;

    return err_set(&j->e, code, "%s %s: %s", what, j->key, strerror(errno));
}

static int write_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Makes the folders above path. */
static int make_folders(char *path, size_t base) {
    for (char *slash = strchr(path + base + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            *slash = '/';
            return -1;
        }
        *slash = '/';
    }
    return 0;
}

/* A rename is only safe from a power cut when the folder is synced too. */
static void sync_folder(const char *path) {
    char folder[PATH_MAX];
    char *slash;
    int fd;

    snprintf(folder, sizeof folder, "%s", path);
    slash = strrchr(folder, '/');
    if (slash == NULL) return;
    *slash = 0;
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

/* A file without a name until it is whole: who dies before that leaves nothing. Not every file system can. */
static int open_nameless(const char *path) {
    char folder[PATH_MAX];

    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    return open(folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
}

static int name_it(int fd, const char *path) {
    char from[64];

    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

static int do_put(struct blob_job *j, char *path) {
    char temporary[PATH_MAX + 64];
    int fd = open_nameless(path), rc;
    bool nameless = fd >= 0;

    snprintf(temporary, sizeof temporary, "%s.%d.%lu.new", path, getpid(), j->serial);
    if (!nameless) fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return fail(j, "writing");
    if (write_all(fd, j->data, j->len) < 0 || fsync(fd) < 0) {
        fail(j, "writing");
        close(fd);
        if (!nameless) unlink(temporary);
        return j->e.code;
    }
    FAULT_POINT("blob.written");
    rc = nameless ? name_it(fd, path) : rename(temporary, path);
    /* Only a rename takes the place of what is there. */
    if (rc < 0 && nameless && errno == EEXIST && (rc = name_it(fd, temporary)) == 0) rc = rename(temporary, path);
    close(fd);
    if (rc < 0) {
        fail(j, "renaming");
        unlink(temporary);
        return j->e.code;
    }
    sync_folder(path);
    return 0;
}

static int do_append(struct blob_job *j, const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    off_t before;

    if (fd < 0) return fail(j, "appending to");
    before = lseek(fd, 0, SEEK_END);
    if (fault_armed && write_all(fd, j->data, j->len / 2) == 0) { /* half of it, to be killed there */
        fault_pass("blob.half_appended");
        if (ftruncate(fd, before) < 0) return fail(j, "appending to");
    }
    if (write_all(fd, j->data, j->len) < 0 || (j->sync && fsync(fd) < 0)) {
        fail(j, "appending to");
        if (before >= 0 && ftruncate(fd, before) < 0) { /* half a chunk stays: readers stop there */
        }
    }
    close(fd);
    return j->e.code;
}

static int do_get(struct blob_job *j, const char *path) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) return fail(j, "reading");
    if (fstat(fd, &st) < 0) {
        fail(j, "reading");
    } else if ((uint64_t)st.st_size > j->limit) {
        err_set(&j->e, ERR_LIMIT, "%s has %lld bytes, more than %zu", j->key, (long long)st.st_size, j->limit);
    } else {
        buf_reserve(&j->result, (size_t)st.st_size + 1);
        for (;;) {
            char chunk[65536];
            ssize_t n = read(fd, chunk, sizeof chunk);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) fail(j, "reading");
            if (n <= 0) break;
            buf_add(&j->result, chunk, (size_t)n);
            if (j->result.len > j->limit) {
                err_set(&j->e, ERR_LIMIT, "%s has more than %zu bytes", j->key, j->limit);
                break;
            }
        }
    }
    close(fd);
    return j->e.code;
}

static int do_part(struct blob_job *j, const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) return fail(j, "reading");
    while (j->result.len < j->limit) {
        char chunk[65536];
        size_t left = j->limit - j->result.len;
        ssize_t n = pread(fd, chunk, left < sizeof chunk ? left : sizeof chunk, (off_t)(j->from + j->result.len));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail(j, "reading");
        if (n <= 0) break;
        buf_add(&j->result, chunk, (size_t)n);
    }
    close(fd);
    return j->e.code;
}

static int do_older(struct blob_job *j, const char *path) {
    DIR *folder = opendir(path);
    struct dirent *one;

    if (folder == NULL) return errno == ENOENT ? 0 : fail(j, "reading");
    while (j->limit > 0 && (one = readdir(folder)) != NULL) {
        char key[KEY_MAX + sizeof one->d_name + 2];
        struct err foreign = {0};
        struct stat st;

        if (one->d_type == DT_DIR) continue;
        /* What has no blob's name was put there by somebody else: no call of this store could take it. */
        snprintf(key, sizeof key, "%s/%s", j->key, one->d_name);
        if (key_check(key, &foreign) < 0) continue;
        /* It may have gone meanwhile. */
        if (fstatat(dirfd(folder), one->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) continue;
        if (!S_ISREG(st.st_mode) || st.st_mtime >= j->before_s) continue;
        buf_printf(&j->result, "%s\n", key);
        j->limit--;
    }
    closedir(folder);
    return 0;
}

static void job_run(void *arg) {
    struct blob_job *j = arg;
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", j->store->directory, j->key);
    if (j->op == BLOB_PUT || j->op == BLOB_APPEND) {
        if (make_folders(path, strlen(j->store->directory)) < 0) {
            fail(j, "making a folder for");
            return;
        }
    }
    switch (j->op) {
    case BLOB_PUT:
        do_put(j, path);
        break;
    case BLOB_APPEND:
        do_append(j, path);
        break;
    case BLOB_GET:
        do_get(j, path);
        break;
    case BLOB_PART:
        do_part(j, path);
        break;
    case BLOB_OLDER:
        do_older(j, path);
        break;
    case BLOB_REMOVE:
        if (unlink(path) < 0) fail(j, "removing");
        break;
    }
}

static void job_done(void *arg) {
    struct blob_job *j = arg;

    if (j->e.code != 0)
        j->cb(j->arg, NULL, 0, &j->e);
    else if (j->op == BLOB_GET || j->op == BLOB_PART || j->op == BLOB_OLDER)
        j->cb(j->arg, j->result.data == NULL ? "" : j->result.data, j->result.len, NULL);
    else
        j->cb(j->arg, NULL, 0, NULL);
    buf_free(&j->result);
    free(j->data);
    free(j);
}

static void start(struct blob_store *b, enum blob_op op, const char *key, const void *data, size_t len, int sync,
                  size_t limit, size_t from, int64_t before_s, blob_cb cb, void *arg) {
    struct err e = {0};
    struct blob_job *j;
    unsigned lane = 5381;

    if (key_check(key, &e) < 0) {
        cb(arg, NULL, 0, &e);
        return;
    }
    j = mem_alloc(sizeof *j);
    j->store = b;
    j->op = op;
    snprintf(j->key, sizeof j->key, "%s", key);
    if (len > 0) j->data = mem_dup(data, len);
    j->len = len;
    j->sync = sync;
    j->limit = limit;
    j->from = from;
    j->before_s = before_s;
    j->serial = ++b->serial;
    j->cb = cb;
    j->arg = arg;
    for (const char *p = key; *p; p++) lane = lane * 33 + (unsigned char)*p;
    if (work_submit(b->lanes[lane % LANES], job_run, job_done, j, &e) < 0) {
        free(j->data);
        free(j);
        cb(arg, NULL, 0, &e);
    }
}

int blob_open(struct blob_store **out, uv_loop_t *loop, const char *directory, struct err *e) {
    char probe[PATH_MAX];
    struct blob_store *b;

    if (strlen(directory) + KEY_MAX + 64 >= PATH_MAX) return err_set(e, ERR_INVALID, "blobs.directory is too long");
    snprintf(probe, sizeof probe, "%s/", directory);
    if (make_folders(probe, 0) < 0 || access(directory, W_OK | X_OK) < 0)
        return err_set(e, ERR_IO, "blobs.directory %s cannot be written: %s", directory, strerror(errno));
    b = mem_alloc(sizeof *b);
    b->directory = mem_strdup(directory);
    for (int i = 0; i < LANES; i++) b->lanes[i] = work_queue_new(loop, "the blob store", 1, 1024);
    *out = b;
    return 0;
}

void blob_close(struct blob_store *b) {
    if (b == NULL) return;
    for (int i = 0; i < LANES; i++) work_queue_free(b->lanes[i]);
    free(b->directory);
    free(b);
}

void blob_put(struct blob_store *b, const char *key, const void *data, size_t len, blob_cb cb, void *arg) {
    start(b, BLOB_PUT, key, data, len, 1, 0, 0, 0, cb, arg);
}

void blob_append(struct blob_store *b, const char *key, const void *data, size_t len, int sync, blob_cb cb, void *arg) {
    start(b, BLOB_APPEND, key, data, len, sync, 0, 0, 0, cb, arg);
}

void blob_get(struct blob_store *b, const char *key, size_t limit, blob_cb cb, void *arg) {
    start(b, BLOB_GET, key, NULL, 0, 0, limit, 0, 0, cb, arg);
}

void blob_part(struct blob_store *b, const char *key, size_t from, size_t most, blob_cb cb, void *arg) {
    start(b, BLOB_PART, key, NULL, 0, 0, most, from, 0, cb, arg);
}

void blob_older(struct blob_store *b, const char *folder, int64_t before_s, size_t most, blob_cb cb, void *arg) {
    start(b, BLOB_OLDER, folder, NULL, 0, 0, most, 0, before_s, cb, arg);
}

void blob_remove(struct blob_store *b, const char *key, blob_cb cb, void *arg) {
    start(b, BLOB_REMOVE, key, NULL, 0, 0, 0, 0, 0, cb, arg);
}
