/* SPDX-License-Identifier: Apache-2.0 */
/* core.http: the server's requests as tasks, WebSockets, and fetch. */
#include "bind/bind_http.h"
#include "base/log.h"
#include "base/mem.h"
#include "bind/vm.h"
#include "io/http_client.h"
#include "io/http_server.h"
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 64 };
#define WS_TYPE "parley.ws"

/* The two functions lua/ gives; one VM has one HTTP front. */
struct front {
    struct vm *vm;
    int serve, upgrade;
};
static struct front front = {.serve = LUA_NOREF, .upgrade = LUA_NOREF};

static void each_header(void *arg, const char *name, const char *value) {
    lua_State *L = arg; /* headers table on top */

    lua_pushstring(L, name);
    lua_pushvalue(L, -1);
    lua_rawget(L, -3); /* headers, name, value so far */
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushstring(L, value);
    } else { /* several of one name: as RFC 9110 joins them */
        lua_pushstring(L, strcmp(name, "cookie") == 0 ? "; " : ", ");
        lua_pushstring(L, value);
        lua_concat(L, 3);
    }
    lua_rawset(L, -3);
}

static void push_request(lua_State *L, struct http_request *r) {
    size_t len;
    const char *body = http_body(r, &len);

    lua_createtable(L, 0, 8);
    lua_pushstring(L, http_method(r));
    lua_setfield(L, -2, "method");
    lua_pushstring(L, http_path(r));
    lua_setfield(L, -2, "path");
    lua_pushstring(L, http_query(r));
    lua_setfield(L, -2, "query");
    lua_pushlstring(L, body == NULL ? "" : body, body == NULL ? 0 : len);
    lua_setfield(L, -2, "body");
    lua_pushstring(L, http_remote(r));
    lua_setfield(L, -2, "remote");
    lua_pushboolean(L, http_is_tls(r));
    lua_setfield(L, -2, "secure");
    lua_createtable(L, 0, 8); /* room for those of most clients, so that it need not grow step by step */
    http_headers(r, each_header, L);
    lua_setfield(L, -2, "headers");
}

static const char failed_text[] = "Something went wrong on our side. It has been logged; please try again.";

static void reply_problem(struct http_request *r, int status, const char *detail) {
    const struct http_field fields[] = {
        {"content-type", "application/problem+json"}, {status == 503 ? "retry-after" : NULL, "1"}, {NULL, NULL}};
    char *body = http_problem(r, status, detail);
    http_reply(r, status, fields, body, strlen(body));
    free(body);
}

/* Sends the response table at the top of co's stack. */
static bool reply_table(lua_State *co, struct http_request *r) {
    struct http_field fields[FIELDS_MAX + 1];
    int n = 0, status, base = lua_gettop(co);
    const char *body;
    size_t len = 0;

    if (!lua_istable(co, base)) return false;
    lua_getfield(co, base, "status");
    status = (int)lua_tointeger(co, -1);
    lua_getfield(co, base, "body");
    body = lua_tolstring(co, -1, &len);
    lua_getfield(co, base, "headers");
    if (lua_istable(co, -1)) {
        int table = lua_gettop(co);
        lua_pushnil(co);
        while (lua_next(co, table) && n < FIELDS_MAX) {
            /* A list of values is several fields of one name (Set-Cookie). */
            int count = lua_istable(co, -1) ? (int)lua_objlen(co, -1) : 1;
            luaL_checkstack(co, count + 4, "headers");
            int key = lua_gettop(co) - 1, value = key + 1;
            if (lua_type(co, key) == LUA_TSTRING)
                for (int i = 1; i <= count && n < FIELDS_MAX; i++) {
                    if (lua_istable(co, value))
                        lua_rawgeti(co, value, i);
                    else
                        lua_pushvalue(co, value);
                    if (lua_isstring(co, -1)) { /* kept in the headers table: strings stay valid */
                        fields[n].name = lua_tostring(co, key);
                        fields[n].value = lua_tostring(co, -1);
                        n++;
                    }
                    /* numbers became new strings: leave them on the stack until sent */
                    lua_insert(co, table);
                    table++;
                    key++;
                    value++;
                }
            lua_settop(co, key);
        }
    }
    fields[n].name = NULL;
    fields[n].value = NULL;
    if (status < 100 || status > 599) return false;
    lua_getfield(co, base, "stream");
    if (lua_isfunction(co, -1)) {
        bind_http_reply_streamed(vm_of(co), co, lua_gettop(co), r, status, fields);
        return true;
    }
    http_reply(r, status, fields, body == NULL ? "" : body, len);
    return true;
}

