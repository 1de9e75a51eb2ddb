/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a tenant's files something stands. Chunks of a tenant are named "@path", ours "=parley". */
#pragma once
#include <lua.h>
#include <stdbool.h>

struct place {
    char file[128]; /* "" when unknown */
    int line;       /* 0 when unknown */
};

/* The innermost frame of a tenant's file on L's stack. */
bool place_of_stack(lua_State *L, struct place *p);
/* The first line of the function at idx; last (may be NULL) gets its last line. */
bool place_of_function(lua_State *L, int idx, struct place *p, int *last);
/* How L came to where it stands: one line for each frame of a tenant's file, the innermost first, at most PLACE_FRAMES:
 * "flows/main.lua:12: in function 'score'". Frames of ours and C functions are left out. Asks no metamethods, never raises.
 * Returns how many. */
enum { PLACE_FRAMES = 10, PLACE_FRAME_MAX = 224 };
int place_trace(lua_State *L, char frames[PLACE_FRAMES][PLACE_FRAME_MAX]);
/* Raises with "file:line: " of the innermost frame of a tenant's file in front, where there is one. */
int place_error(lua_State *L, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
