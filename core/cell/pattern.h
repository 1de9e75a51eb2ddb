/* SPDX-License-Identifier: Apache-2.0 */
/* Lua 5.1 patterns with a budget: LuaJIT's own find, match and gsub can run for hours inside one instruction, and its gsub
 * calls back into Lua on the C stack. Here each call does at most PATTERN_STEPS steps and then raises; gmatch and gsub with
 * a function or table are Lua around pattern_step (builtins.lua), so that they can be interrupted.
 *
 * All are Lua functions in C. They call no Lua. */
#pragma once
#include <lua.h>

enum { PATTERN_STEPS = 2000000, PATTERN_DEPTH = 200, PATTERN_CAPTURES = 32 };

int pattern_find(lua_State *L);  /* (text, pattern [, from [, plain]]) as string.find */
int pattern_match(lua_State *L); /* (text, pattern [, from]) as string.match */
/* (text, pattern, from, anchors, first_only) -> first, last, captures... of the next match at or behind from, or nothing.
 * anchors: whether a leading ^ is special (it is not in gmatch); first_only: of its captures. */
int pattern_step(lua_State *L);
int pattern_gsub(lua_State *L); /* (text, pattern, replacement text [, count]) as string.gsub; the result is capped */
