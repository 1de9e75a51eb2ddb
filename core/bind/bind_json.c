/* SPDX-License-Identifier: Apache-2.0 */
/* core.json, over jansson: empty lists stay lists, and an integer that a Lua number cannot hold is an error, never rounded. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "bind/json_read.h"
#include "bind/vm.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_DEPTH = 64 };
static char array_mark; /* address of the metatable in the registry */

static void push_array_meta(lua_State *L) {
    lua_pushlightuserdata(L, &array_mark);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

/* Arrays carry the mark only when empty: others are known by their keys. */
static int push(lua_State *L, const json_t *value, int depth, struct err *e) {
    if (depth > JSON_DEPTH) return err_set(e, ERR_INVALID, "JSON is nested deeper than %d", JSON_DEPTH);
    luaL_checkstack(L, 4, "JSON too deep");
    switch (json_typeof(value)) {
    case JSON_NULL:
        lua_pushlightuserdata(L, NULL);
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(value));
        return 0;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(value));
        return 0;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        return 0;
    case JSON_INTEGER: {
        json_int_t n = json_integer_value(value);
        if (n > (1LL << 53) || n < -(1LL << 53))
            return err_set(e, ERR_INVALID, "the integer %lld is too large to be exact; send it as a string",
                           (long long)n);
        lua_pushnumber(L, (lua_Number)n);
        return 0;
    }
    case JSON_ARRAY: {
        size_t i;
        json_t *item;
        lua_createtable(L, (int)json_array_size(value), 0);
        if (json_array_size(value) == 0) {
            push_array_meta(L);
            lua_setmetatable(L, -2);
        }
        json_array_foreach(value, i, item) {
            if (push(L, item, depth + 1, e) < 0) {
                lua_pop(L, 1);
                return ERR_INVALID;
            }
            lua_rawseti(L, -2, (int)i + 1);
        }
        return 0;
    }
    case JSON_OBJECT: {
        const char *key;
        json_t *item;
        lua_createtable(L, 0, (int)json_object_size(value));
        json_object_foreach((json_t *)(uintptr_t)value, key, item) {
            lua_pushstring(L, key);
            if (push(L, item, depth + 1, e) < 0) {
                lua_pop(L, 2);
                return ERR_INVALID;
            }
            lua_rawset(L, -3);
        }
        return 0;
    }
    }
    return err_set(e, ERR_INVALID, "unknown JSON type");
}

int bind_json_push(lua_State *L, const json_t *value, struct err *e) {
    if (value == NULL) {
        lua_pushnil(L);
        return 0;
    }
    return push(L, value, 0, e);
}

/* A table is a list when it has the mark, or a first element and no other keys than 1..n. */
static bool is_array(lua_State *L, int idx, size_t *n) {
    size_t len = lua_objlen(L, idx), count = 0;
    bool marked = false;

    if (lua_getmetatable(L, idx)) {
        push_array_meta(L);
        marked = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    *n = len;
    if (marked) return true;
    if (len == 0) return false;
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TNUMBER) {
            lua_pop(L, 1);
            return false;
        }
        count++;
    }
    return count == len;
}

