/* SPDX-License-Identifier: Apache-2.0 */
#include "bind/json_read.h"
#include "base/buf.h"
#include "base/str.h"
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Members wait on the stack until their number is known, so that a table is made in its size; this many at most. */
enum { AT_HAND = 32, EXACT_DIGITS = 15, NUMBER_MAX = 40 };

struct reader {
    lua_State *L;
    const char *at, *end;
    struct buf text; /* of a string with escapes */
    int depth;
    void (*mark)(lua_State *L);
};

static bool read_value(struct reader *r);

static void skip_space(struct reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r')) r->at++;
}

static bool skip(struct reader *r, char c) {
    skip_space(r);
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

/* -- strings ------------------------------------------------------------------------------------------------------------ */

static int hex4(const struct reader *r, const char *at) {
    int n = 0;
    if (r->end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        n = n * 16 + digit;
    }
    return n;
}

static void add_utf8(struct buf *out, unsigned c) {
    char bytes[4];
    size_t n = 0;
    if (c < 0x80) {
        bytes[n++] = (char)c;
    } else if (c < 0x800) {
        bytes[n++] = (char)(0xC0 | c >> 6);
    } else if (c < 0x10000) {
        bytes[n++] = (char)(0xE0 | c >> 12);
        bytes[n++] = (char)(0x80 | (c >> 6 & 0x3F));
    } else {
        bytes[n++] = (char)(0xF0 | c >> 18);
        bytes[n++] = (char)(0x80 | (c >> 12 & 0x3F));
        bytes[n++] = (char)(0x80 | (c >> 6 & 0x3F));
    }
    if (c >= 0x80) bytes[n++] = (char)(0x80 | (c & 0x3F));
    buf_add(out, bytes, n);
}

/* Behind "\u". NUL and half a pair are left to others. */
static bool read_unicode(struct reader *r) {
    int c = hex4(r, r->at), low;
    if (c <= 0 || (c >= 0xDC00 && c <= 0xDFFF)) return false;
    r->at += 4;
    if (c >= 0xD800 && c <= 0xDBFF) {
        if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u') return false;
        low = hex4(r, r->at + 2);
        if (low < 0xDC00 || low > 0xDFFF) return false;
        r->at += 6;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    add_utf8(&r->text, (unsigned)c);
    return true;
}

static bool read_escape(struct reader *r) {
    static const char named[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end) return false;
    char c = *r->at++;
    if (c == 'u') return read_unicode(r);
    const char *found = c ? strchr(named, c) : NULL;
    if (found == NULL) return false;
    buf_add(&r->text, &meant[found - named], 1);
    return true;
}

static bool push_text(struct reader *r, const char *text, size_t len) {
    if (!str_is_utf8(text, len)) return false;
    lua_pushlstring(r->L, text, len);
    return true;
}

/* Behind the opening quote. */
static bool read_string(struct reader *r) {
    const char *from = r->at;
    bool plain = true;

    for (;; r->at++) {
        if (r->at == r->end || (unsigned char)*r->at < 0x20) return false;
        if (*r->at == '"') break;
        if (*r->at != '\\') continue;
        if (plain) buf_clear(&r->text);
        plain = false;
        buf_add(&r->text, from, (size_t)(r->at - from));
        r->at++;
        if (!read_escape(r)) return false;
        from = r->at--;
    }
    size_t len = (size_t)(r->at++ - from);
    if (plain) return push_text(r, from, len);
    buf_add(&r->text, from, len);
    return push_text(r, r->text.data, r->text.len);
}

/* -- numbers ------------------------------------------------------------------------------------------------------------ */

static size_t digits(const char *at, const char *end) {
    const char *from = at;
    while (at < end && *at >= '0' && *at <= '9') at++;
    return (size_t)(at - from);
}

static bool read_number(struct reader *r) {
    const char *from = r->at, *at = from;
    char copy[NUMBER_MAX + 1];
    bool whole = true, minus = *at == '-';

    if (minus) at++;
    size_t n = digits(at, r->end);
    if (n == 0 || n > EXACT_DIGITS || (n > 1 && *at == '0')) return false;
    const char *first = at;
    at += n;
    if (at < r->end && *at == '.') {
        whole = false;
        at++;
        if ((n = digits(at, r->end)) == 0) return false;
        at += n;
    }
    if (at < r->end && (*at == 'e' || *at == 'E')) {
        whole = false;
        at++;
        if (at < r->end && (*at == '+' || *at == '-')) at++;
        if ((n = digits(at, r->end)) == 0) return false;
        at += n;
    }
    r->at = at;
    if (whole) {
        long long value = 0;
        for (; first < at; first++) value = value * 10 + (*first - '0');
        lua_pushnumber(r->L, (lua_Number)(minus ? -value : value));
        return true;
    }
    size_t len = (size_t)(at - from);
    if (len > NUMBER_MAX) return false;
    memcpy(copy, from, len);
    copy[len] = '\0';
    double value = strtod(copy, NULL);
    if (!isfinite(value)) return false;
    lua_pushnumber(r->L, value);
    return true;
}

/* -- lists and objects ---------------------------------------------------------------------------------------------------- */

/* Moves the `waiting` values on top into the list below them, or makes it first. base: its place. */
static void put_items(lua_State *L, int base, int waiting, int count) {
    if (count == waiting) {
        lua_createtable(L, waiting, 0);
        lua_insert(L, base);
    }
    for (int i = count; waiting > 0; waiting--, i--) lua_rawseti(L, base, i);
}

static bool read_list(struct reader *r) {
    lua_State *L = r->L;
    int base = lua_gettop(L) + 1, waiting = 0, count = 0;

    if (skip(r, ']')) {
        lua_createtable(L, 0, 0);
        r->mark(L);
        lua_setmetatable(L, -2);
        return true;
    }
    do {
        if (waiting == AT_HAND) {
            put_items(L, base, waiting, count);
            waiting = 0;
        }
        if (!read_value(r)) return false;
        waiting++;
        count++;
    } while (skip(r, ','));
    if (!skip(r, ']')) return false;
    put_items(L, base, waiting, count);
    return true;
}

/* The same for members. False: a name is there twice. */
static bool put_members(lua_State *L, int base, int waiting, int count) {
    bool first = count == waiting;
    if (first) {
        lua_createtable(L, 0, waiting);
        lua_insert(L, base);
    }
    for (; waiting > 0; waiting--) {
        lua_pushvalue(L, -2);
        lua_rawget(L, base);
        bool there = !lua_isnil(L, -1);
        lua_pop(L, 1);
        if (there) return false;
        lua_rawset(L, base);
    }
    return true;
}

static bool read_object(struct reader *r) {
    lua_State *L = r->L;
    int base = lua_gettop(L) + 1, waiting = 0, count = 0;

    if (skip(r, '}')) {
        lua_createtable(L, 0, 0);
        return true;
    }
    do {
        if (waiting == AT_HAND) {
            if (!put_members(L, base, waiting, count)) return false;
            waiting = 0;
        }
        if (!skip(r, '"') || !read_string(r) || !skip(r, ':') || !read_value(r)) return false;
        waiting++;
        count++;
    } while (skip(r, ','));
    return skip(r, '}') && put_members(L, base, waiting, count);
}

static bool read_word(struct reader *r, const char *word, size_t len) {
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0) return false;
    r->at += len;
    return true;
}

static bool read_value(struct reader *r) {
    lua_State *L = r->L;
    bool ok;

    skip_space(r);
    if (r->at == r->end) return false;
    switch (*r->at) {
    case '{':
    case '[':
        if (r->depth == 0 || !lua_checkstack(L, 2 * AT_HAND + 8)) return false;
        r->depth--;
        ok = *r->at++ == '{' ? read_object(r) : read_list(r);
        r->depth++;
        return ok;
    case '"':
        r->at++;
        return read_string(r);
    case 't':
        lua_pushboolean(L, true);
        return read_word(r, "true", 4);
    case 'f':
        lua_pushboolean(L, false);
        return read_word(r, "false", 5);
    case 'n':
        lua_pushlightuserdata(L, NULL);
        return read_word(r, "null", 4);
    default:
        return read_number(r);
    }
}

bool json_read(lua_State *L, const char *text, size_t len, int depth, void (*mark)(lua_State *L)) {
    struct reader r = {.L = L, .at = text, .end = text + len, .depth = depth, .mark = mark};
    int top = lua_gettop(L);

    bool ok = lua_checkstack(L, 8) && read_value(&r);
    skip_space(&r);
    ok = ok && r.at == r.end;
    buf_free(&r.text);
    if (!ok) lua_settop(L, top);
    return ok;
}
