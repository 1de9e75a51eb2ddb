/* SPDX-License-Identifier: Apache-2.0 */
#include "script/value.h"
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

static const int64_t INTEGER_MAX = 1LL << 53; /* beyond it a double skips integers */

enum { TABLES_A_LOOK = 16, PACK_US = 200000 };

/* -- packing --------------------------------------------------------------------------------------------------------- */

struct packer {
    struct buf *out;
    size_t end;       /* out->len never passes it */
    int sparse;       /* number keys outside lists so far */
    int tables;       /* so far */
    int64_t began_us; /* of CPU, when the first look at the time was taken */
    struct err *e;
    char path[96]; /* where we are, for the error: "data.lead[3].score" */
};

static int put(struct packer *p, const void *data, size_t len) {
    if (len > p->end - p->out->len) return err_set(p->e, ERR_LIMIT, "the value is too large at '%s'", p->path);
    buf_add(p->out, data, len);
    return 0;
}

static int put_varint(struct packer *p, char tag, uint64_t n) {
    char bytes[11];
    size_t len = 0;

    bytes[len++] = tag;
    do {
        bytes[len++] = (char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        n >>= 7;
    } while (n);
    return put(p, bytes, len);
}

static int put_number(struct packer *p, double n) {
    char bytes[9] = {'d'};
    uint64_t bits;

    /* -0.0 keeps its sign as a double. */
    if (n >= -(double)INTEGER_MAX && n <= (double)INTEGER_MAX && n == floor(n) && !(n == 0 && signbit(n))) {
        int64_t i = (int64_t)n;
        return put_varint(p, 'i', ((uint64_t)i << 1) ^ (uint64_t)(i >> 63));
    }
    memcpy(&bits, &n, sizeof bits);
    for (int i = 0; i < 8; i++) bytes[1 + i] = (char)(bits >> (8 * i));
    return put(p, bytes, sizeof bytes);
}

static int put_string(struct packer *p, lua_State *L, int idx) {
    size_t len;
    const char *text = lua_tolstring(L, idx, &len);

    if (len > p->end - p->out->len) return err_set(p->e, ERR_LIMIT, "the value is too large at '%s'", p->path);
    int rc = put_varint(p, 's', len);
    return rc < 0 ? rc : put(p, text, len);
}

/* Appends the key at idx to the path, as far as there is room. */
static void path_add(struct packer *p, lua_State *L, int idx) {
    size_t at = strlen(p->path), room = sizeof p->path - at, n = 0;
    char key[40];

    if (lua_type(L, idx) == LUA_TSTRING) {
        const char *text = lua_tostring(L, idx);
        if (at) key[n++] = '.';
        for (; *text && n < sizeof key - 1; text++) key[n++] = *text >= 32 && *text < 127 ? *text : '?';
    } else if (lua_type(L, idx) == LUA_TNUMBER) {
        double d = lua_tonumber(L, idx);
        long long whole = d >= -1e15 && d <= 1e15 ? (long long)d : 0;
        char digits[24];
        size_t count = 0;
        key[n++] = '[';
        if (whole < 0) key[n++] = '-';
        for (unsigned long long v = whole < 0 ? 0ULL - (unsigned long long)whole : (unsigned long long)whole;;
             v /= 10) {
            digits[count++] = (char)('0' + v % 10);
            if (v < 10) break;
        }
        while (count) key[n++] = digits[--count];
        key[n++] = ']';
    } else {
        memcpy(key, "[?]", n = 3);
    }
    if (n >= room) return;
    memcpy(p->path + at, key, n);
    p->path[at + n] = '\0';
}

static int put_value(struct packer *p, lua_State *L, int idx, int depth);

/* The pair at idx and idx + 1 of a table. */
static int put_pair(struct packer *p, lua_State *L, int idx, int depth) {
    size_t at = strlen(p->path);

    path_add(p, L, idx);
    int rc = put_value(p, L, idx, depth);
    if (rc == 0) rc = put_value(p, L, idx + 1, depth);
    if (rc == 0) p->path[at] = '\0';
    return rc;
}

/* 1, 2, 3 and so on, as far as they go. */
static int put_list(struct packer *p, lua_State *L, int idx, int depth, double *len) {
    int rc = 0;

    for (*len = 0; rc == 0; ++*len) {
        lua_pushnumber(L, *len + 1);
        lua_rawgeti(L, idx, (int)*len + 1);
        if (lua_isnil(L, -1)) break;
        rc = put_pair(p, L, lua_gettop(L) - 1, depth);
        if (rc == 0) lua_pop(L, 2);
    }
    if (rc == 0) lua_pop(L, 2);
    return rc; /* value_pack() restores the stack */
}

/* A table that was emptied keeps its slots, and walking them takes time that shows nowhere in what is written: a small list that
 * holds one such table ten thousand times takes seconds. */
static bool takes_long(struct packer *p) {
    struct timespec t;

    if (++p->tables % TABLES_A_LOOK) return false;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    int64_t now_us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    if (p->tables == TABLES_A_LOOK) p->began_us = now_us;
    return now_us - p->began_us > PACK_US;
}

static int put_table(struct packer *p, lua_State *L, int idx, int depth) {
    double len = 0;
    int rc;

    if (takes_long(p))
        return err_set(p->e, ERR_LIMIT, "the value takes too long to pack, at '%s': it holds tables that were emptied",
                       p->path);
    if (depth >= VALUE_DEPTH)
        return err_set(p->e, ERR_INVALID, "a table is nested deeper than %d (or holds itself) at '%s'", VALUE_DEPTH,
                       p->path);
    if (!lua_checkstack(L, 4)) return err_set(p->e, ERR_LIMIT, "no room on the stack");
    rc = put(p, "{", 1);
    if (rc == 0) rc = put_list(p, L, idx, depth + 1, &len);
    if (rc < 0) return rc;
    lua_pushnil(L);
    while (lua_next(L, idx)) { /* key, value */
        int key = lua_gettop(L) - 1, type = lua_type(L, key);
        double n = lua_tonumber(L, key);
        if (type == LUA_TNUMBER && n >= 1 && n <= len && n == floor(n)) {
            lua_pop(L, 1);
            continue;
        }
        if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN) {
            path_add(p, L, key);
            return err_set(p->e, ERR_INVALID, "a %s cannot be a key, at '%s'", lua_typename(L, type), p->path);
        }
        if (type == LUA_TNUMBER && ++p->sparse > VALUE_SPARSE)
            return err_set(p->e, ERR_INVALID,
                           "more than %d number keys that are no list, at '%s': text keys have no limit", VALUE_SPARSE,
                           p->path[0] ? p->path : "the value");
        rc = put_pair(p, L, key, depth + 1);
        if (rc < 0) return rc;
        lua_pop(L, 1);
    }
    return put(p, "}", 1);
}

