/* SPDX-License-Identifier: Apache-2.0 */
/* Value transfer: Lua values as bytes, between the platform VM and a tenant's cell. Both sides distrust the bytes.
 *
 * A value is nil, boolean, number, string or table of such (string, number or boolean keys), without cycles, at most 16 deep.
 * At most 256 number keys in it stand outside lists (1, 2, 3 and so on, sent in this order and first): a VM hashes numbers
 * without a seed, so that who chooses thousands of them makes a table that takes seconds.
 * Wire: one tag byte each: 'z' nil, 't' true, 'f' false, 'i' zigzag varint integer (|n| <= 2^53), 'd' 8 bytes little-endian double,
 * 's' varint length + bytes, '{' pairs key value ... '}'. Metatables are not transferred. Anything else (functions, userdata,
 * other than the VM's null, which is 'z') is an error that names the key where it stands.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <lua.h>
#include <stddef.h>

enum { VALUE_DEPTH = 16, VALUE_SPARSE = 256 };
/* Appends the value at idx. limit: bytes appended at most (ERR_LIMIT). After 0.2 s of CPU, which only large tables that were
 * emptied need, it is ERR_LIMIT too. Raises when L's stack is at its end, and else never. The Lua stack is as before. */
int value_pack(lua_State *L, int idx, struct buf *out, size_t limit, struct err *e);
/* Reads one value from [at, end) and pushes it; returns the position behind it, or NULL with nothing pushed (ERR_PROTOCOL).
 * May raise a Lua memory error: call under protection. */
const char *value_unpack(lua_State *L, const char *at, const char *end, struct err *e);
/* Checks form, depth and size without a VM: returns the end or NULL. The worker does this before it touches cell bytes. */
const char *value_check(const char *at, const char *end, struct err *e);