static void on_handled(void *arg, lua_State *co, bool ok, int n) {
    struct http_request *r = arg;

    if (!ok) {
        luaL_traceback(co, co, lua_tostring(co, -1), 0);
        log_error("http.handler_failed", "%s", lua_tostring(co, -1));
        reply_problem(r, 500, failed_text);
        return;
    }
    if (n < 1) {
        lua_pushnil(co);
        n = 1;
    }
    lua_settop(co, lua_gettop(co) - n + 1);
    if (!reply_table(co, r)) {
        log_error("http.handler_failed", "the handler returned no response { status =, headers =, body = }");
        reply_problem(r, 500, failed_text);
    }
}

void bind_http_on_request(void *arg, struct http_request *r) {
    struct vm *vm = arg;

    if (front.vm != vm || !bind_push_ref(vm, front.serve)) {
        reply_problem(r, 503, "This worker is still starting. Try again in a second.");
        return;
    }
    push_request(vm_lua(vm), r);
    vm_spawn(vm, 1, on_handled, r);
}

static int bind_http_serve(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    front.vm = vm_of(L);
    front.serve = bind_ref(L, 1);
    return 0;
}

static int bind_http_upgrade(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    front.vm = vm_of(L);
    front.upgrade = bind_ref(L, 1);
    return 0;
}

/* -- WebSockets ------------------------------------------------------------------------------------------------------- */

struct session {
    struct vm *vm;
    int handler; /* the Lua table with on_open, on_message, on_close */
    struct ws *ws;
    int userdata; /* registry reference while open */
};

int bind_http_on_upgrade(void *arg, struct http_request *r, void **session, char **reply_body) {
    struct vm *vm = arg;
    lua_State *L = vm_lua(vm);
    struct session *s;
    int top = lua_gettop(L), status = 500;

    if (front.vm != vm || !bind_push_ref(vm, front.upgrade)) return 503;
    push_request(L, r);
    if (lua_pcall(L, 1, 2, 0) != 0) {
        log_error("http.upgrade_failed", "%s", lua_isstring(L, -1) ? lua_tostring(L, -1) : "error object");
        lua_settop(L, top);
        *reply_body = http_problem(r, 500, failed_text);
        return 500;
    }
    if (lua_istable(L, top + 1)) {
        s = mem_alloc(sizeof *s);
        s->vm = vm;
        s->userdata = LUA_NOREF;
        s->handler = bind_ref(L, top + 1);
        *session = s;
        lua_settop(L, top);
        return 101;
    }
    if (lua_istable(L, top + 2)) {
        lua_getfield(L, top + 2, "status");
        status = (int)lua_tointeger(L, -1);
        lua_getfield(L, top + 2, "body");
        if (lua_isstring(L, -1)) *reply_body = mem_strdup(lua_tostring(L, -1));
    }
    lua_settop(L, top);
    return status >= 400 && status <= 599 ? status : 500;
}

/* Pushes handler[name]; false when there is none. */
static bool push_method(struct session *s, const char *name) {
    lua_State *L = vm_lua(s->vm);

    bind_push_ref(s->vm, s->handler);
    lua_getfield(L, -1, name);
    if (!lua_isfunction(L, -1)) {
        lua_pop(L, 2);
        return false;
    }
    lua_remove(L, -2);
    return true;
}

void bind_http_on_ws_open(void *session, struct ws *ws) {
    struct session *s = session;
    lua_State *L = vm_lua(s->vm);
    struct session **slot = lua_newuserdata(L, sizeof *slot);

    *slot = s;
    s->ws = ws;
    luaL_getmetatable(L, WS_TYPE);
    lua_setmetatable(L, -2);
    s->userdata = luaL_ref(L, LUA_REGISTRYINDEX);
    if (!push_method(s, "on_open")) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->userdata);
    vm_spawn(s->vm, 1, NULL, NULL);
}

