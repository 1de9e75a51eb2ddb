/* SPDX-License-Identifier: Apache-2.0 */
/* core.ws: WebSockets that we open, for providers that hear or speak while it is said.
 *
 * Both ways are bounded. What we send waits in a queue of at most queue_limit bytes, beyond which send() refuses; what
 * comes waits until next() takes it, and from hold_limit bytes on the server is not read any further.
 *
 * Life: the userdata is the task's, the struct lives until the client's on_close. Who forgets a socket has dropped it. */
#include "base/mem.h"
#include "bind/vm.h"
#include "io/ws_client.h"
#include <stdlib.h>
#include <string.h>

enum { HEADERS_MAX = 30, QUEUE_LIMIT = 1024 * 1024, HOLD_LIMIT = 1024 * 1024 };
#define WS_TYPE "parley.ws_client" /* not "parley.ws": that is the server's end (bind_http.c), with other methods */

struct message {
    struct message *next;
    size_t len;
    bool binary;
    char bytes[];
};

struct socket {
    struct vm *vm;
    struct ws_client *client;  /* NULL once it has closed */
    bool forgotten;            /* the userdata is gone */
    struct bind_wait *opening; /* tasks that wait for one of these */
    struct bind_wait *reading, *draining;
    int self; /* keeps the userdata while one waits: a task that has yielded holds nothing */
    int waits;
    struct message *in, **in_end;
    size_t held, hold_limit, queue_limit;
    struct err why;
    int status;
};

static void socket_free(struct socket *s) {
    for (struct message *m = s->in, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    free(s);
}

static int push_failure(lua_State *L, const struct socket *s) {
    int n = bind_fail(L, &s->why);
    if (s->status) {
        lua_pushinteger(L, s->status);
        lua_setfield(L, -2, "status");
    }
    return n;
}

/* Raises before anything is kept: a socket that a wait which never began holds would never be collected. */
static struct bind_wait *wait_begin(lua_State *L, struct socket *s, int idx) {
    struct bind_wait *w = bind_wait_begin(L);
    if (s->waits++ == 0) s->self = bind_ref(L, idx);
    return w;
}

/* Ends a wait with the n values on its stack. s may be gone afterwards. */
static void wait_done(struct socket *s, struct bind_wait **wait, int n) {
    struct bind_wait *w = *wait;
    struct vm *vm = s->vm;
    int self = LUA_NOREF;

    *wait = NULL;
    if (--s->waits == 0) {
        self = s->self;
        s->self = LUA_NOREF;
    }
    bind_wait_done(w, n);
    bind_unref(vm, self);
}

/* -- what the client tells ------------------------------------------------------------------------------------- */

static void on_open(void *arg) {
    struct socket *s = arg;
    lua_State *co;

    if (s->opening == NULL) return;
    co = bind_wait_state(s->opening);
    lua_rawgeti(co, LUA_REGISTRYINDEX, s->self);
    wait_done(s, &s->opening, 1);
}

static void on_message(void *arg, const char *data, size_t len) {
    struct socket *s = arg;
    bool binary = ws_client_is_binary(s->client);

    if (s->forgotten) return;
    if (s->reading) {
        lua_State *co = bind_wait_state(s->reading);
        lua_pushlstring(co, data, len);
        lua_pushboolean(co, binary);
        wait_done(s, &s->reading, 2);
        return;
    }
    struct message *m = mem_alloc(sizeof *m + len);
    m->len = len;
    m->binary = binary;
    if (len) memcpy(m->bytes, data, len);
    *s->in_end = m;
    s->in_end = &m->next;
    s->held += len + sizeof *m; /* empty ones are not free either */
    if (s->held >= s->hold_limit) ws_client_pause(s->client, true);
}

static void on_drain(void *arg) {
    struct socket *s = arg;
    if (s->draining == NULL) return;
    lua_pushboolean(bind_wait_state(s->draining), true);
    wait_done(s, &s->draining, 1);
}

static void on_close(void *arg, const struct err *e) {
    struct socket *s = arg;
    struct bind_wait **waits[] = {&s->opening, &s->reading, &s->draining};

    s->status = ws_client_status(s->client);
    s->client = NULL;
    s->why = *e;
    if (s->forgotten) {
        socket_free(s);
        return;
    }
    s->waits++; /* the tasks may forget us in between */
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        if (*waits[i]) wait_done(s, waits[i], push_failure(bind_wait_state(*waits[i]), s));
    int self = s->self;
    if (--s->waits == 0) {
        s->self = LUA_NOREF;
        bind_unref(s->vm, self);
    }
}

/* -- what Lua calls -------------------------------------------------------------------------------------------- */

static struct socket *check(lua_State *L) {
    struct socket *s = *(struct socket **)luaL_checkudata(L, 1, WS_TYPE);
    if (s == NULL) luaL_error(L, "the socket is gone"); /* a finalizer has it that runs after its own */
    return s;
}

/* The fields of the table on top as "Name: value"; the texts stay in the table that is left in its place. */
static void read_headers(lua_State *L, const char **headers) {
    int given = lua_gettop(L), kept = given + 1, n = 0;

    lua_newtable(L);
    if (!lua_isnoneornil(L, given)) {
        luaL_argcheck(L, lua_istable(L, given), 1, "headers: a table of texts by name");
        lua_pushnil(L);
        while (lua_next(L, given)) {
            if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1))
                luaL_error(L, "headers are a table of texts by name");
            if (n == HEADERS_MAX) luaL_error(L, "more than %d headers", HEADERS_MAX);
            headers[n] = lua_pushfstring(L, "%s: %s", lua_tostring(L, -2), lua_tostring(L, -1));
            lua_rawseti(L, kept, ++n);
            lua_pop(L, 1);
        }
    }
    headers[n] = NULL;
}

