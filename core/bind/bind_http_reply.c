/* SPDX-License-Identifier: Apache-2.0 */
/* core.http: replies that a task writes while it makes them. */
#include "base/log.h"
#include "bind/bind_http.h"
#include "bind/vm.h"
#include <string.h>

#define OUT_TYPE "parley.http_out"

struct out { /* the userdata; the registry keeps it until its task has ended */
    struct vm *vm;
    struct http_request *r; /* NULL: the reply has ended */
    struct bind_wait *wait; /* the task that writes, while the client is slow */
    bool gone;
    int on_gone, self;
};

static int push_gone(lua_State *L) {
    lua_pushnil(L);
    lua_pushliteral(L, "gone");
    return 2;
}

static void on_room(void *arg) {
    struct out *o = arg;
    struct bind_wait *w = o->wait;

    if (w == NULL) return;
    o->wait = NULL;
    lua_pushboolean(bind_wait_state(w), true);
    bind_wait_done(w, 1);
}

static void on_gone(void *arg) {
    struct out *o = arg;
    struct bind_wait *w = o->wait;
    struct vm *vm = o->vm;

    o->gone = true;
    o->wait = NULL;
    if (bind_push_ref(vm, o->on_gone)) {
        bind_unref(vm, o->on_gone);
        o->on_gone = LUA_NOREF;
        vm_spawn(vm, 0, NULL, NULL);
    }
    if (w) bind_wait_done(w, push_gone(bind_wait_state(w))); /* o may be gone afterwards */
}

static void on_written(void *arg, lua_State *co, bool ok, int n) {
    struct out *o = arg;
    struct http_request *r = o->r;
    struct vm *vm = o->vm;

    o->r = NULL;
    if (ok && n > 0 && lua_isboolean(co, -n) && !lua_toboolean(co, -n)) {
        http_reply_abort(r);
    } else if (ok) {
        http_reply_end(r);
    } else {
        luaL_traceback(co, co, lua_tostring(co, -1), 0);
        log_error("http.handler_failed", "%s", lua_tostring(co, -1));
        http_reply_abort(r);
    }
    bind_unref(vm, o->on_gone);
    bind_unref(vm, o->self);
}

void bind_http_reply_streamed(struct vm *vm, lua_State *co, int fn, struct http_request *r, int status,
                              const struct http_field *fields) {
    lua_State *L = vm_lua(vm);

    if (strcmp(http_method(r), "HEAD") == 0) {
        http_reply_begin(r, status, fields, NULL, NULL);
        http_reply_end(r);
        return;
    }
    lua_pushvalue(co, fn);
    lua_xmove(co, L, 1); /* fn */
    struct out *o = lua_newuserdata(L, sizeof *o);
    *o = (struct out){.vm = vm, .r = r, .on_gone = LUA_NOREF};
    luaL_getmetatable(L, OUT_TYPE);
    lua_setmetatable(L, -2);
    o->self = bind_ref(L, -1); /* fn, out */
    http_on_gone(r, on_gone, o);
    http_reply_begin(r, status, fields, on_room, o);
    if (o->gone || http_reply_write(r, "", 0) == ERR_CLOSED) { /* nobody is there to write to */
        bind_unref(vm, o->self);
        lua_pop(L, 2);
        http_reply_end(r);
        return;
    }
    vm_spawn(vm, 1, on_written, o);
}

static int out_write(lua_State *L) {
    struct out *o = luaL_checkudata(L, 1, OUT_TYPE);
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);

    if (o->gone || o->r == NULL) return push_gone(L);
    if (o->wait) return luaL_error(L, "another task is writing this reply");
    int rc = http_reply_write(o->r, text, len);
    if (rc < 0 || o->gone) return push_gone(L);
    if (rc == 0) {
        lua_pushboolean(L, true);
        return 1;
    }
    o->wait = bind_wait_begin(L);
    return bind_wait_yield(o->wait);
}

static int out_on_gone(lua_State *L) {
    struct out *o = luaL_checkudata(L, 1, OUT_TYPE);

    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (o->gone) {
        lua_pushvalue(L, 2);
        if (vm_lua(o->vm) != L) lua_xmove(L, vm_lua(o->vm), 1);
        vm_spawn(o->vm, 0, NULL, NULL);
    } else if (o->r) {
        bind_unref(o->vm, o->on_gone);
        o->on_gone = bind_ref(L, 2);
    }
    return 0;
}

void bind_http_reply_types(lua_State *L) {
    luaL_newmetatable(L, OUT_TYPE);
    lua_newtable(L);
    lua_pushcfunction(L, out_write);
    lua_setfield(L, -2, "write");
    lua_pushcfunction(L, out_on_gone);
    lua_setfield(L, -2, "on_gone");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
