/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/pattern.h"
#include "cell/place.h"
#include "cell/text.h"
#include <ctype.h>
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { OPEN = -1, POSITION = -2 }; /* lengths of captures that are not plain text */

struct match {
    lua_State *L;
    const char *text, *end, *pattern_end;
    int level, depth;
    int steps; /* left */
    struct {
        const char *start;
        ptrdiff_t len;
    } capture[PATTERN_CAPTURES];
};

static const char *match_here(struct match *m, const char *s, const char *p);

static void step(struct match *m, ptrdiff_t n) {
    if (n > m->steps) place_error(m->L, "the pattern takes too long on this text");
    m->steps -= (int)n;
}

/* The position behind one pattern item. */
static const char *item_end(struct match *m, const char *p) {
    const char *start = p;

    if (*p++ == '%') {
        if (p == m->pattern_end) place_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (p[-1] != '[') return p;
    if (p < m->pattern_end && *p == '^') p++;
    do { /* a ] that comes first is a plain character */
        if (p == m->pattern_end) place_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%') {
            if (p == m->pattern_end) place_error(m->L, "malformed pattern (missing ']')");
            p++;
        }
    } while (p == m->pattern_end || *p != ']');
    step(m, p - start);
    return p + 1;
}

static bool in_class(int c, int class) {
    bool is;

    switch (tolower(class)) {
    case 'a':
        is = isalpha(c);
        break;
    case 'c':
        is = iscntrl(c);
        break;
    case 'd':
        is = isdigit(c);
        break;
    case 'g':
        is = isgraph(c);
        break;
    case 'l':
        is = islower(c);
        break;
    case 'p':
        is = ispunct(c);
        break;
    case 's':
        is = isspace(c);
        break;
    case 'u':
        is = isupper(c);
        break;
    case 'w':
        is = isalnum(c);
        break;
    case 'x':
        is = isxdigit(c);
        break;
    case 'z':
        is = c == 0;
        break;
    default:
        return class == c;
    }
    return isupper(class) ? !is : is;
}

/* p at '[', last at its ']'. */
static bool in_set(struct match *m, int c, const char *p, const char *last) {
    bool wanted = true;

    step(m, last - p);
    if (p[1] == '^') {
        wanted = false;
        p++;
    }
    while (++p < last) {
        if (*p == '%') {
            p++;
            if (in_class(c, (unsigned char)*p)) return wanted;
        } else if (p[1] == '-' && p + 2 < last) {
            p += 2;
            if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p) return wanted;
        } else if ((unsigned char)*p == c) {
            return wanted;
        }
    }
    return !wanted;
}

static bool one(struct match *m, const char *s, const char *p, const char *p_end) {
    step(m, 1);
    if (s >= m->end) return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, (unsigned char)p[1]);
    case '[':
        return in_set(m, c, p, p_end - 1);
    default:
        return (unsigned char)*p == c;
    }
}

static const char *balanced(struct match *m, const char *s, const char *p) {
    int depth = 1;

    if (m->pattern_end - p < 2) place_error(m->L, "unbalanced pattern");
    if (s >= m->end || *s != *p) return NULL;
    while (++s < m->end) {
        step(m, 1);
        if (*s == p[1]) {
            if (--depth == 0) return s + 1;
        } else if (*s == *p) {
            depth++;
        }
    }
    return NULL;
}

static const char *expand(struct match *m, const char *s, const char *p, const char *p_end, ptrdiff_t least) {
    ptrdiff_t n = 0;

    while (one(m, s + n, p, p_end)) n++;
    for (; n >= least; n--) {
        const char *found = match_here(m, s + n, p_end + 1);
        if (found) return found;
    }
    return NULL;
}

static const char *expand_short(struct match *m, const char *s, const char *p, const char *p_end) {
    for (;; s++) {
        const char *found = match_here(m, s, p_end + 1);
        if (found) return found;
        if (!one(m, s, p, p_end)) return NULL;
    }
}

static const char *capture_open(struct match *m, const char *s, const char *p, ptrdiff_t len) {
    if (m->level >= PATTERN_CAPTURES) place_error(m->L, "too many captures");
    m->capture[m->level].start = s;
    m->capture[m->level++].len = len;
    const char *found = match_here(m, s, p);
    if (!found) m->level--;
    return found;
}

static const char *capture_close(struct match *m, const char *s, const char *p) {
    int i = m->level - 1;

    while (i >= 0 && m->capture[i].len != OPEN) i--;
    if (i < 0) place_error(m->L, "invalid pattern capture");
    m->capture[i].len = s - m->capture[i].start;
    const char *found = match_here(m, s, p);
    if (!found) m->capture[i].len = OPEN;
    return found;
}