static size_t bytes_field(lua_State *L, const char *name, size_t otherwise) {
    lua_getfield(L, 1, name);
    lua_Number n = luaL_optnumber(L, -1, (lua_Number)otherwise);
    if (!(n >= 1 && n <= 64 * 1024 * 1024)) luaL_error(L, "%s is a number of bytes, 64 MiB at most", name);
    return (size_t)n;
}

/* What on_begin raises is raised again when the socket is gone and nobody waits for it. */
static void tell_begin(lua_State *L, struct socket *s, int on_begin, int self) {
    struct bind_wait *w = s->opening;

    lua_pushvalue(L, on_begin);
    lua_pushvalue(L, self);
    if (lua_pcall(L, 1, 0, 0) == 0) return;
    ws_client_drop(s->client);
    wait_done(s, &s->opening, 0);
    bind_wait_yield(w); /* is done, so it does not */
    lua_error(L);
}

static int bind_ws_open(lua_State *L) {
    struct vm_services *services = vm_services(L);
    const char *headers[HEADERS_MAX + 1];
    struct ws_client_opts o = {
        .headers = headers, .on_open = on_open, .on_message = on_message, .on_drain = on_drain, .on_close = on_close};
    struct socket **slot, *s;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (services->net == NULL) return luaL_error(L, "this program has no network");
    slot = lua_newuserdata(L, sizeof(void *)); /* options, userdata */
    *slot = NULL;
    luaL_getmetatable(L, WS_TYPE);
    lua_setmetatable(L, -2);
    lua_getfield(L, 1, "url");
    o.url = luaL_checkstring(L, -1);
    lua_getfield(L, 1, "protocol");
    o.protocol = luaL_optstring(L, -1, NULL);
    lua_getfield(L, 1, "ca_file");
    o.ca_file = luaL_optstring(L, -1, NULL);
    lua_getfield(L, 1, "connect_ms");
    lua_Number connect_ms = luaL_optnumber(L, -1, 0);
    luaL_argcheck(L, connect_ms >= 0 && connect_ms < 1e9, 1, "connect_ms: a number of milliseconds");
    o.connect_timeout_ms = (int)(connect_ms > 0 && connect_ms < 1 ? 1 : connect_ms);
    o.message_limit = bytes_field(L, "message_limit", 4 * 1024 * 1024);
    size_t queue_limit = bytes_field(L, "queue_limit", QUEUE_LIMIT),
           hold_limit = bytes_field(L, "hold_limit", HOLD_LIMIT);
    lua_getfield(L, 1, "on_begin");
    int on_begin = lua_gettop(L);
    lua_getfield(L, 1, "headers");
    read_headers(L, headers);

    s = *slot = mem_alloc(sizeof *s);
    *s = (struct socket){.vm = vm_of(L), .self = LUA_NOREF, .hold_limit = hold_limit, .queue_limit = queue_limit};
    s->in_end = &s->in;
    s->opening = wait_begin(L, s, 2);
    o.arg = s;
    s->client = ws_client_open(services->net, &o); /* tells nothing before the loop's next turn */
    if (lua_isfunction(L, on_begin)) tell_begin(L, s, on_begin, 2);
    return bind_wait_yield(s->opening);
}