static json_t *take(lua_State *L, int idx, int depth, struct err *e) {
    if (depth > JSON_DEPTH) {
        err_set(e, ERR_INVALID, "the value is nested deeper than %d (or holds itself)", JSON_DEPTH);
        return NULL;
    }
    luaL_checkstack(L, 6, "value too deep");
    switch (lua_type(L, idx)) {
    case LUA_TNIL:
        return json_null();
    case LUA_TLIGHTUSERDATA:
        return json_null();
    case LUA_TBOOLEAN:
        return json_boolean(lua_toboolean(L, idx));
    case LUA_TNUMBER: {
        lua_Number n = lua_tonumber(L, idx);
        if (!isfinite(n)) {
            err_set(e, ERR_INVALID, "JSON has no %s", isnan(n) ? "NaN" : "infinity");
            return NULL;
        }
        if (n == floor(n) && fabs(n) <= 9007199254740992.0) return json_integer((json_int_t)n);
        return json_real(n);
    }
    case LUA_TSTRING: {
        size_t len;
        const char *text = lua_tolstring(L, idx, &len);
        if (memchr(text, '\0', len) != NULL) { /* it would be written, and never read again */
            err_set(e, ERR_INVALID, "a string holds a NUL byte");
            return NULL;
        }
        json_t *s = json_stringn(text, len);
        if (s == NULL) err_set(e, ERR_INVALID, "a string is not UTF-8");
        return s;
    }
    case LUA_TTABLE: {
        size_t n;
        if (is_array(L, idx, &n)) {
            json_t *list = json_array();
            for (size_t i = 1; i <= n; i++) {
                json_t *item;
                lua_rawgeti(L, idx, (int)i);
                item = take(L, lua_gettop(L), depth + 1, e);
                lua_pop(L, 1);
                if (item == NULL) {
                    json_decref(list);
                    return NULL;
                }
                json_array_append_new(list, item);
            }
            return list;
        }
        json_t *object = json_object();
        lua_pushnil(L);
        while (lua_next(L, idx)) {
            json_t *item;
            char number[32];
            const char *key;
            size_t len;
            if (lua_type(L, -2) == LUA_TSTRING) {
                key = lua_tolstring(L, -2, &len);
                if (strlen(key) != len) key = NULL;
            } else if (lua_type(L, -2) == LUA_TNUMBER) {
                snprintf(number, sizeof number, "%.14g", lua_tonumber(L, -2));
                key = number;
            } else {
                key = NULL;
            }
            item = key == NULL ? NULL : take(L, lua_gettop(L), depth + 1, e);
            if (key == NULL) err_set(e, ERR_INVALID, "a table key is neither text nor a number");
            lua_pop(L, 1);
            if (item == NULL || json_object_set_new(object, key, item) != 0) {
                if (item != NULL) err_set(e, ERR_INVALID, "a table key is not UTF-8");
                lua_pop(L, 1);
                json_decref(object);
                return NULL;
            }
        }
        return object;
    }
    default:
        err_set(e, ERR_INVALID, "JSON cannot hold a %s", luaL_typename(L, idx));
        return NULL;
    }
}

json_t *bind_json_take(lua_State *L, int idx, struct err *e) {
    if (idx < 0 && idx > LUA_REGISTRYINDEX) idx = lua_gettop(L) + idx + 1;
    return take(L, idx, 0, e);
}

/* -- writing: straight from Lua's values to text, the same text as jansson makes of take()'s tree with its keys sorted ----- */

enum {
    ENCODE_FLAGS = JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS,
    MEMBERS_AT_HAND = 32,
    RECORD_MEMBERS = 32,
    RECORD_BYTES = 1000
};

struct member {
    const char *key; /* the table's own string: stays while the table is not changed */
    size_t len;
    int value; /* its place on the stack; 0: it is looked up */
};

static int write_value(lua_State *L, int idx, int depth, struct buf *out, struct err *e);

/* What is rare goes the long way round. */
static int write_tree(lua_State *L, int idx, int depth, struct buf *out, struct err *e) {
    json_t *tree = take(L, idx, depth, e);
    if (tree == NULL) return ERR_INVALID;
    char *text = json_dumps(tree, ENCODE_FLAGS);
    json_decref(tree);
    if (text == NULL) return err_set(e, ERR_INVALID, "the value cannot be written as JSON");
    buf_add_str(out, text);
    free(text);
    return 0;
}

static const char *escape_of(unsigned char c, char code[7]) {
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        snprintf(code, 7, "\\u%04X", c);
        return code;
    }
}

static void write_text(const char *text, size_t len, struct buf *out) {
    size_t from = 0;
    char code[7];

    buf_reserve(out, len + 2);
    buf_add(out, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        buf_add(out, text + from, i - from);
        buf_add_str(out, escape_of(c, code));
        from = i + 1;
    }
    buf_add(out, text + from, len - from);
    buf_add(out, "\"", 1);
}

static void write_integer(long long n, struct buf *out) {
    char digits[24], *end = digits + sizeof digits, *at = end;
    unsigned long long left = n < 0 ? -(unsigned long long)n : (unsigned long long)n;
    do *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (n < 0) *--at = '-';
    buf_add(out, at, (size_t)(end - at));
}

