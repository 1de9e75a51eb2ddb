/* SPDX-License-Identifier: Apache-2.0 */
/* Our patterns on "pattern NUL text [NUL replacement]": no bad access, and where both give an answer, LuaJIT's own. Texts are kept
 * so short that its own matcher ends. */
#include "cell/pattern.h"
#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static int call(lua_State *L, lua_CFunction ours, const char *theirs, const char *const *args, const size_t *lens,
                int n) {
    int top = lua_gettop(L);

    if (ours) {
        lua_pushcfunction(L, ours);
    } else {
        lua_getglobal(L, "string");
        lua_getfield(L, -1, theirs);
        lua_remove(L, -2);
    }
    for (int i = 0; i < n; i++) lua_pushlstring(L, args[i], lens[i]);
    return lua_pcall(L, n, LUA_MULTRET, 0) == 0 ? lua_gettop(L) - top : -1;
}

static void compare(lua_State *L, lua_CFunction ours, const char *name, const char *const *args, const size_t *lens,
                    int n) {
    int a = call(L, ours, NULL, args, lens, n), from = lua_gettop(L), b = call(L, NULL, name, args, lens, n);

    if (a >= 0 && b >= 0) {
        if (a != b) abort();
        for (int i = 0; i < a; i++)
            if (!lua_rawequal(L, from - a + 1 + i, from + 1 + i)) abort();
    }
    lua_settop(L, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    static lua_State *L;
    const char *p = (const char *)bytes, *text = len ? memchr(p, 0, len) : NULL;

    if (!L) {
        L = luaL_newstate();
        luaL_openlibs(L);
    }
    if (!text || len > 24 || len == 0) return 0;
    size_t p_len = (size_t)(text - p), text_len = len - p_len - 1;
    text++;
    const char *repl = text_len ? memchr(text, 0, text_len) : NULL;
    size_t repl_len = 0;
    if (repl) {
        repl_len = text_len - (size_t)(repl - text) - 1;
        text_len = (size_t)(repl - text);
        repl++;
    }
    const char *args[] = {text, p, repl ? repl : ""};
    size_t lens[] = {text_len, p_len, repl_len};
    compare(L, pattern_find, "find", args, lens, 2);
    compare(L, pattern_match, "match", args, lens, 2);
    compare(L, pattern_gsub, "gsub", args, lens, 3);
    return 0;
}
