/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text straight to Lua values, with no tree in between: an API's bodies and the pieces of a model's answer are small and many.
 *
 * It takes what is well formed and leaves all else, also what is merely rare (an integer of 16 digits), to who has words for it:
 * false means that nothing was pushed, not that the text is wrong.
 */
#pragma once
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* mark pushes the metatable of empty lists. Depth: of lists and objects within each other. */
bool json_read(lua_State *L, const char *text, size_t len, int depth, void (*mark)(lua_State *L));
