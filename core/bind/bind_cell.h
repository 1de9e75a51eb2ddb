/* SPDX-License-Identifier: Apache-2.0 */
/* What core.cell shares with its fuzzer. */
#pragma once
#include <lua.h>
#include <stddef.h>

/* Pushes the name and the values of a message from a cell. How many were pushed; or -1, nothing pushed and why said.
 * data is a stranger's: it is checked whole before a value is made. */
int bind_cell_push_message(lua_State *L, const char *data, size_t len, const char **why);