static int put_value(struct packer *p, lua_State *L, int idx, int depth) {
    switch (lua_type(L, idx)) {
    case LUA_TNONE:
    case LUA_TNIL:
        return put(p, "z", 1);
    case LUA_TBOOLEAN:
        return put(p, lua_toboolean(L, idx) ? "t" : "f", 1);
    case LUA_TNUMBER:
        return put_number(p, lua_tonumber(L, idx));
    case LUA_TSTRING:
        return put_string(p, L, idx);
    case LUA_TTABLE:
        return put_table(p, L, idx, depth);
    case LUA_TLIGHTUSERDATA: /* NULL is null */
        if (lua_touserdata(L, idx) == NULL) return put(p, "z", 1);
        break;
    default:
        break;
    }
    return err_set(p->e, ERR_INVALID, "a %s cannot be sent, at '%s'", lua_typename(L, lua_type(L, idx)),
                   p->path[0] ? p->path : "the value");
}

int value_pack(lua_State *L, int idx, struct buf *out, size_t limit, struct err *e) {
    size_t before = out->len;
    int top = lua_gettop(L);
    struct packer p = {.out = out, .end = before + limit, .e = e};

    if (p.end < before) p.end = SIZE_MAX / 4;
    if (idx < 0 && idx > LUA_REGISTRYINDEX) idx = top + idx + 1;
    int rc = put_value(&p, L, idx, 0);
    if (rc < 0) out->len = before; /* all or nothing */
    lua_settop(L, top);
    return rc;
}

/* -- reading --------------------------------------------------------------------------------------------------------- */

