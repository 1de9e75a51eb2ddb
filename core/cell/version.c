/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/version.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "cell/cell.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
    struct version *all;
    struct buf verbs;
} versions;

void version_verbs(const char *list, size_t len) {
    buf_clear(&versions.verbs);
    buf_add(&versions.verbs, list, len);
}

/* A worn program goes with the last run in it. */
void version_sweep(struct version *v) {
    for (struct worn **at = &v->worn; *at;) {
        struct worn *w = *at;
        if (sandbox_runs(program_sandbox(w->program)) > 0) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        program_close(w->program);
        free(w);
    }
}

void version_relieve(struct version *v) {
    if (!v->program) return;
    sandbox_collect(program_sandbox(v->program));
    if (!sandbox_is_tight()) return;
    struct worn *w = mem_alloc(sizeof *w);
    w->program = v->program;
    w->next = v->worn;
    v->worn = w;
    v->program = NULL;
    version_sweep(v);
}

struct program *version_program(struct version *v) {
    if (!v->program) {
        v->program = program_open(v->bytes, v->len, versions.verbs.data, versions.verbs.len);
        sandbox_cover(program_sandbox(v->program), v->cover);
    }
    return v->program;
}

struct version *version_find(const char *name) {
    struct version *v = versions.all;

    while (v && strcmp(v->name, name) != 0) v = v->next;
    return v;
}

/* Maps a sealed memfd: nobody can change or shorten it under us. */
static int map_bundle(int fd, void **bytes, size_t *len, struct err *e) {
    int seals = fcntl(fd, F_GET_SEALS), wanted = F_SEAL_SHRINK | F_SEAL_WRITE;
    off_t size = lseek(fd, 0, SEEK_END);

    if (fd < 0 || seals < 0 || (seals & wanted) != wanted || size <= 0)
        return err_set(e, ERR_INVALID, "the bundle is not in a sealed memory file");
    if (size > BUNDLE_MAX) return err_set(e, ERR_LIMIT, "the bundle has more than %d bytes", BUNDLE_MAX);
    *bytes = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (*bytes == MAP_FAILED) return err_set(e, ERR_IO, "the bundle cannot be mapped");
    *len = (size_t)size;
    int rc = bundle_check(*bytes, *len, e);
    if (rc < 0) munmap(*bytes, *len);
    return rc;
}

int version_load(const char *name, int fd, struct err *e) {
    void *bytes;
    size_t len = 0;
    int count = 0, rc;

    if (version_find(name)) return 0;
    for (struct version *v = versions.all; v; v = v->next) count++;
    if (count >= CELL_VERSIONS_MAX) return err_set(e, ERR_LIMIT, "too many versions are loaded");
    rc = map_bundle(fd, &bytes, &len, e);
    if (rc < 0) return rc;
    struct version *v = mem_alloc(sizeof *v);
    str_copy(v->name, sizeof v->name, name);
    v->bytes = bytes;
    v->len = len;
    version_program(v); /* now, so that the first call need not wait */
    v->next = versions.all;
    versions.all = v;
    return 0;
}

void version_unload(struct version *v) {
    struct version **at = &versions.all;

    version_sweep(v);
    program_close(v->program);
    cover_free(v->cover);
    munmap(v->bytes, v->len);
    while (*at != v) at = &(*at)->next;
    *at = v->next;
    free(v);
}
