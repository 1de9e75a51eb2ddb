/* SPDX-License-Identifier: Apache-2.0 */
/* core.http: answers that are read while they come, and the connections kept for them. */
#include "bind/bind_http.h"
#include "bind/vm.h"
#include "io/http_stream.h"
#include <string.h>

enum { FIELDS_MAX = 62 };
#define STREAM_TYPE "parley.http_stream"

struct reader { /* the userdata; its environment is the headers, once they were asked for */
    struct http_stream *stream;
    bool has_headers;
    struct bind_wait *head, *next; /* tasks that wait for one of these */
    int self;                      /* keeps us while one waits: a task that has yielded holds nothing */
};

static int push_failure(lua_State *L, const struct http_stream *s, const struct err *e) {
    int n = bind_fail(L, e);
    lua_pushstring(L, http_stream_stage(s));
    lua_setfield(L, -2, "stage");
    return n;
}

/* Pushes what next() returns; 0: there is nothing yet. */
static int push_next(lua_State *L, struct reader *r) {
    const char *name = NULL, *data = NULL;
    size_t len = 0;
    struct err e = {0};
    int rc = http_stream_next(r->stream, &name, &data, &len, &e);

    switch (rc) {
    case HTTP_NEXT_NONE:
        return 0;
    case HTTP_NEXT_EVENT:
        if (name)
            lua_pushstring(L, name);
        else
            lua_pushboolean(L, false);
        lua_pushlstring(L, data, len);
        return 2;
    case HTTP_NEXT_END:
        lua_pushnil(L);
        return 1;
    default:
        return push_failure(L, r->stream, &e);
    }
}

/* The head has come, or never will: pushes what http.stream returns. */
static int push_opened(lua_State *co, struct reader *r) {
    const char *name, *data;
    size_t len;
    struct err e = {0};

    if (http_stream_status(r->stream) == 0) {
        http_stream_next(r->stream, &name, &data, &len, &e); /* says why */
        return push_failure(co, r->stream, &e);
    }
    lua_rawgeti(co, LUA_REGISTRYINDEX, r->self);
    return 1;
}

static void on_change(void *arg) {
    struct reader *r = arg;
    struct bind_wait *w = r->head ? r->head : r->next;
    if (w == NULL) return;
    struct vm *vm = vm_of(bind_wait_state(w));
    int n = r->head ? push_opened(bind_wait_state(w), r) : push_next(bind_wait_state(w), r), self = r->self;
    if (n == 0) return;
    r->head = r->next = NULL;
    r->self = LUA_NOREF;
    bind_wait_done(w, n);
    bind_unref(vm, self); /* r may be gone from here on */
}

static enum http_framing_kind framing_at(lua_State *L, int idx, const char *otherwise) {
    const char *name = luaL_optstring(L, idx, otherwise);
    if (strcmp(name, "sse") == 0) return HTTP_SSE;
    if (strcmp(name, "ndjson") == 0) return HTTP_NDJSON;
    if (strcmp(name, "bytes") != 0) luaL_error(L, "framing is \"sse\", \"ndjson\" or \"bytes\"");
    return HTTP_BYTES;
}

static int milliseconds(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    lua_Number ms = luaL_optnumber(L, -1, 0);
    if (!(ms >= 0 && ms < 1e9)) luaL_error(L, "%s is a number of milliseconds", name);
    return (int)(ms > 0 && ms < 1 ? 1 : ms);
}

/* The fields of the table on top; their texts stay in the table that is left in its place. */
static void read_fields(lua_State *L, struct http_stream_field *fields) {
    int given = lua_gettop(L), kept = given + 1, n = 0;

    lua_newtable(L);
    if (lua_istable(L, given)) {
        lua_pushnil(L);
        while (lua_next(L, given)) {
            if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1))
                luaL_error(L, "headers are a table of texts by name");
            if (n == FIELDS_MAX) luaL_error(L, "more than %d headers", FIELDS_MAX);
            fields[n].name = lua_tostring(L, -2);
            fields[n].value = lua_tostring(L, -1); /* a number became a text: the table keeps it */
            lua_rawseti(L, kept, ++n);
        }
    }
    fields[n].name = NULL;
}