static int compare_members(const void *a, const void *b) {
    return strcmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static void sort_members(struct member *members, size_t n) {
    if (n > MEMBERS_AT_HAND) {
        qsort(members, n, sizeof *members, compare_members);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct member m = members[i];
        size_t at = i;
        for (; at && compare_members(&members[at - 1], &m) > 0; at--) members[at] = members[at - 1];
        members[at] = m;
    }
}

static bool key_is_plain(lua_State *L, struct member *m) {
    if (lua_type(L, -2) != LUA_TSTRING) return false;
    m->key = lua_tolstring(L, -2, &m->len);
    return memchr(m->key, '\0', m->len) == NULL && str_is_utf8(m->key, m->len);
}

static int write_object(lua_State *L, int idx, int depth, struct buf *out, struct err *e) {
    struct member at_hand[MEMBERS_AT_HAND], *members = at_hand;
    size_t n = 0, cap = MEMBERS_AT_HAND;
    int rc = 0, top = lua_gettop(L);

    luaL_checkstack(L, MEMBERS_AT_HAND + 6, "value too deep");
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        if (n == cap) {
            struct member *more = mem_alloc(2 * cap * sizeof *more);
            memcpy(more, members, n * sizeof *more);
            if (members != at_hand) free(members);
            members = more;
            cap *= 2;
        }
        if (!key_is_plain(L, &members[n++])) { /* a number, or a mistake that take() has words for */
            lua_settop(L, top);
            rc = write_tree(L, idx, depth, out, e);
            goto done;
        }
        if (n > MEMBERS_AT_HAND) {
            members[n - 1].value = 0;
            lua_pop(L, 1);
        } else { /* under the key that goes on to the next: a look-up of each would make its key's string anew */
            members[n - 1].value = top + (int)n;
            lua_insert(L, -2);
        }
    }
    sort_members(members, n);
    buf_add(out, "{", 1);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (i) buf_add(out, ",", 1);
        write_text(members[i].key, members[i].len, out);
        buf_add(out, ":", 1);
        if (members[i].value) {
            rc = write_value(L, members[i].value, depth + 1, out, e);
            continue;
        }
        lua_pushlstring(L, members[i].key, members[i].len);
        lua_rawget(L, idx);
        rc = write_value(L, lua_gettop(L), depth + 1, out, e);
        lua_pop(L, 1);
    }
    lua_settop(L, top);
    buf_add(out, "}", 1);
done:
    if (members != at_hand) free(members);
    return rc;
}

static int write_list(lua_State *L, int idx, size_t n, int depth, struct buf *out, struct err *e) {
    int rc = 0;
    buf_add(out, "[", 1);
    for (size_t i = 1; rc == 0 && i <= n; i++) {
        if (i > 1) buf_add(out, ",", 1);
        lua_rawgeti(L, idx, (int)i);
        rc = write_value(L, lua_gettop(L), depth + 1, out, e);
        lua_pop(L, 1);
    }
    buf_add(out, "]", 1);
    return rc;
}

static int write_value(lua_State *L, int idx, int depth, struct buf *out, struct err *e) {
    size_t len;
    if (depth > JSON_DEPTH) return write_tree(L, idx, depth, out, e);
    luaL_checkstack(L, 6, "value too deep");
    switch (lua_type(L, idx)) {
    case LUA_TNIL:
    case LUA_TLIGHTUSERDATA:
        buf_add(out, "null", 4);
        return 0;
    case LUA_TBOOLEAN:
        buf_add_str(out, lua_toboolean(L, idx) ? "true" : "false");
        return 0;
    case LUA_TNUMBER: {
        lua_Number n = lua_tonumber(L, idx);
        if (n != floor(n) || fabs(n) > 9007199254740992.0) return write_tree(L, idx, depth, out, e);
        write_integer((long long)n, out);
        return 0;
    }
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, idx, &len);
        if (memchr(text, '\0', len) || !str_is_utf8(text, len)) return write_tree(L, idx, depth, out, e);
        write_text(text, len, out);
        return 0;
    }
    case LUA_TTABLE:
        if (is_array(L, idx, &len)) return write_list(L, idx, len, depth, out, e);
        return write_object(L, idx, depth, out, e);
    default:
        return write_tree(L, idx, depth, out, e);
    }
}

int bind_json_write(lua_State *L, int idx, struct buf *out, struct err *e) {
    return write_value(L, idx, 0, out, e);
}

static int bind_json_encode(lua_State *L) {
    struct err e = {0};
    struct buf out = {0};

    luaL_checkany(L, 1);
    lua_settop(L, 1);
    buf_reserve(&out, 255);
    if (write_value(L, 1, 0, &out, &e) < 0) {
        buf_free(&out);
        return luaL_error(L, "%s", e.text);
    }
    lua_pushlstring(L, out.data, out.len);
    buf_free(&out);
    return 1;
}

/* -- records: objects of one form, whose names are sorted and written once ---------------------------------------- */

struct part {
    int arg;        /* which argument is its value */
    size_t at, len; /* of what stands before the value, in the record's text */
};
struct record {
    int count;
    struct part parts[]; /* behind them the text */
};