static int ws_send(lua_State *L) {
    struct socket *s = check(L);
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    bool binary = lua_toboolean(L, 3);
    struct err e;
    int rc;

    if (s->client == NULL) return push_failure(L, s);
    if (ws_client_queued(s->client) + len > s->queue_limit) {
        err_set(&e, ERR_LIMIT, "%zu bytes are too many: %zu wait to be sent already, and %zu may", len,
                ws_client_queued(s->client), s->queue_limit);
        return bind_fail(L, &e);
    }
    rc = binary ? ws_client_send_binary(s->client, data, len, &e) : ws_client_send(s->client, data, len, &e);
    if (rc < 0) return bind_fail(L, &e);
    lua_pushboolean(L, true);
    return 1;
}

static int ws_next(lua_State *L) {
    struct socket *s = check(L);
    struct message *m = s->in;

    if (m) {
        s->in = m->next;
        if (s->in == NULL) s->in_end = &s->in;
        s->held -= m->len + sizeof *m;
        lua_pushlstring(L, m->bytes, m->len);
        lua_pushboolean(L, m->binary);
        free(m);
        if (s->client && s->held <= s->hold_limit / 2) ws_client_pause(s->client, false);
        return 2;
    }
    if (s->client == NULL) return push_failure(L, s);
    if (s->reading) return luaL_error(L, "another task waits for this socket already");
    s->reading = wait_begin(L, s, 1);
    return bind_wait_yield(s->reading);
}

static int ws_drain(lua_State *L) {
    struct socket *s = check(L);

    if (s->client == NULL) return push_failure(L, s);
    if (ws_client_is_drained(s->client)) {
        lua_pushboolean(L, true);
        return 1;
    }
    if (s->draining) return luaL_error(L, "another task waits for this socket already");
    s->draining = wait_begin(L, s, 1);
    return bind_wait_yield(s->draining);
}

static int ws_queued(lua_State *L) {
    struct socket *s = check(L);
    lua_pushnumber(L, s->client ? (lua_Number)ws_client_queued(s->client) : 0);
    return 1;
}

static int ws_close(lua_State *L) {
    struct socket *s = check(L);
    int code = luaL_optint(L, 2, 1000);
    luaL_argcheck(L, code == 1000 || (code >= 3000 && code <= 4999), 2, "1000, or 3000 to 4999");
    if (s->client) ws_client_close(s->client, code);
    return 0;
}

static int ws_drop(lua_State *L) {
    struct socket *s = check(L);
    if (s->client) ws_client_drop(s->client);
    return 0;
}

static int ws_gc(lua_State *L) {
    struct socket **slot = lua_touserdata(L, 1), *s = *slot;

    *slot = NULL;
    if (s == NULL) return 0;
    s->forgotten = true;
    struct bind_wait **waits[] = {&s->opening, &s->reading, &s->draining};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) { /* a VM that ends leaves its tasks where they wait */
        if (*waits[i]) bind_wait_drop(*waits[i]);
        *waits[i] = NULL;
    }
    if (s->client)
        ws_client_drop(s->client);
    else
        socket_free(s);
    return 0;
}

static const struct bind_fn functions[] = {
    {"open", bind_ws_open, BIND_YIELDS,
     "ws.open{ url=, headers=, protocol=, ca_file=, connect_ms=, message_limit=, queue_limit=, hold_limit=, on_begin= "
     "} -> "
     "socket | nil, err",
     "socket:next() -> data, binary | nil, err waits; socket:send(data [, binary]) -> true | nil, err (\"limit\": more "
     "would wait than queue_limit); socket:drain() -> true | nil, err waits until all is written; socket:queued(); "
     "socket:close([code]); socket:drop() at once. err.status is that of an HTTP answer that refused it. "
     "on_begin(socket) "
     "is called before it has opened, for who may want to close it meanwhile."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_ws(lua_State *L) {
    static const luaL_Reg methods[] = {{"send", ws_send},     {"next", ws_next},   {"drain", ws_drain},
                                       {"queued", ws_queued}, {"close", ws_close}, {"drop", ws_drop},
                                       {NULL, NULL}};
    bind_make_type(L, WS_TYPE, methods, ws_gc);
    bind_module(L, functions);
    return 1;
}
