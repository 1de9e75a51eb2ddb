/* SPDX-License-Identifier: Apache-2.0 */
/* Our own Lua as bytes of the program: a cell has no files. Made from the .lua files of this folder by the build. */
#pragma once
#include <stddef.h>

extern const char embedded_builtins[], embedded_flow[], embedded_spec[];
extern const size_t embedded_builtins_len, embedded_flow_len, embedded_spec_len;
