/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/place.h"
#include "base/str.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEVELS = 300 /* more than protected calls can nest; a deep recursion is not walked to its end */ };

bool place_of_stack(lua_State *L, struct place *p) {
    lua_Debug ar;

    *p = (struct place){.line = 0};
    for (int level = 0; level < LEVELS && lua_getstack(L, level, &ar); level++) {
        if (!lua_getinfo(L, "Sl", &ar) || ar.source[0] != '@') continue;
        str_copy(p->file, sizeof p->file, ar.source + 1);
        p->line = ar.currentline > 0 ? ar.currentline : ar.linedefined;
        return true;
    }
    return false;
}

bool place_of_function(lua_State *L, int idx, struct place *p, int *last) {
    lua_Debug ar;

    *p = (struct place){.line = 0};
    lua_pushvalue(L, idx);
    if (!lua_getinfo(L, ">S", &ar) || ar.source[0] != '@') return false;
    str_copy(p->file, sizeof p->file, ar.source + 1);
    p->line = ar.linedefined;
    if (last) *last = ar.lastlinedefined;
    return true;
}

int place_error(lua_State *L, const char *fmt, ...) {
    struct place p;
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (place_of_stack(L, &p))
        lua_pushfstring(L, "%s:%d: %s", p.file, p.line, text);
    else
        lua_pushstring(L, text);
    lua_error(L);
    abort(); /* lua_error() does not return */
}
