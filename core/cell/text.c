/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/text.h"
#include "cell/place.h"
#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

int text_rep(lua_State *L) {
    size_t len, sep_len, total;
    const char *text = luaL_checklstring(L, 1, &len);
    lua_Number n = luaL_checknumber(L, 2);
    const char *sep = luaL_optlstring(L, 3, "", &sep_len);

    if (!(n >= 1) || len + sep_len == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (n > TEXT_MAX || len > TEXT_MAX || sep_len > TEXT_MAX ||
        (total = (size_t)n * (len + sep_len) - sep_len) > TEXT_MAX)
        place_error(L, "the result of string.rep is longer than %d bytes", TEXT_MAX);
    char *out = lua_newuserdata(L, total ? total : 1), *at = out;
    for (size_t i = 0; i < (size_t)n; i++) {
        memcpy(at, text, len);
        at += len;
        if (i + 1 == (size_t)n) break;
        memcpy(at, sep, sep_len);
        at += sep_len;
    }
    lua_pushlstring(L, out, total);
    return 1;
}

/* %s and %q take their argument's length, every other conversion has at most some 420 characters. */
int text_format_check(lua_State *L) {
    size_t len, total = 0;
    const char *f = luaL_checklstring(L, 1, &len), *end = f + len;
    int arg = 1;

    total = len;
    while (f < end) {
        if (*f++ != '%') continue;
        if (f < end && *f == '%') {
            f++;
            continue;
        }
        while (f < end && (strchr("-+ #0.", *f) || isdigit((unsigned char)*f)) && *f) f++;
        if (f == end) break; /* string.format itself says what is wrong */
        arg++;
        switch (*f++) {
        case 'p':
            place_error(L, "string.format has no %%p here");
        case 's':
        case 'q': {
            size_t n = 0;
            if (lua_type(L, arg) == LUA_TSTRING) lua_tolstring(L, arg, &n);
            total += f[-1] == 'q' ? 4 * n + 2 : n + 128;
            break;
        }
        default:
            total += 448;
        }
        if (total > 2 * (size_t)TEXT_MAX) place_error(L, "the result of string.format is too long");
    }
    return 0;
}