static int bind_json_write_record(lua_State *L) {
    const struct record *r = lua_touserdata(L, lua_upvalueindex(1));
    const char *text = (const char *)(r->parts + r->count);
    struct err e = {0};
    struct buf out = {0};
    int rc = 0;

    if (lua_gettop(L) > r->count) return luaL_error(L, "the record has %d members", r->count);
    lua_settop(L, r->count);
    buf_reserve(&out, RECORD_BYTES);
    for (int i = 0; rc == 0 && i < r->count; i++) {
        buf_add(&out, text + r->parts[i].at, r->parts[i].len);
        rc = write_value(L, r->parts[i].arg, 1, &out, &e);
    }
    if (rc < 0) {
        buf_free(&out);
        return luaL_error(L, "%s", e.text);
    }
    buf_add(&out, "}", 1);
    lua_pushlstring(L, out.data, out.len);
    buf_free(&out);
    return 1;
}

static int bind_json_record(lua_State *L) {
    struct member names[RECORD_MEMBERS];
    struct buf text = {0};

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    int count = (int)lua_objlen(L, 1);
    luaL_argcheck(L, count >= 1 && count <= RECORD_MEMBERS, 1, "1 to 32 names");
    luaL_checkstack(L, count + 4, "names");
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 1, i + 1); /* stays on the stack, where its text is safe */
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 1, "names");
        names[i].key = lua_tolstring(L, -1, &names[i].len);
        names[i].value = i + 1;
        luaL_argcheck(L, strlen(names[i].key) == names[i].len && str_is_utf8(names[i].key, names[i].len), 1,
                      "names in UTF-8, without NUL");
    }
    sort_members(names, (size_t)count);
    for (int i = 1; i < count; i++)
        if (strcmp(names[i - 1].key, names[i].key) == 0) return luaL_error(L, "the name %s stands twice", names[i].key);

    struct part parts[RECORD_MEMBERS];
    for (int i = 0; i < count; i++) {
        parts[i] = (struct part){.arg = names[i].value, .at = text.len};
        buf_add(&text, i ? "," : "{", 1);
        write_text(names[i].key, names[i].len, &text);
        buf_add(&text, ":", 1);
        parts[i].len = text.len - parts[i].at;
    }
    struct record *r = lua_newuserdata(L, sizeof *r + (size_t)count * sizeof *parts + text.len);
    r->count = count;
    memcpy(r->parts, parts, (size_t)count * sizeof *parts);
    memcpy(r->parts + count, text.data, text.len);
    buf_free(&text);
    lua_pushcclosure(L, bind_json_write_record, 1);
    return 1;
}

static int bind_json_decode(lua_State *L) {
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    json_error_t where;
    struct err e = {0};

    if (json_read(L, text, len, JSON_DEPTH, push_array_meta)) return 1;
    json_t *value = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &where);

    if (value == NULL) {
        bool nul = strstr(where.text, "JSON_ALLOW_NUL") != NULL;
        err_set(&e, ERR_INVALID, "line %d column %d: %s", where.line, where.column,
                nul ? "a string holds \\u0000" : where.text);
        return bind_fail(L, &e);
    }
    if (bind_json_push(L, value, &e) < 0) {
        json_decref(value);
        return bind_fail(L, &e);
    }
    json_decref(value);
    return 1;
}

static int bind_json_array(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    push_array_meta(L);
    lua_setmetatable(L, 1);
    return 1;
}

static int bind_json_is_array(lua_State *L) {
    size_t n;

    lua_settop(L, 1);
    lua_pushboolean(L, lua_istable(L, 1) && is_array(L, 1, &n));
    return 1;
}

static const struct bind_fn functions[] = {
    {"encode", bind_json_encode, BIND_PLAIN, "json.encode(value) -> text",
     "Keys are sorted. Raises for what JSON cannot hold."},
    {"record", bind_json_record, BIND_PLAIN, "json.record(names) -> function(...) -> text",
     "A function that writes an object with these members, given in the order of the names; nil is null."},
    {"decode", bind_json_decode, BIND_PLAIN, "json.decode(text) -> value | nil, err",
     "Duplicate keys and integers beyond 2^53 are errors; null is json.null."},
    {"array", bind_json_array, BIND_PLAIN, "json.array([t]) -> t",
     "Marks a table as a list, so that an empty one is written as []."},
    {"is_array", bind_json_is_array, BIND_PLAIN, "json.is_array(value) -> boolean",
     "Whether it would be written as a list."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_json(lua_State *L) {
    lua_pushlightuserdata(L, &array_mark);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "json.array");
    lua_setfield(L, -2, "__name");
    lua_rawset(L, LUA_REGISTRYINDEX);
    bind_module(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
