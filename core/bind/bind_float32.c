/* SPDX-License-Identifier: Apache-2.0 */
/* core.float32: lists of numbers as base64 of IEEE 754 single precision, little-endian, which is how embeddings travel.
 * An answer has some hundred thousand of them: in Lua they held the loop for a tenth of a second. */
#include "base/buf.h"
#include "bind/vm.h"
#include "crypto/crypto.h"
#include <math.h>
#include <string.h>

enum { NUMBERS_MAX = 1 << 20 };

/* What is too large becomes infinite. */
static int bind_float32_base64(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t count = lua_objlen(L, 1);
    luaL_argcheck(L, count <= NUMBERS_MAX, 1, "at most 1,048,576 numbers");
    unsigned char *bytes = lua_newuserdata(L, count * 4 + 1); /* the collector's: a value below may raise */
    struct buf out = {0};

    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        lua_rawgeti(L, 1, (int)i + 1);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TNUMBER, 1, "a list of numbers");
        float value = (float)lua_tonumber(L, -1);
        lua_pop(L, 1);
        memcpy(&bits, &value, sizeof bits);
        for (int k = 0; k < 4; k++) bytes[i * 4 + (size_t)k] = (unsigned char)(bits >> (8 * k));
    }
    crypto_b64(bytes, count * 4, &out);
    lua_pushlstring(L, out.data ? out.data : "", out.len);
    buf_free(&out);
    return 1;
}

static int bind_float32_list(lua_State *L) {
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct buf out = {0};
    int rc = crypto_unb64(text, len, &out);

    if (rc < 0 || out.len % 4 || out.len / 4 > NUMBERS_MAX) {
        buf_free(&out);
        return bind_fail_text(L, ERR_INVALID, rc < 0 ? "not base64" : "no list of single precision numbers");
    }
    lua_createtable(L, (int)(out.len / 4), 0);
    for (size_t i = 0; i < out.len / 4; i++) {
        const unsigned char *b = (const unsigned char *)out.data + i * 4;
        uint32_t bits = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        float value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) {
            buf_free(&out);
            return bind_fail_text(L, ERR_INVALID, "a number is none, or infinite");
        }
        lua_pushnumber(L, value);
        lua_rawseti(L, -2, (int)i + 1);
    }
    buf_free(&out);
    return 1;
}

static const struct bind_fn functions[] = {
    {"base64", bind_float32_base64, BIND_PLAIN, "float32.base64(list) -> text",
     "Rounded to the nearest; what is too large becomes infinite."},
    {"list", bind_float32_list, BIND_PLAIN, "float32.list(text) -> list | nil, err",
     "err.code is invalid for what is no base64 of whole numbers, and for numbers that are none or infinite."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_float32(lua_State *L) {
    bind_module(L, functions);
    return 1;
}