int bind_http_stream(lua_State *L) {
    struct vm_services *services = vm_services(L);
    struct http_stream_field fields[FIELDS_MAX + 1];
    struct http_stream_opts o = {.fields = fields, .on_change = on_change};

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (services->http_pool == NULL) return luaL_error(L, "this program has no HTTP client");
    struct reader *r = lua_newuserdata(L, sizeof *r); /* options, r */
    *r = (struct reader){.self = LUA_NOREF};
    luaL_getmetatable(L, STREAM_TYPE);
    lua_setmetatable(L, -2);
    lua_getfield(L, 1, "url");
    o.url = luaL_checkstring(L, -1);
    lua_getfield(L, 1, "method");
    o.method = luaL_optstring(L, -1, "GET");
    lua_getfield(L, 1, "body");
    if (!lua_isnil(L, -1)) o.body = luaL_checklstring(L, -1, &o.len);
    lua_getfield(L, 1, "ca_file");
    o.ca_file = luaL_optstring(L, -1, NULL);
    lua_getfield(L, 1, "framing");
    o.framing = framing_at(L, -1, "bytes");
    lua_getfield(L, 1, "event_limit");
    o.event_limit = (size_t)luaL_optnumber(L, -1, 0);
    o.connect_ms = milliseconds(L, "connect_ms");
    o.first_byte_ms = milliseconds(L, "first_byte_ms");
    o.idle_ms = milliseconds(L, "idle_ms");
    o.timeout_ms = milliseconds(L, "timeout_ms");
    lua_getfield(L, 1, "on_begin");
    int on_begin = lua_gettop(L);
    lua_getfield(L, 1, "headers");
    read_fields(L, fields);
    r->head = bind_wait_begin(L);
    o.arg = r;
    r->stream = http_stream_open(services->http_pool, &o);
    if (lua_isfunction(L, on_begin)) {
        lua_pushvalue(L, on_begin);
        lua_pushvalue(L, 2);
        if (lua_pcall(L, 1, 0, 0) != 0) { /* the wait must not be left behind */
            struct bind_wait *w = r->head;
            r->head = NULL; /* nobody holds it now: the collector takes it */
            http_stream_cancel(r->stream);
            bind_wait_done(w, 0);
            bind_wait_yield(w);
            return lua_error(L);
        }
    }
    r->self = bind_ref(L, 2);
    return bind_wait_yield(r->head);
}

static int stream_next(lua_State *L) {
    struct reader *r = luaL_checkudata(L, 1, STREAM_TYPE);
    int n = push_next(L, r);

    if (n) return n;
    if (r->head || r->next) return luaL_error(L, "another task waits for this stream already");
    r->next = bind_wait_begin(L);
    r->self = bind_ref(L, 1);
    return bind_wait_yield(r->next);
}

static int stream_cancel(lua_State *L) {
    struct reader *r = luaL_checkudata(L, 1, STREAM_TYPE);

    http_stream_cancel(r->stream);
    return 0;
}

static int stream_frame(lua_State *L) {
    struct reader *r = luaL_checkudata(L, 1, STREAM_TYPE);

    http_stream_frame(r->stream, framing_at(L, 2, NULL));
    return 0;
}

/* A dozen headers come with each answer, and few are ever looked at: their table is made when somebody does. */
static int push_headers(lua_State *L, struct reader *r) {
    if (!r->has_headers) {
        bind_http_push_headers(L, http_stream_headers(r->stream));
        lua_setfenv(L, 1);
        r->has_headers = true;
    }
    lua_getfenv(L, 1);
    return 1;
}

static int stream_index(lua_State *L) {
    struct reader *r = luaL_checkudata(L, 1, STREAM_TYPE);

    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_isnil(L, -1)) return 1;
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    int status = http_stream_status(r->stream); /* 0: there is no head yet */
    if (status && strcmp(name, "headers") == 0) return push_headers(L, r);
    if (status == 0 || strcmp(name, "status") != 0) return 1;
    lua_pushinteger(L, status);
    return 1;
}

static int stream_gc(lua_State *L) {
    struct reader *r = lua_touserdata(L, 1);

    http_stream_free(r->stream); /* who forgets a stream has left it */
    r->stream = NULL;
    return 0;
}

int bind_http_warm(lua_State *L) {
    struct vm_services *services = vm_services(L);
    const char *url = luaL_checkstring(L, 1);
    int connections = luaL_checkint(L, 2);
    const char *ca_file = luaL_optstring(L, 3, NULL);
    struct err e;

    if (services->http_pool == NULL) return luaL_error(L, "this program has no HTTP client");
    if (http_pool_warm(services->http_pool, url, ca_file, connections, &e) < 0) return bind_fail(L, &e);
    lua_pushboolean(L, true);
    return 1;
}

static void push_number(lua_State *L, const char *name, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

static void push_figures(void *arg, const struct http_pool_figures *f) {
    lua_State *L = arg; /* list */

    lua_createtable(L, 0, 12);
    lua_pushstring(L, f->origin);
    lua_setfield(L, -2, "origin");
    lua_pushstring(L, f->speaks);
    lua_setfield(L, -2, "speaks");
    push_number(L, "connections", f->connections);
    push_number(L, "connecting", f->connecting);
    push_number(L, "warm", f->warm);
    push_number(L, "running", f->running);
    push_number(L, "waiting", f->waiting);
    push_number(L, "opened", (double)f->opened);
    push_number(L, "failed", (double)f->failed);
    push_number(L, "requests", (double)f->requests);
    push_number(L, "resets", (double)f->resets);
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
}

int bind_http_pool(lua_State *L) {
    struct vm_services *services = vm_services(L);

    lua_newtable(L);
    if (services->http_pool) http_pool_each(services->http_pool, push_figures, L);
    return 1;
}

void bind_http_stream_types(lua_State *L) {
    luaL_newmetatable(L, STREAM_TYPE);
    lua_newtable(L);
    lua_pushcfunction(L, stream_next);
    lua_setfield(L, -2, "next");
    lua_pushcfunction(L, stream_cancel);
    lua_setfield(L, -2, "cancel");
    lua_pushcfunction(L, stream_frame);
    lua_setfield(L, -2, "frame");
    lua_pushcclosure(L, stream_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, stream_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
