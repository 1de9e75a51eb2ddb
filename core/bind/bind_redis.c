/* SPDX-License-Identifier: Apache-2.0 */
/* core.redis: commands, pipelines, scripts and subscriptions. */
#include "base/mem.h"
#include "bind/vm.h"
#include "io/redis.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS_MAX = 4096 }; /* a whole journal of a call is two for each of its 1000 entries */
#define SUB_TYPE    "parley.redis.sub"
#define SCRIPT_TYPE "parley.redis.script"

static struct redis *redis_of(lua_State *L) {
    struct redis *r = vm_services(L)->redis;

    if (r == NULL) luaL_error(L, "this program has no Redis: set redis.url");
    return r;
}

static void push_reply(lua_State *L, const redisReply *r) {
    luaL_checkstack(L, 3, "reply too deep");
    switch (r->type) {
    case REDIS_REPLY_INTEGER:
        lua_pushnumber(L, (lua_Number)r->integer);
        break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        lua_pushlstring(L, r->str, (size_t)r->len);
        break;
    case REDIS_REPLY_ARRAY:
        lua_createtable(L, (int)r->elements, 0);
        for (size_t i = 0; i < r->elements; i++) {
            push_reply(L, r->element[i]);
            lua_rawseti(L, -2, (int)i + 1);
        }
        break;
    case REDIS_REPLY_ERROR:
        lua_createtable(L, 0, 2);
        lua_pushliteral(L, "invalid");
        lua_setfield(L, -2, "code");
        lua_pushlstring(L, r->str, (size_t)r->len);
        lua_setfield(L, -2, "text");
        break;
    default: /* REDIS_REPLY_NIL */
        lua_pushlightuserdata(L, NULL);
        break;
    }
}

static void on_reply(void *arg, const redisReply *reply, const struct err *e) {
    struct bind_wait *w = arg;

    if (e != NULL && e->code != 0) {
        bind_wait_fail(w, e);
        return;
    }
    push_reply(bind_wait_state(w), reply);
    bind_wait_done(w, 1);
}

/* Numbers are written as integers where they are integers; anything but text and numbers raises. */
static int read_args(lua_State *L, int first, int last, const char **argv, size_t *lens) {
    int n = last - first + 1;

    if (n > ARGS_MAX) return luaL_error(L, "at most %d arguments", ARGS_MAX);
    for (int i = 0; i < n; i++) {
        if (lua_type(L, first + i) == LUA_TNUMBER) {
            lua_Number v = lua_tonumber(L, first + i);
            if (v == (lua_Number)(long long)v) {
                char text[32];
                snprintf(text, sizeof text, "%lld", (long long)v);
                lua_pushstring(L, text);
                lua_replace(L, first + i);
            }
        }
        if (!lua_isstring(L, first + i))
            return luaL_error(L, "argument %d is a %s; Redis takes text and numbers", i + 1,
                              luaL_typename(L, first + i));
        argv[i] = lua_tolstring(L, first + i, &lens[i]);
    }
    return n;
}

static int bind_redis_call(lua_State *L) {
    struct redis *r = redis_of(L);
    const char *argv[ARGS_MAX];
    size_t lens[ARGS_MAX];
    int n;
    struct bind_wait *w;

    luaL_checkstring(L, 1);
    n = read_args(L, 1, lua_gettop(L), argv, lens);
    w = bind_wait_begin(L);
    redis_command(r, 0, n, argv, lens, on_reply, w);
    return bind_wait_yield(w);
}

/* -- pipeline: one wait for all --------------------------------------------------------------------------------- */

struct pipeline {
    struct bind_wait *wait;
    int left, count;
    bool failed;
    struct err e;
    int table; /* registry reference of the list of replies */
    struct vm *vm;
};
struct pipeline_item {
    struct pipeline *p;
    int index;
};

static void on_pipeline(void *arg, const redisReply *reply, const struct err *e) {
    struct pipeline_item *item = arg;
    struct pipeline *p = item->p;
    lua_State *L = vm_lua(p->vm);

    if (reply == NULL && e != NULL) {
        p->failed = true;
        p->e = *e;
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, p->table);
        push_reply(L, reply);
        lua_rawseti(L, -2, item->index);
        lua_pop(L, 1);
    }
    free(item);
    if (--p->left > 0) return;
    struct bind_wait *w = p->wait;
    lua_State *co = bind_wait_state(w);
    int n = 1;
    if (p->failed)
        n = bind_fail(co, &p->e);
    else
        lua_rawgeti(co, LUA_REGISTRYINDEX, p->table);
    luaL_unref(L, LUA_REGISTRYINDEX, p->table);
    free(p);
    bind_wait_done(w, n);
}

static int bind_redis_pipeline(lua_State *L) {
    struct redis *r = redis_of(L);
    int count;
    struct pipeline *p;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    count = (int)lua_objlen(L, 1);
    if (count == 0) {
        lua_newtable(L);
        return 1;
    }
    for (int i = 1; i <= count; i++) { /* everything that can raise comes first */
        lua_rawgeti(L, 1, i);
        luaL_argcheck(L, lua_istable(L, 2) && lua_objlen(L, 2) >= 1 && lua_objlen(L, 2) < ARGS_MAX, 1,
                      "a list of commands");
        for (int k = 1; k <= (int)lua_objlen(L, 2); k++) {
            lua_rawgeti(L, 2, k);
            luaL_argcheck(L, lua_isstring(L, -1), 1, "commands of text and numbers");
            lua_pop(L, 1);
        }
        lua_settop(L, 1);
    }
    struct bind_wait *w = bind_wait_begin(L);
    p = mem_alloc(sizeof *p);
    p->wait = w;
    p->left = p->count = count;
    p->vm = vm_of(L);
    lua_createtable(L, count, 0);
    p->table = luaL_ref(L, LUA_REGISTRYINDEX);
    for (int i = 1; i <= count; i++) {
        const char *argv[ARGS_MAX];
        size_t lens[ARGS_MAX];
        struct pipeline_item *item = mem_alloc(sizeof *item);
        int n;
        lua_settop(L, 1);
        lua_rawgeti(L, 1, i);
        n = (int)lua_objlen(L, 2);
        luaL_checkstack(L, n + 4, "command");
        for (int k = 1; k <= n; k++) lua_rawgeti(L, 2, k);
        read_args(L, 3, 2 + n, argv, lens);
        item->p = p;
        item->index = i;
        redis_command(r, 0, n, argv, lens, on_pipeline, item);
    }
    return bind_wait_yield(w);
}