/* Reads a varint; NULL when it is cut off or longer than 64 bits. */
static const char *get_varint(const char *at, const char *end, uint64_t *n) {
    *n = 0;
    for (int shift = 0; at < end && shift < 64; shift += 7) {
        uint8_t byte = (uint8_t)*at++;
        if (shift == 63 && byte > 1) return NULL;
        *n |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return at;
    }
    return NULL;
}

static int64_t get_integer(uint64_t zigzag) {
    return (int64_t)((zigzag >> 1) ^ (0 - (zigzag & 1)));
}

static double get_double(const char *at) {
    uint64_t bits = 0;
    double n;

    for (int i = 0; i < 8; i++) bits |= (uint64_t)(uint8_t)at[i] << (8 * i);
    memcpy(&n, &bits, sizeof n);
    return n;
}

static const char *check(const char *at, const char *end, int depth, bool key, int *sparse, struct err *e);

/* The pairs of a table and its end. */
static const char *check_table(const char *at, const char *end, int depth, int *sparse, struct err *e) {
    int64_t len = 0;
    uint64_t n;

    while (at < end && *at != '}') {
        bool listed = *at == 'i' && get_varint(at + 1, end, &n) && get_integer(n) == len + 1;
        if (listed)
            len++;
        else if ((*at == 'i' || *at == 'd') && ++*sparse > VALUE_SPARSE)
            break;
        at = check(at, end, depth + 1, true, sparse, e);
        if (at) at = check(at, end, depth + 1, false, sparse, e);
        if (!at) return NULL;
    }
    if (at < end && *at == '}') return at + 1;
    err_set(e, ERR_PROTOCOL, at < end ? "a value has too many number keys" : "a value is cut off");
    return NULL;
}

static const char *check(const char *at, const char *end, int depth, bool key, int *sparse, struct err *e) {
    uint64_t n;

    if (at >= end) {
        err_set(e, ERR_PROTOCOL, "a value is cut off");
        return NULL;
    }
    switch (*at++) {
    case 'z':
        if (!key) return at;
        break;
    case 't':
    case 'f':
        return at;
    case 'i':
        at = get_varint(at, end, &n);
        if (at && get_integer(n) <= INTEGER_MAX && get_integer(n) >= -INTEGER_MAX) return at;
        break;
    case 'd':
        if (end - at < 8 || (key && isnan(get_double(at)))) break;
        return at + 8;
    case 's':
        at = get_varint(at, end, &n);
        if (at && n <= (uint64_t)(end - at)) return at + n;
        break;
    case '{':
        if (key || depth >= VALUE_DEPTH) break;
        return check_table(at, end, depth, sparse, e);
    default:
        break;
    }
    err_set(e, ERR_PROTOCOL, "a value has no valid form");
    return NULL;
}

const char *value_check(const char *at, const char *end, struct err *e) {
    int sparse = 0;

    return check(at, end, 0, false, &sparse, e);
}

/* Pushes one value whose form was checked. */
static const char *push(lua_State *L, const char *at, const char *end) {
    uint64_t n;

    switch (*at++) {
    case 't':
        lua_pushboolean(L, 1);
        return at;
    case 'f':
        lua_pushboolean(L, 0);
        return at;
    case 'i':
        at = get_varint(at, end, &n);
        lua_pushnumber(L, (lua_Number)get_integer(n));
        return at;
    case 'd': {
        double d = get_double(at);
        lua_pushnumber(L, isnan(d) ? (double)NAN : d); /* no NaN with a payload: a VM may box tags in it */
        return at + 8;
    }
    case 's':
        at = get_varint(at, end, &n);
        lua_pushlstring(L, at, (size_t)n);
        return at + n;
    case '{':
        lua_newtable(L);
        while (*at != '}') {
            at = push(L, at, end);
            at = push(L, at, end);
            if (lua_isnil(L, -1))
                lua_pop(L, 2);
            else
                lua_rawset(L, -3);
        }
        return at + 1;
    default: /* 'z' */
        lua_pushnil(L);
        return at;
    }
}

const char *value_unpack(lua_State *L, const char *at, const char *end, struct err *e) {
    if (value_check(at, end, e) == NULL) return NULL;
    if (!lua_checkstack(L, 3 * VALUE_DEPTH + 3)) {
        err_set(e, ERR_PROTOCOL, "no room on the stack");
        return NULL;
    }
    return push(L, at, end);
}
