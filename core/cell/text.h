/* SPDX-License-Identifier: Apache-2.0 */
/* C parts of the built-ins on strings and lists: the same results as Lua's own, with a cap on what one call can make and do
 * (tests/core/alike.lua says where they differ all the same).
 * All are Lua functions in C; none calls back into Lua, none asks a metatable. */
#pragma once
#include <lua.h>

enum { TEXT_MAX = 1024 * 1024, LIST_UNPACK_MAX = 4000, LIST_SORT_MAX = 200000, LIST_MOVE_MAX = 1000000 };

int text_rep(lua_State *L); /* string.rep */
int text_format_check(
    lua_State *L);             /* raises when string.format of these arguments would be too long or show an address */
int list_concat(lua_State *L); /* table.concat */
int list_insert(lua_State *L); /* table.insert */
int list_remove(lua_State *L); /* table.remove */
int list_unpack(lua_State *L); /* unpack */
int list_sort(lua_State *L);   /* sorts a list of only numbers or only strings: true; else false, and nothing is done */
int list_keys(lua_State *L);   /* a table's keys in an order that does not change from run to run; nil: too many */