/* -- scripts ------------------------------------------------------------------------------------------------------- */

/* The text stands behind the script, in the collector's memory: a program that ends by exit() collects nothing. */
static int bind_redis_script(lua_State *L) {
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct redis_script *s = lua_newuserdata(L, sizeof *s + len + 1);

    memset(s, 0, sizeof *s);
    s->text = memcpy(s + 1, text, len + 1);
    luaL_getmetatable(L, SCRIPT_TYPE);
    lua_setmetatable(L, -2);
    return 1;
}

static int script_call(lua_State *L) {
    struct redis_script *s = luaL_checkudata(L, 1, SCRIPT_TYPE);
    struct redis *r = redis_of(L);
    const char *argv[ARGS_MAX];
    size_t lens[ARGS_MAX];
    int keys, n, extra;

    luaL_checktype(L, 2, LUA_TTABLE);
    extra = lua_gettop(L) - 2;
    keys = (int)lua_objlen(L, 2);
    luaL_checkstack(L, keys + extra + 4, "script arguments");
    for (int i = 1; i <= keys; i++) lua_rawgeti(L, 2, i);
    for (int i = 0; i < extra; i++) lua_pushvalue(L, 3 + i);
    n = read_args(L, 3 + extra, lua_gettop(L), argv, lens);
    struct bind_wait *w = bind_wait_begin(L);
    redis_eval(r, 0, s, keys, n, argv, lens, on_reply, w);
    return bind_wait_yield(w);
}

/* -- subscriptions ----------------------------------------------------------------------------------------------------- */

struct sub {
    struct redis_sub *redis;
    struct vm *vm;
    int fn;
};

static void on_message(void *arg, const char *channel, const char *data, size_t len) {
    struct sub *s = arg;
    lua_State *L = vm_lua(s->vm);

    if (!bind_push_ref(s->vm, s->fn)) return;
    lua_pushlstring(L, data, len);
    lua_pushstring(L, channel);
    vm_spawn(s->vm, 2, NULL, NULL);
}

static int bind_redis_subscribe(lua_State *L) {
    struct redis *r = redis_of(L);
    const char *channel = luaL_checkstring(L, 1);
    bool pattern = lua_toboolean(L, 3);
    struct sub **slot;
    struct sub *s;

    luaL_checktype(L, 2, LUA_TFUNCTION);
    slot = lua_newuserdata(L, sizeof *slot);
    *slot = NULL;
    luaL_getmetatable(L, SUB_TYPE);
    lua_setmetatable(L, -2);
    s = mem_alloc(sizeof *s);
    s->vm = vm_of(L);
    s->fn = bind_ref(L, 2);
    s->redis = redis_subscribe(r, channel, pattern, on_message, s);
    *slot = s;
    return 1;
}

static int sub_close(lua_State *L) {
    struct sub **slot = luaL_checkudata(L, 1, SUB_TYPE);
    struct sub *s = *slot;

    if (s == NULL) return 0;
    *slot = NULL;
    redis_unsubscribe(s->redis);
    bind_unref(s->vm, s->fn);
    free(s);
    return 0;
}

static int bind_redis_connected(lua_State *L) {
    struct redis *r = vm_services(L)->redis;

    lua_pushboolean(L, r != NULL && redis_connected(r));
    return 1;
}

static int bind_redis_losses(lua_State *L) {
    struct redis *r = vm_services(L)->redis;

    lua_pushnumber(L, r != NULL ? (lua_Number)redis_losses(r) : 0);
    return 1;
}

static const struct bind_fn functions[] = {
    {"call", bind_redis_call, BIND_YIELDS, "redis.call(command, ...) -> reply | nil, err",
     "A nil reply is redis.null."},
    {"pipeline", bind_redis_pipeline, BIND_YIELDS, "redis.pipeline{ { command, ... } } -> replies | nil, err",
     "Error replies stand in the list as { code=, text= }."},
    {"script", bind_redis_script, BIND_PLAIN, "redis.script(text) -> script",
     "script:call(keys, ...) -> reply | nil, err (waits)."},
    {"subscribe", bind_redis_subscribe, BIND_PLAIN,
     "redis.subscribe(channel, fn(message, channel) [, pattern]) -> subscription", "Until subscription:close()."},
    {"connected", bind_redis_connected, BIND_PLAIN, "redis.connected() -> boolean", ""},
    {"losses", bind_redis_losses, BIND_PLAIN, "redis.losses() -> number",
     "Rises each time something that was written may have been lost."},
    {NULL, NULL, 0, NULL, NULL},
};

static void type_with(lua_State *L, const char *name, const char *method, lua_CFunction fn) {
    luaL_newmetatable(L, name);
    lua_newtable(L);
    lua_pushcfunction(L, fn);
    lua_setfield(L, -2, method);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

int bind_open_redis(lua_State *L) {
    type_with(L, SUB_TYPE, "close", sub_close);
    type_with(L, SCRIPT_TYPE, "call", script_call);
    bind_module(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
