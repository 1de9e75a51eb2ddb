/* SPDX-License-Identifier: Apache-2.0 */
/* What value_check() accepts, value_unpack() reads to the same byte, and packing that again gives a value that is accepted. */
#include "script/value.h"
#include <lauxlib.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    static lua_State *L;
    const char *at = (const char *)bytes, *end = at + len;
    struct buf b = {0};
    struct err e;

    if (L == NULL) L = luaL_newstate();
    const char *behind = value_check(at, end, &e);
    if (value_unpack(L, at, end, &e) != behind) abort();
    if (lua_gettop(L) != (behind ? 1 : 0)) abort();
    if (behind) {
        if (value_pack(L, -1, &b, len * 10 + 16, &e) < 0) abort();
        if (value_check(b.data, b.data + b.len, &e) != b.data + b.len) abort();
    }
    buf_free(&b);
    lua_settop(L, 0);
    return 0;
}