void bind_http_on_ws_message(void *session, struct ws *ws, const char *data, size_t len, bool binary) {
    struct session *s = session;
    lua_State *L = vm_lua(s->vm);

    if (binary) {
        ws_close(ws, 1003, "text messages only");
        return;
    }
    if (!push_method(s, "on_message")) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->userdata);
    lua_pushlstring(L, data, len);
    vm_spawn(s->vm, 2, NULL, NULL);
}

void bind_http_on_ws_drain(void *session, struct ws *ws) {
    struct session *s = session;
    (void)ws;
    if (!push_method(s, "on_drain")) return;
    lua_rawgeti(vm_lua(s->vm), LUA_REGISTRYINDEX, s->userdata);
    vm_spawn(s->vm, 1, NULL, NULL);
}

void bind_http_on_ws_close(void *session, int code) {
    struct session *s = session;
    struct vm *vm = s->vm;
    lua_State *L = vm_lua(vm);

    if (s->userdata != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, s->userdata);
        *(struct session **)lua_touserdata(L, -1) = NULL;
        lua_pop(L, 1);
        luaL_unref(L, LUA_REGISTRYINDEX, s->userdata);
    }
    if (push_method(s, "on_close")) {
        lua_pushinteger(L, code);
        vm_spawn(vm, 1, NULL, NULL);
    }
    bind_unref(vm, s->handler);
    free(s);
}

static struct ws *open_ws(lua_State *L) {
    struct session **slot = luaL_checkudata(L, 1, WS_TYPE);

    return *slot == NULL ? NULL : (*slot)->ws;
}

