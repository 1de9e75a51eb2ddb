/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/place.h"
#include "base/str.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* What the frame at a level is called by its caller; where that is ours, it is the state's function. */
static void frame_name(lua_State *L, int level, lua_Debug *ar, char *out, size_t cap) {
    lua_Debug caller;

    if (strcmp(ar->what, "main") == 0) {
        snprintf(out, cap, "in the file itself");
        return;
    }
    bool ours =
        lua_getstack(L, level + 1, &caller) && lua_getinfo(L, "S", &caller) && strcmp(caller.source, "=parley") == 0;
    if (!ours && ar->name)
        snprintf(out, cap, "in function '%.64s'", ar->name);
    else
        snprintf(out, cap, "in the function of line %d", ar->linedefined);
}

int place_trace(lua_State *L, char frames[PLACE_FRAMES][PLACE_FRAME_MAX]) {
    lua_Debug ar;
    char name[96];
    int n = 0;

    for (int level = 0; level < LEVELS && n < PLACE_FRAMES && lua_getstack(L, level, &ar); level++) {
        if (!lua_getinfo(L, "Snl", &ar) || ar.source[0] != '@') continue;
        frame_name(L, level, &ar, name, sizeof name);
        snprintf(frames[n++], PLACE_FRAME_MAX, "%.100s:%d: %s", ar.source + 1,
                 ar.currentline > 0 ? ar.currentline : ar.linedefined, name);
    }
    return n;
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
