/* SPDX-License-Identifier: Apache-2.0 */
/* core.deflate: bytes that are kept, packed. A text of more than a few pages is packed on the pool: the loop has calls to serve. */
#include "base/mem.h"
#include "bind/vm.h"
#include "io/deflate.h"
#include "io/work.h"
#include <stdlib.h>

enum { HERE_MAX = 16 * 1024 }; /* bytes, some 0.1 ms */

struct pack_job {
    struct bind_wait *wait;
    char *text; /* ours */
    size_t len;
    struct buf out;
};

static void pack_work(void *arg) {
    struct pack_job *j = arg;

    deflate_pack(j->text, j->len, &j->out);
}

static void pack_free(struct pack_job *j) {
    buf_free(&j->out);
    free(j->text);
    free(j);
}

static void on_packed(void *arg) {
    struct pack_job *j = arg;
    struct bind_wait *w = j->wait;

    lua_pushlstring(bind_wait_state(w), j->out.data, j->out.len);
    pack_free(j);
    bind_wait_done(w, 1);
}

static int pack_on_pool(lua_State *L, const char *text, size_t len) {
    struct work_queue *pool = vm_services(L)->packing;
    struct bind_wait *w;
    struct pack_job *j;
    struct err e = {0};

    if (pool == NULL) return luaL_error(L, "packing needs a pool, which this program has not");
    w = bind_wait_begin(L);
    j = mem_alloc(sizeof *j);
    j->wait = w;
    j->text = mem_dup(text, len);
    j->len = len;
    if (work_submit(pool, pack_work, on_packed, j, &e) < 0) {
        pack_free(j);
        bind_wait_fail(w, &e);
    }
    return bind_wait_yield(w);
}

static int bind_deflate_pack(lua_State *L) {
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct buf out = {0};

    if (len > HERE_MAX) return pack_on_pool(L, text, len);
    deflate_pack(text, len, &out);
    lua_pushlstring(L, out.data, out.len);
    buf_free(&out);
    return 1;
}

static int bind_deflate_unpack(lua_State *L) {
    size_t len;
    const char *bytes = luaL_checklstring(L, 1, &len);
    lua_Number limit = luaL_checknumber(L, 2);
    struct buf out = {0};
    struct err e = {0};

    luaL_argcheck(L, limit >= 0 && limit <= 1 << 30, 2, "bytes, at most 2^30");
    if (deflate_unpack(bytes, len, (size_t)limit, &out, &e) < 0) {
        buf_free(&out);
        return bind_fail(L, &e);
    }
    lua_pushlstring(L, out.data, out.len);
    buf_free(&out);
    return 1;
}

static const struct bind_fn functions[] = {
    {"pack", bind_deflate_pack, BIND_YIELDS, "deflate.pack(text) -> bytes | nil, err",
     "In zlib's format. More than 16 KiB are packed on the pool; err.code is busy when its queue is full."},
    {"unpack", bind_deflate_unpack, BIND_PLAIN, "deflate.unpack(bytes, limit) -> text | nil, err",
     "err.code: limit when it would be longer, invalid when the bytes are damaged."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_deflate(lua_State *L) {
    bind_module(L, functions);
    return 1;
}