static const char *capture_again(struct match *m, const char *s, int digit) {
    int i = digit - '1';

    if (i < 0 || i >= m->level || m->capture[i].len == OPEN) place_error(m->L, "invalid capture index");
    ptrdiff_t len = m->capture[i].len;
    if (len == POSITION) return NULL;
    step(m, len);
    return m->end - s >= len && memcmp(m->capture[i].start, s, (size_t)len) == 0 ? s + len : NULL;
}

static const char *frontier(struct match *m, const char *s, const char *p, const char **behind) {
    if (p >= m->pattern_end || *p != '[') place_error(m->L, "missing '[' after '%%f' in pattern");
    const char *p_end = item_end(m, p);
    int before = s == m->text ? 0 : (unsigned char)s[-1], here = s < m->end ? (unsigned char)*s : 0;
    *behind = p_end;
    return !in_set(m, before, p, p_end - 1) && in_set(m, here, p, p_end - 1) ? s : NULL;
}

/* Matches the rest of the pattern at s; returns where the match ends or NULL. Recursion goes as deep as the pattern has
 * quantifiers and captures, which PATTERN_DEPTH bounds; plain items are a loop. */
static const char *match_items(struct match *m, const char *s, const char *p) {
    while (p < m->pattern_end) {
        step(m, 1);
        if (*p == '(') {
            if (p + 1 < m->pattern_end && p[1] == ')') return capture_open(m, s, p + 2, POSITION);
            return capture_open(m, s, p + 1, OPEN);
        }
        if (*p == ')') return capture_close(m, s, p + 1);
        if (*p == '$' && p + 1 == m->pattern_end) return s == m->end ? s : NULL;
        if (*p == '%' && p + 1 < m->pattern_end) {
            char c = p[1];
            if (c == 'b') {
                s = balanced(m, s, p + 2);
                p += 4;
            } else if (c == 'f') {
                s = frontier(m, s, p + 2, &p);
            } else if (isdigit((unsigned char)c)) {
                s = capture_again(m, s, c);
                p += 2;
            } else {
                goto item;
            }
            if (!s) return NULL;
            continue;
        }
    item:;
        const char *p_end = item_end(m, p);
        char how = p_end < m->pattern_end ? *p_end : 0;
        if (how == '*') return expand(m, s, p, p_end, 0);
        if (how == '+') return expand(m, s, p, p_end, 1);
        if (how == '-') return expand_short(m, s, p, p_end);
        bool fits = one(m, s, p, p_end);
        if (how == '?') {
            if (fits) {
                const char *found = match_here(m, s + 1, p_end + 1);
                if (found) return found;
            }
            p = p_end + 1;
            continue;
        }
        if (!fits) return NULL;
        s++;
        p = p_end;
    }
    return s;
}

static const char *match_here(struct match *m, const char *s, const char *p) {
    if (++m->depth > PATTERN_DEPTH) place_error(m->L, "pattern too complex");
    const char *found = match_items(m, s, p);
    m->depth--;
    return found;
}

static void push_capture(struct match *m, int i, const char *s, const char *e) {
    if (i >= m->level) {
        if (i != 0) place_error(m->L, "invalid capture index");
        lua_pushlstring(m->L, s, (size_t)(e - s));
        return;
    }
    if (m->capture[i].len == OPEN) place_error(m->L, "unfinished capture");
    if (m->capture[i].len == POSITION)
        lua_pushinteger(m->L, m->capture[i].start - m->text + 1);
    else
        lua_pushlstring(m->L, m->capture[i].start, (size_t)m->capture[i].len);
}

static int push_captures(struct match *m, const char *s, const char *e, bool whole) {
    int n = m->level == 0 && whole ? 1 : m->level;

    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++) push_capture(m, i, s, e);
    return n;
}

static size_t start_position(lua_State *L, int arg, size_t len) {
    lua_Number from = trunc(luaL_optnumber(L, arg, 1));

    if (from < 0) from += (lua_Number)len + 1;
    if (!(from >= 1)) return 0;
    return from - 1 > (lua_Number)len ? len : (size_t)(from - 1);
}

/* The first match at or behind s. */
static const char *search(struct match *m, const char **s, const char *p, bool anchored) {
    for (;; (*s)++) {
        m->level = 0;
        m->depth = 0;
        const char *e = match_here(m, *s, p);
        if (e || anchored || *s >= m->end) return e;
    }
}

static void begin(struct match *m, lua_State *L, const char **p) {
    size_t len, p_len;

    m->L = L;
    m->text = luaL_checklstring(L, 1, &len);
    m->end = m->text + len;
    *p = luaL_checklstring(L, 2, &p_len);
    m->pattern_end = *p + p_len;
    m->level = m->depth = 0;
    m->steps = PATTERN_STEPS;
}

