/* SPDX-License-Identifier: Apache-2.0 */
/* A look at Lua source by its words only: enough to find plain `return "literal"` statements in a function. */
#pragma once
#include <stddef.h>

typedef void (*lint_found_cb)(void *ud, int line, const char *text, size_t len);
/* Calls found for each `return "literal"` of the function that starts on line first and ends on line last; functions within it
 * do not count. Nothing is reported when several functions start and end on these lines. */
void lint_returns(const char *source, size_t len, int first, int last, lint_found_cb found, void *ud);
/* The line of the only `return x:method` of that function, else 0: a tail call leaves no frame to tell where it stood. */
int lint_tail_call(const char *source, size_t len, int first, int last, const char *method);
/* The line of the file's own last return statement, else 1: what `return f()` raises has left no frame either. */
int lint_file_return(const char *source, size_t len);
/* The line of the first number that ends with LL, ULL, LLU or i, else 0: LuaJIT loads its ffi for them. */
int lint_ffi_number(const char *source, size_t len);
