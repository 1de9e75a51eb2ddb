/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines of a bundle's files have run. Costs a hook on each line, so it is only for a bundle's own tests.
 *
 * Ownership  The bundle's bytes are borrowed and outlive it.
 */
#pragma once
#include "base/buf.h"
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

struct cover;
struct cover *cover_new(const void *bytes, size_t len); /* a bundle, checked */
void cover_free(struct cover *c);
/* A line of a file named "@path" runs; other names are not counted. */
void cover_line(struct cover *c, const char *source, int line);
/* The file as a text with a character a line: '-' no code, '0' code that has not run, '1' code that has. At most max lines.
 * False when the bundle has no such Lua file, or it is no Lua. */
bool cover_report(const struct cover *c, const char *path, size_t max, struct buf *out);
