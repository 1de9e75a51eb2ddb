/* SPDX-License-Identifier: Apache-2.0 */
/* core.json both ways. Text that decodes is written as text that decodes to the same; and what value_unpack() makes of the
 * bytes (any keys, NaN, holes, bytes that are no UTF-8) is refused with a reason or written as text that decodes. */
#include "bind/vm.h"
#include "script/value.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int bind_open_json(lua_State *L);

/* The text of json.encode(top), or NULL when it raised. The text stays on the stack. */
static const char *encode(lua_State *L, size_t *len) {
    lua_getfield(L, LUA_REGISTRYINDEX, "json");
    lua_getfield(L, -1, "encode");
    lua_pushvalue(L, -3);
    int rc = lua_pcall(L, 1, 1, 0);
    if (lua_type(L, -1) != LUA_TSTRING) abort(); /* a text or an error's text */
    return rc == 0 ? lua_tolstring(L, -1, len) : NULL;
}

static bool decode(lua_State *L, const char *text, size_t len) {
    int top = lua_gettop(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "json");
    lua_getfield(L, -1, "decode");
    lua_remove(L, -2);
    lua_pushlstring(L, text, len);
    lua_call(L, 1, LUA_MULTRET); /* it never raises */
    if (lua_gettop(L) == top + 1) return true;
    if (lua_gettop(L) != top + 2 || !lua_isnil(L, -2) || !lua_istable(L, -1)) abort();
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    static lua_State *L;
    struct err e;
    size_t first_len, second_len;
    const char *first, *second;

    if (L == NULL) {
        L = luaL_newstate();
        bind_open_json(L);
        lua_setfield(L, LUA_REGISTRYINDEX, "json");
    }
    if (decode(L, (const char *)bytes, len)) {
        if ((first = encode(L, &first_len)) == NULL || !decode(L, first, first_len)) abort();
        if ((second = encode(L, &second_len)) == NULL) abort();
        if (first_len != second_len || memcmp(first, second, first_len) != 0) abort();
    }
    lua_settop(L, 0);
    if (value_unpack(L, (const char *)bytes, (const char *)bytes + len, &e) != NULL)
        if ((first = encode(L, &first_len)) != NULL && !decode(L, first, first_len)) {
            /* What a key in Lua can be told apart by, text may not: 1 and "1". */
            lua_getfield(L, -1, "text");
            if (strstr(lua_tostring(L, -1), "duplicate") == NULL) abort();
        }
    lua_settop(L, 0);
    return 0;
}
