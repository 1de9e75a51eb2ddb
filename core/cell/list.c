/* SPDX-License-Identifier: Apache-2.0 */
/* The built-ins on lists. Scratch memory is userdata, so that it counts and is collected when something raises. */
#include "cell/place.h"
#include "cell/text.h"
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

int list_concat(lua_State *L) {
    size_t sep_len, len, total = 0;
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *sep = luaL_optlstring(L, 2, "", &sep_len);
    int first = luaL_optint(L, 3, 1);
    int last = lua_isnoneornil(L, 4) ? (int)lua_objlen(L, 1) : luaL_checkint(L, 4);

    lua_settop(L, 4);
    if ((lua_Number)last - first > TEXT_MAX) place_error(L, "table.concat of more than %d items", TEXT_MAX);
    for (lua_Integer i = first; i <= last; i++) { /* the sizes first, so that nothing large is built in vain */
        lua_rawgeti(L, 1, (int)i);
        int type = lua_type(L, -1);
        if (type == LUA_TSTRING)
            len = lua_objlen(L, -1);
        else if (type == LUA_TNUMBER)
            len = 32;
        else
            place_error(L, "invalid value (%s) at index %d in table for 'concat'", lua_typename(L, type), (int)i);
        total += len + (i < last ? sep_len : 0);
        if (total > TEXT_MAX) place_error(L, "the result of table.concat is longer than %d bytes", TEXT_MAX);
        lua_pop(L, 1);
    }
    char *out = lua_newuserdata(L, total ? total : 1), *at = out;
    for (lua_Integer i = first; i <= last; i++) {
        lua_rawgeti(L, 1, (int)i);
        const char *text = lua_tolstring(L, -1, &len); /* a number becomes text on the stack, not in the table */
        memcpy(at, text, len);
        at += len;
        lua_pop(L, 1);
        if (i == last) break;
        memcpy(at, sep, sep_len);
        at += sep_len;
    }
    lua_pushlstring(L, out, (size_t)(at - out));
    return 1;
}

/* A list with holes may say that it is a billion long, in thirty keys. */
static void check_move(lua_State *L, int items, const char *name) {
    if (items > LIST_MOVE_MAX) place_error(L, "table.%s would move more than %d items", name, LIST_MOVE_MAX);
}

int list_insert(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    int n = (int)lua_objlen(L, 1) + 1, args = lua_gettop(L);

    if (args == 2) {
        lua_rawseti(L, 1, n);
        return 0;
    }
    if (args != 3) place_error(L, "wrong number of arguments to 'insert'");
    lua_Number at = trunc(luaL_checknumber(L, 2));
    if (!(at >= 1 && at <= n)) place_error(L, "bad argument #2 to 'insert' (position out of bounds)");
    check_move(L, n - (int)at, "insert");
    for (int i = n; i > (int)at; i--) {
        lua_rawgeti(L, 1, i - 1);
        lua_rawseti(L, 1, i);
    }
    lua_rawseti(L, 1, (int)at);
    return 0;
}

int list_remove(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    int n = (int)lua_objlen(L, 1);
    lua_Number at = luaL_optnumber(L, 2, n);

    if (n == 0) return 0;
    if (!(at >= 1 && at <= n)) return 0;
    check_move(L, n - (int)at, "remove");
    lua_rawgeti(L, 1, (int)at); /* the result */
    for (lua_Number i = at + 1; i <= n;
         i++) { /* from 3.5 on, as LuaJIT's own: the item that 4.5 means goes to where 3.5 does */
        lua_rawgeti(L, 1, (int)i);
        lua_rawseti(L, 1, (int)(i - 1));
    }
    lua_pushnil(L);
    lua_rawseti(L, 1, n);
    return 1;
}

int list_unpack(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Number first = trunc(luaL_optnumber(L, 2, 1));
    lua_Number last = trunc(lua_isnoneornil(L, 3) ? (lua_Number)lua_objlen(L, 1) : luaL_checknumber(L, 3));

    if (!(first <= last)) return 0;
    if (last - first >= LIST_UNPACK_MAX || first < -2147483648.0 || last > 2147483647.0 ||
        !lua_checkstack(L, (int)(last - first) + 8)) /* no more than it takes: a stack that has grown stays so */
        place_error(L, "too many results to unpack");
    for (int64_t i = (int64_t)first; i <= (int64_t)last; i++) lua_rawgeti(L, 1, (int)i);
    return (int)((int64_t)last - (int64_t)first) + 1;
}

/* -- sorting --------------------------------------------------------------------------------------------------------- */

enum { SORT_BYTES = 64 << 20 };

struct item {
    const char *text; /* NULL for a number */
    size_t len;
    double number;
    int at; /* where its value stands */
};

