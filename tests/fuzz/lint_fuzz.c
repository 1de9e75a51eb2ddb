/* SPDX-License-Identifier: Apache-2.0 */
/* What the lint finds lies within the source, whatever the source. First two bytes: the lines of the function. And no source that
 * makes LuaJIT load its ffi, valid or not, passes as one without such numbers; nor is one refused that LuaJIT takes without its ffi. */
#include "cell/lint.h"
#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct source {
    const char *at, *end;
};

static void on_found(void *ud, int line, const char *text, size_t len) {
    const struct source *s = ud;
    if (line < 1 || text < s->at || len > (size_t)(s->end - text)) abort();
}

/* A state that tells when the parser loads the ffi: it is registered where a table of loaded modules stands. */
static lua_State *new_state(void) {
    lua_State *L = luaL_newstate();

    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "_LOADED");
    return L;
}

static bool loads_ffi(lua_State *L, const char *source, size_t len, bool *valid) {
    *valid = luaL_loadbufferx(L, source, len, "=x", "t") == 0;
    lua_settop(L, 0);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "ffi");
    bool loaded = !lua_isnil(L, -1);
    lua_settop(L, 0);
    return loaded;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    static lua_State *L;

    if (len < 2) return 0;
    struct source s = {.at = (const char *)bytes + 2, .end = (const char *)bytes + len};
    int first = 1 + bytes[0] % 8, last = first + bytes[1] % 8;

    lint_returns(s.at, len - 2, first, last, on_found, &s);
    if (lint_tail_call(s.at, len - 2, first, last, "say") < 0) abort();
    if (lint_file_return(s.at, len - 2) < 1) abort();
    if (!L) L = new_state();
    bool found = lint_ffi_number(s.at, len - 2) != 0, valid, loads = loads_ffi(L, s.at, len - 2, &valid);
    if (loads && !found) abort();
    if (found && valid && !loads) abort();
    if (found) { /* it may be loaded now, and would not be again */
        lua_close(L);
        L = NULL;
    }
    return 0;
}
