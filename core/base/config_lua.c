/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file is Lua so that it can compute, not so that it can act: it gets pure functions and
 * os.getenv, and a second. It is the operator's own file, so the limits are against mistakes (a loop without end),
 * not against an attacker: a single long call inside the string library is not interrupted. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/config_parts.h"
#include <errno.h>
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 1 << 20, DEPTH_MAX = 8, TIME_LIMIT_MS = 1000 };

static _Thread_local uint64_t deadline_ms;

static void on_count(lua_State *L, lua_Debug *ar) {
    (void)ar;
    if (clock_mono_ms() >= deadline_ms) luaL_error(L, "the configuration takes longer than %d ms", TIME_LIMIT_MS);
}

static int read_file(const char *file, struct buf *out, struct err *e) {
    FILE *f = fopen(file, "re");
    if (f == NULL) return err_set(e, ERR_IO, "cannot read %s: %s", file, strerror(errno));
    size_t n;
    do {
        buf_reserve(out, 16384);
        n = fread(out->data + out->len, 1, 16384, f);
        out->len += n;
    } while (n > 0 && out->len <= FILE_MAX);
    int failed = ferror(f) ? errno : 0;
    fclose(f);
    if (failed) return err_set(e, ERR_IO, "cannot read %s: %s", file, strerror(failed));
    if (out->len > FILE_MAX) return err_set(e, ERR_INVALID, "%s: larger than %d bytes", file, FILE_MAX);
    return 0;
}

static void open_library(lua_State *L, lua_CFunction open, const char *name) {
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

/* No pcall: it could swallow the time limit. */
static int is_offered(const char *name) {
    static const char *const offered[] = {"assert",   "error", "ipairs", "next",   "pairs", "select", "tonumber",
                                          "tostring", "type",  "unpack", "string", "table", "math",   "os"};
    for (size_t i = 0; i < sizeof offered / sizeof *offered; i++)
        if (strcmp(name, offered[i]) == 0) return 1;
    return 0;
}

/* Runs in a protected call. */
static int open_libraries(lua_State *L) {
    open_library(L, luaopen_base, "");
    open_library(L, luaopen_string, LUA_STRLIBNAME);
    open_library(L, luaopen_table, LUA_TABLIBNAME);
    open_library(L, luaopen_math, LUA_MATHLIBNAME);
    open_library(L, luaopen_os, LUA_OSLIBNAME);

    lua_getglobal(L, "string");
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
    lua_newtable(L); /* string, our os */
    lua_getglobal(L, "os");
    lua_getfield(L, -1, "getenv"); /* string, our os, os, getenv */
    lua_setfield(L, -3, "getenv");
    lua_pop(L, 1);
    lua_setglobal(L, "os");

    lua_pushnil(L);
    while (lua_next(L, LUA_GLOBALSINDEX)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING && is_offered(lua_tostring(L, -1))) continue;
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, LUA_GLOBALSINDEX); /* an existing key may go while we walk */
    }
    return 0;
}

/* The value on top of the stack as JSON, NULL with *why set. Leaves the stack as it was; raises nothing. */
static json_t *to_json(lua_State *L, int depth, const char **why);

static json_t *table_to_json(lua_State *L, int depth, const char **why) {
    size_t count = 0, len = lua_objlen(L, -1);
    json_t *object = json_object(), *list = json_array();
    if (depth > DEPTH_MAX) {
        *why = "a table that holds itself, or tables too deep";
        goto fail;
    }
    if (!lua_checkstack(L, 8)) {
        *why = "tables too deep";
        goto fail;
    }
    for (size_t i = 1; i <= len; i++) {
        lua_rawgeti(L, -1, (int)i);
        json_t *value = to_json(L, depth + 1, why);
        lua_pop(L, 1);
        if (value == NULL) goto fail;
        json_array_append_new(list, value);
    }
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        count++;
        if (lua_type(L, -2) != LUA_TSTRING) { /* never tostring a key: that would change the walk */
            lua_pop(L, 1);
            if (lua_type(L, -1) == LUA_TNUMBER && len) continue;
            *why = "a table with keys that are not names";
            lua_pop(L, 1);
            goto fail;
        }
        size_t key_len;
        const char *key = lua_tolstring(L, -2, &key_len);
        json_t *value = strlen(key) == key_len ? to_json(L, depth + 1, why) : NULL;
        if (strlen(key) != key_len) *why = "a key with a NUL byte";
        if (value != NULL && json_object_set_new(object, key, value) < 0) {
            value = NULL;
            *why = "a key that is not UTF-8";
        }
        if (value == NULL) {
            lua_pop(L, 2);
            goto fail;
        }
        lua_pop(L, 1);
    }
    if (len && count != len) {
        *why = "a table that is half a list and half a record, or a list with gaps";
        goto fail;
    }
    json_decref(len ? object : list);
    return len ? list : object;
fail:
    json_decref(object);
    json_decref(list);
    return NULL;
}

static json_t *to_json(lua_State *L, int depth, const char **why) {
    json_t *value = NULL;
    size_t len;
    const char *text;
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        return json_boolean(lua_toboolean(L, -1));
    case LUA_TTABLE:
        return table_to_json(L, depth, why);
    case LUA_TSTRING:
        text = lua_tolstring(L, -1, &len);
        value = json_stringn(text, len);
        if (value == NULL) *why = "a text that is not UTF-8";
        return value;
    case LUA_TNUMBER: {
        double n = lua_tonumber(L, -1);
        if (!isfinite(n))
            *why = "a number that is not finite";
        else if (n == floor(n) && fabs(n) < 9007199254740992.0)
            value = json_integer((json_int_t)n);
        else
            value = json_real(n);
        return value;
    }
    }
    *why = "something that is neither text, number, true, false nor a table";
    return NULL;
}

int config_run_lua(json_t **out, const char *file, struct err *e) {
    struct buf source = {0}, name = {0};
    const char *why = "";
    int rc = read_file(file, &source, e);
    if (rc < 0) goto free_source;

    lua_State *L = luaL_newstate();
    if (L == NULL) {
        rc = err_set(e, ERR_LIMIT, "%s: cannot start Lua", file);
        goto free_source;
    }
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF); /* compiled loops do not ask for the time */
    deadline_ms = clock_mono_ms() + TIME_LIMIT_MS;
    lua_sethook(L, on_count, LUA_MASKCOUNT, 10000);
    buf_printf(&name, "@%s", file);
    /* "t": text only, since bytecode could do anything to us */
    if (lua_cpcall(L, open_libraries, NULL) != 0 || luaL_loadbufferx(L, source.data, source.len, name.data, "t") != 0 ||
        lua_pcall(L, 0, 1, 0) != 0) {
        const char *text = lua_tostring(L, -1);
        rc = err_set(e, ERR_INVALID, "%s", text ? text : "the configuration raised a value that is no text");
        goto close_lua;
    }
    if (!lua_istable(L, -1)) {
        rc = err_set(e, ERR_INVALID, "%s: must return a table of settings", file);
        goto close_lua;
    }
    *out = to_json(L, 0, &why);
    if (*out == NULL) rc = err_set(e, ERR_INVALID, "%s: the settings contain %s", file, why);
close_lua:
    lua_close(L);
free_source:
    buf_free(&name);
    buf_free(&source);
    return rc;
}