/* budget: bytes that may be compared, or NULL. Below zero the order means nothing any more. */
static bool before(const struct item *a, const struct item *b, int64_t *budget) {
    if (a->text && a->text == b->text) return false; /* one string has one place in memory */
    if (!a->text || !b->text) return !a->text && (b->text || a->number < b->number);
    size_t n = a->len < b->len ? a->len : b->len;
    if (budget && (*budget -= (int64_t)n) < 0) return false;
    int order = memcmp(a->text, b->text, n);
    return order ? order < 0 : a->len < b->len;
}

/* A stable merge sort: never worse than n log n, whatever the input. Returns the sorted one of the two. */
static struct item *merge_sort(struct item *from, struct item *to, int n, int64_t *budget) {
    for (int width = 1; width < n; width *= 2) {
        for (int low = 0; low < n; low += 2 * width) {
            int middle = low + width < n ? low + width : n, high = low + 2 * width < n ? low + 2 * width : n;
            int i = low, j = middle;
            for (int k = low; k < high; k++) {
                bool left = i < middle && (j >= high || !before(&from[j], &from[i], budget));
                to[k] = left ? from[i++] : from[j++];
            }
        }
        struct item *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

/* Reads the value on the top of the stack; the item borrows its text. */
static bool read_item(lua_State *L, struct item *item) {
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        item->text = lua_tolstring(L, -1, &item->len);
        return true;
    case LUA_TNUMBER:
        item->text = NULL;
        item->number = lua_tonumber(L, -1);
        return item->number == item->number;
    default:
        return false;
    }
}

int list_sort(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    int n = (int)lua_objlen(L, 1);

    lua_settop(L, 1);
    if (n > LIST_SORT_MAX) return lua_pushboolean(L, 0), 1;
    if (n < 2) return lua_pushboolean(L, 1), 1;
    struct item *items = lua_newuserdata(L, 2 * (size_t)n * sizeof *items);
    lua_createtable(L, n, 0); /* list, items, the values in their old order */
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, 1, i + 1);
        if (!read_item(L, &items[i]) || !items[i].text != !items[0].text) return lua_pushboolean(L, 0), 1;
        items[i].at = i + 1;
        lua_rawseti(L, 3, i + 1);
    }
    int64_t budget = SORT_BYTES;
    items = merge_sort(items, items + n, n, &budget);
    if (budget < 0)
        return lua_pushboolean(L, 0), 1; /* long texts that differ late: in Lua, where it can be interrupted */
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, 3, items[i].at);
        lua_rawseti(L, 1, i + 1);
    }
    return lua_pushboolean(L, 1), 1;
}

/* Numbers ascending, then strings by their bytes, then booleans, then other kinds as they come. */
int list_keys(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    int n = 0, others = 0;
    bool sorted = true;
    double last = 0;

    lua_settop(L, 1);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) { /* how many, and is it a plain list already in order */
        if (lua_type(L, 2) != LUA_TNUMBER || (n && lua_tonumber(L, 2) <= last))
            sorted = false;
        else
            last = lua_tonumber(L, 2);
        if (++n > LIST_SORT_MAX) return lua_pushnil(L), 1;
    }
    lua_createtable(L, n, 0); /* table, keys */
    if (sorted) {
        int i = 0;
        for (lua_pushnil(L); lua_next(L, 1);) {
            lua_pop(L, 1);
            lua_pushvalue(L, -1);
            lua_rawseti(L, 2, ++i);
        }
        return 1;
    }
    struct item *items = lua_newuserdata(L, 2 * (size_t)n * sizeof *items);
    lua_createtable(L, n, 0); /* table, keys, items, keys as they come */
    int i = 0, count = 0;
    for (lua_pushnil(L); lua_next(L, 1);) {
        lua_pop(L, 1);
        items[count].at = ++i;
        if (read_item(L, &items[count])) count++;
        lua_pushvalue(L, -1);
        lua_rawseti(L, 4, i);
    }
    items = merge_sort(items, items + n, count, NULL); /* keys differ: memory bounds their lengths */
    for (i = 0; i < count; i++) {
        lua_rawgeti(L, 4, items[i].at);
        lua_rawseti(L, 2, i + 1);
    }
    for (int pass = 0; pass < 3; pass++) /* false, true, the rest */
        for (i = 1; i <= n; i++) {
            lua_rawgeti(L, 4, i);
            int type = lua_type(L, -1);
            int kind = type == LUA_TNUMBER || type == LUA_TSTRING ? -1
                       : type != LUA_TBOOLEAN                     ? 2
                                                                  : lua_toboolean(L, -1);
            if (kind == pass)
                lua_rawseti(L, 2, count + ++others);
            else
                lua_pop(L, 1);
        }
    lua_settop(L, 2);
    return 1;
}