static int ws_lua_send(lua_State *L) {
    struct ws *ws = open_ws(L);
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    struct err e = {0};

    if (ws == NULL) return bind_fail_text(L, ERR_CLOSED, "the WebSocket is closed");
    if (ws_send(ws, text, len, &e) < 0) return bind_fail(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

static int ws_lua_queued(lua_State *L) {
    struct ws *ws = open_ws(L);

    lua_pushnumber(L, ws == NULL ? 0 : (lua_Number)ws_queued(ws));
    return 1;
}

static int ws_lua_close(lua_State *L) {
    struct ws *ws = open_ws(L);

    if (ws != NULL) ws_close(ws, luaL_optint(L, 2, 1000), luaL_optstring(L, 3, ""));
    return 0;
}

/* -- fetch ------------------------------------------------------------------------------------------------------------ */

void bind_http_push_headers(lua_State *L, const char *lines) {
    lua_newtable(L);
    for (const char *line = lines; line != NULL && *line;) {
        const char *end = strchr(line, '\n');
        const char *colon = strchr(line, ':');
        size_t len = end == NULL ? strlen(line) : (size_t)(end - line);
        if (colon != NULL && colon < line + len) {
            const char *value = colon + 1;
            while (*value == ' ') value++;
            lua_pushlstring(L, line, (size_t)(colon - line));
            lua_pushlstring(L, value, (size_t)(line + len - value));
            lua_rawset(L, -3);
        }
        line = end == NULL ? NULL : end + 1;
    }
}

static void on_fetched(void *arg, const struct http_response *r, const struct err *e) {
    struct bind_wait *w = arg;
    lua_State *co = bind_wait_state(w);

    if (r == NULL) {
        bind_wait_fail(w, e);
        return;
    }
    lua_createtable(co, 0, 3);
    lua_pushinteger(co, r->status);
    lua_setfield(co, -2, "status");
    lua_pushlstring(co, r->body == NULL ? "" : r->body, r->body == NULL ? 0 : r->len);
    lua_setfield(co, -2, "body");
    bind_http_push_headers(co, r->headers);
    lua_setfield(co, -2, "headers");
    bind_wait_done(w, 1);
}

static int bind_http_fetch(lua_State *L) {
    struct vm_services *s = vm_services(L);
    struct http_fetch_opts o = {0};
    const char *headers[FIELDS_MAX + 1];
    int n = 0;
    struct bind_wait *w;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (s->http_client == NULL) return luaL_error(L, "this program has no HTTP client");
    lua_getfield(L, 1, "url");
    o.url = luaL_checkstring(L, -1);
    lua_getfield(L, 1, "method");
    o.method = luaL_optstring(L, -1, "GET");
    lua_getfield(L, 1, "body");
    if (!lua_isnil(L, -1)) o.body = luaL_checklstring(L, -1, &o.len);
    lua_getfield(L, 1, "timeout_s");
    o.timeout_ms = (int)(luaL_optnumber(L, -1, 30) * 1000);
    lua_getfield(L, 1, "response_limit");
    o.response_limit = (size_t)luaL_optnumber(L, -1, 0);
    lua_getfield(L, 1, "ca_file");
    o.ca_file = luaL_optstring(L, -1, NULL);
    lua_getfield(L, 1, "headers");
    if (lua_istable(L, -1)) {
        int table = lua_gettop(L);
        lua_pushnil(L);
        while (lua_next(L, table) && n < FIELDS_MAX) {
            int key = lua_gettop(L) - 1;
            luaL_checkstack(L, 6, "headers");
            if (lua_type(L, key) == LUA_TSTRING && lua_isstring(L, key + 1)) {
                const char *value = lua_tostring(L, key + 1);
                if (strpbrk(value, "\r\n") != NULL) return luaL_error(L, "a header value has a line break");
                headers[n++] = lua_pushfstring(L, "%s: %s", lua_tostring(L, key), value);
                lua_insert(L, table); /* keeps the text on the stack */
                table++;
                key++;
            }
            lua_settop(L, key);
        }
    }
    headers[n] = NULL;
    o.headers = headers;
    o.on_done = on_fetched;
    w = bind_wait_begin(L);
    o.arg = w;
    http_fetch(s->http_client, &o);
    return bind_wait_yield(w);
}

static const struct bind_fn functions[] = {
    {"fetch", bind_http_fetch, BIND_YIELDS,
     "http.fetch{ url=, method=, headers=, body=, timeout_s=, response_limit= } -> { status=, headers=, body= } | nil, "
     "err",
     "Connections are kept and shared."},
    {"stream", bind_http_stream, BIND_YIELDS,
     "http.stream{ url=, method=, headers=, body=, framing=, connect_ms=, first_byte_ms=, idle_ms=, timeout_ms=, "
     "event_limit=, ca_file=, on_begin= } -> stream | nil, err",
     "Waits for the head; the body is read while it comes: stream.status, stream.headers, stream:next() -> name or "
     "false, data | nil at the end | nil, err. framing: \"sse\", \"ndjson\" or \"bytes\"; an answer that is not 2xx is "
     "bytes, and stream:frame(framing) before the first next() changes it. stream:cancel() tells the server at once; "
     "on_begin(stream) has the stream before its head, for who may have to cancel it. err.stage: \"connect\" (nothing "
     "was sent), \"head\" or \"body\". A stream that nobody holds is cancelled."},
    {"warm", bind_http_warm, BIND_PLAIN, "http.warm(url, connections [, ca_file]) -> true | nil, err",
     "Keeps so many connections to the URL's origin open for http.stream, TLS and all; 0 ends that."},
    {"pool", bind_http_pool, BIND_PLAIN,
     "http.pool() -> { { origin=, speaks=, connections=, connecting=, warm=, running=, waiting=, opened=, failed=, "
     "requests=, resets= } }",
     "What http.stream holds of each origin."},
    {"serve", bind_http_serve, BIND_PLAIN, "http.serve(function(request) -> { status=, headers=, body= | stream= })",
     "Each request runs as a task. stream = function(out): a task of its own that writes the body while it makes it: "
     "out:write(text) -> true | nil, \"gone\" waits while the client is slow, out:on_gone(f) runs f when it has left; "
     "when the function raises or returns false, the client sees that the reply is not whole."},
    {"upgrade", bind_http_upgrade, BIND_PLAIN, "http.upgrade(function(request) -> handler | nil, response)",
     "Decides at once (must not wait) about a WebSocket; handler: on_open(ws), on_message(ws, text), on_drain(ws) "
     "when all that waited for a slow client has gone out, on_close(code); they run as tasks."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_http(lua_State *L) {
    bind_http_stream_types(L);
    bind_http_reply_types(L);
    luaL_newmetatable(L, WS_TYPE);
    lua_newtable(L);
    lua_pushcfunction(L, ws_lua_send);
    lua_setfield(L, -2, "send");
    lua_pushcfunction(L, ws_lua_queued);
    lua_setfield(L, -2, "queued");
    lua_pushcfunction(L, ws_lua_close);
    lua_setfield(L, -2, "close");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    bind_module(L, functions);
    return 1;
}
