/* SPDX-License-Identifier: Apache-2.0 */
/* core.deflate: bytes that are kept, packed. */
#include "bind/vm.h"
#include "io/deflate.h"

static int bind_deflate_pack(lua_State *L) {
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct buf out = {0};

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
    {"pack", bind_deflate_pack, BIND_PLAIN, "deflate.pack(text) -> bytes", "In zlib's format."},
    {"unpack", bind_deflate_unpack, BIND_PLAIN, "deflate.unpack(bytes, limit) -> text | nil, err",
     "err.code: limit when it would be longer, invalid when the bytes are damaged."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_deflate(lua_State *L) {
    bind_module(L, functions);
    return 1;
}