static bool is_plain(const char *p, const char *end) {
    for (; p < end; p++)
        if (strchr("^$*+?.([%-", *p) && *p) return false;
    return true;
}

static int find(lua_State *L, bool positions) {
    struct match m;
    const char *p;

    begin(&m, L, &p);
    const char *s = m.text + start_position(L, 3, (size_t)(m.end - m.text));
    if (positions && (lua_toboolean(L, 4) || is_plain(p, m.pattern_end))) {
        size_t n = (size_t)(m.pattern_end - p);
        const char *found = n ? memmem(s, (size_t)(m.end - s), p, n) : s;
        if (!found) return lua_pushnil(L), 1;
        lua_pushinteger(L, found - m.text + 1);
        lua_pushinteger(L, found - m.text + (ptrdiff_t)n);
        return 2;
    }
    bool anchored = p < m.pattern_end && *p == '^';
    const char *e = search(&m, &s, p + anchored, anchored);
    if (!e) return lua_pushnil(L), 1;
    if (!positions) return push_captures(&m, s, e, true);
    lua_pushinteger(L, s - m.text + 1);
    lua_pushinteger(L, e - m.text);
    return 2 + push_captures(&m, s, e, false);
}

int pattern_find(lua_State *L) {
    return find(L, true);
}

int pattern_match(lua_State *L) {
    return find(L, false);
}

int pattern_step(lua_State *L) {
    struct match m;
    const char *p;

    begin(&m, L, &p);
    const char *s = m.text + start_position(L, 3, (size_t)(m.end - m.text));
    bool first_only = lua_toboolean(L, 5), anchored = lua_toboolean(L, 4) && p < m.pattern_end && *p == '^';
    const char *e = search(&m, &s, p + anchored, anchored);
    if (!e) return 0;
    lua_pushinteger(L, s - m.text + 1);
    lua_pushinteger(L, e - m.text);
    if (!first_only) return 2 + push_captures(&m, s, e, true);
    push_capture(&m, 0, s, e);
    return 3;
}

/* Adds to the result; total counts it against the cap. */
static void add(luaL_Buffer *b, size_t *total, const char *text, size_t len) {
    *total += len;
    if (*total > TEXT_MAX) place_error(b->L, "the result is longer than %d bytes", TEXT_MAX);
    luaL_addlstring(b, text, len);
}

static void add_replacement(struct match *m, luaL_Buffer *b, size_t *total, const char *s, const char *e) {
    size_t len;
    const char *repl = lua_tolstring(m->L, 3, &len), *end = repl + len;

    for (; repl < end; repl++) {
        step(m, 1);
        if (*repl != '%') {
            add(b, total, repl, 1);
            continue;
        }
        if (++repl == end) place_error(m->L, "invalid use of '%%' in replacement string");
        if (!isdigit((unsigned char)*repl)) {
            add(b, total, repl, 1);
        } else if (*repl == '0') {
            add(b, total, s, (size_t)(e - s));
        } else {
            int i = *repl - '1';
            if (i < m->level && m->capture[i].len == POSITION) {
                lua_pushinteger(m->L, m->capture[i].start - m->text + 1);
                *total += 10;
                luaL_addvalue(b);
            } else if (i < m->level && m->capture[i].len != OPEN) {
                add(b, total, m->capture[i].start, (size_t)m->capture[i].len);
            } else if (i == 0 && m->level == 0) {
                add(b, total, s, (size_t)(e - s));
            } else {
                place_error(m->L, i < m->level ? "unfinished capture" : "invalid capture index");
            }
        }
    }
}

int pattern_gsub(lua_State *L) {
    struct match m;
    const char *p;
    size_t total = 0;
    luaL_Buffer b;

    begin(&m, L, &p);
    luaL_checklstring(L, 3, NULL);
    lua_Number limit = luaL_optnumber(L, 4, (lua_Number)(m.end - m.text) + 1);
    bool anchored = p < m.pattern_end && *p == '^';
    const char *s = m.text;
    int count = 0;
    lua_settop(L, 4);
    luaL_buffinit(L, &b);
    while (count + 1 <= limit) { /* 1.5 is one */
        const char *from = s, *e = search(&m, &s, p + anchored, anchored);
        if (!e) {
            s = from;
            break;
        }
        count++;
        add(&b, &total, from, (size_t)(s - from));
        add_replacement(&m, &b, &total, s, e);
        if (e > s)
            s = e;
        else if (s < m.end)
            add(&b, &total, s++, 1);
        else
            break;
        if (anchored) break;
    }
    add(&b, &total, s, (size_t)(m.end - s));
    luaL_pushresult(&b);
    lua_pushinteger(L, count);
    return 2;
}
