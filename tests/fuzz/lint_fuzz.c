/* SPDX-License-Identifier: Apache-2.0 */
/* What the lint finds lies within the source, whatever the source. First two bytes: the lines of the function. And no source that
 * makes LuaJIT load its ffi, valid or not, passes as one without such numbers; nor is one refused that LuaJIT takes without its ffi.
 * With a first byte above 127 the rest is read by a small grammar, which makes an expression of what lexers stumble over. */
#include "base/buf.h"
#include "cell/lint.h"
#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct source {
    const char *at, *end;
};

static void on_found(void *ud, int line, const char *text, size_t len) {
    const struct source *s = ud;
    if (line < 1 || text < s->at || len > (size_t)(s->end - text)) abort();
}

/* -- the grammar ----------------------------------------------------------------------------------------------------- */

struct gen {
    const uint8_t *at, *end;
    struct buf out;
};

static const char *const names[] = {"a", "i", "ll", "u", "e", "p", "mi", "x1i", "total", "_", "\xc3\xa9l", "..."};
static const char *const bases[] = {"", "", "0x", "0X", "0b", "."};
static const char *const digits[] = {"1", "0", "10", "e", "1e", "5.", ".8", "a1", "7.5", ""};
static const char *const exponents[] = {"", "", "", "e", "E-", "e+", "p", "P+", "p-"};
static const char *const suffixes[] = {"", "", "", "", "i", "I", "LL", "ll", "ULL", "uLl", "LLU", "U", "L", "j"};
static const char *const operators[] = {"..", "..", "...", "+", "-", "-", "*", "==", "<", " and ", " or ", ".", ","};
static const char *const spaces[] = {" ", "\t", "\v", "\f", "\n", "\r", "\r\n", "\n\r"};
static const char *const line_ends[] = {"\n", "\r", "\r\n", "\n\r"};
static const char *const opened[] = {"[[", "[=[", "[==["}, *const shut[] = {"]]", "]=]", "]==]"};
static const char *const insides[] = {"x",   "5LL ", "--",    "[[",     "]]",  "]",      "]=",    "]=]",
                                      "[=[", "\n",   "\r",    "\\\n",   "\\z", "\\z \n", "\\x41", "\\\"",
                                      "\\'", "\\\\", "\\065", "\\\r\n", "\"",  "'"};

static unsigned pick(struct gen *g, unsigned n) {
    return g->at < g->end ? *g->at++ % n : 0;
}

static void put(struct gen *g, const char *text) {
    buf_add_str(&g->out, text);
}

#define ANY(g, list) put(g, list[pick(g, sizeof list / sizeof *list)])

static void inside(struct gen *g) {
    for (unsigned n = pick(g, 4); n > 0; n--) ANY(g, insides);
}

static void long_bracket(struct gen *g) {
    unsigned level = pick(g, 3);

    put(g, opened[level]);
    inside(g);
    put(g, shut[level]);
}

static void between(struct gen *g) {
    switch (pick(g, 6)) {
    case 1:
        ANY(g, spaces);
        break;
    case 2:
        put(g, "--");
        inside(g);
        ANY(g, line_ends);
        break;
    case 3:
        put(g, "--");
        long_bracket(g);
        break;
    default: /* nothing */
        break;
    }
}

static void operand(struct gen *g) {
    const char *quote;

    switch (pick(g, 6)) {
    case 0:
        ANY(g, names);
        break;
    case 1:
        quote = pick(g, 2) ? "\"" : "'";
        put(g, quote);
        inside(g);
        put(g, quote);
        break;
    case 2:
        long_bracket(g);
        break;
    default:
        ANY(g, bases);
        ANY(g, digits);
        ANY(g, exponents);
        ANY(g, digits);
        ANY(g, suffixes);
    }
}

static void make_source(struct gen *g) {
    if (pick(g, 8) == 1) put(g, "\xef\xbb\xbf");
    if (pick(g, 8) == 1) {
        put(g, "#");
        inside(g);
        ANY(g, line_ends);
    }
    put(g, "return ");
    operand(g);
    while (g->at < g->end) {
        between(g);
        ANY(g, operators);
        between(g);
        operand(g);
    }
}

/* -- LuaJIT ---------------------------------------------------------------------------------------------------------- */

/* A state that tells when the parser loads the ffi: it is registered where a table of loaded modules stands. */
static lua_State *new_state(void) {
    lua_State *L = luaL_newstate();

    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "_LOADED");
    return L;
}

static bool loads_ffi(lua_State *L, const char *source, size_t len, bool *valid) {
    *valid = luaL_loadbufferx(L, source, len, "=x", "t") == 0;
    lua_settop(L, 0);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "ffi");
    bool loaded = !lua_isnil(L, -1);
    lua_settop(L, 0);
    return loaded;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    static lua_State *L;
    static struct gen g;

    if (len < 2) return 0;
    struct source s = {.at = (const char *)bytes + 2, .end = (const char *)bytes + len};
    if (bytes[0] > 127) {
        g.at = bytes + 2;
        g.end = bytes + len;
        buf_clear(&g.out);
        make_source(&g);
        if (getenv("SHOW")) fwrite(g.out.data, 1, g.out.len, stderr);
        s = (struct source){.at = g.out.data, .end = g.out.data + g.out.len};
    }
    size_t source_len = (size_t)(s.end - s.at);
    int first = 1 + bytes[0] % 8, last = first + bytes[1] % 8;

    lint_returns(s.at, source_len, first, last, on_found, &s);
    if (lint_tail_call(s.at, source_len, first, last, "say") < 0) abort();
    if (lint_file_return(s.at, source_len) < 1) abort();
    if (!L) L = new_state();
    bool found = lint_ffi_number(s.at, source_len) != 0, valid, loads = loads_ffi(L, s.at, source_len, &valid);
    if (loads && !found) abort();
    if (found && valid && !loads) abort();
    if (found) { /* it may be loaded now, and would not be again */
        lua_close(L);
        L = NULL;
    }
    return 0;
}
