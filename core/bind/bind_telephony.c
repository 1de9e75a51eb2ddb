/* SPDX-License-Identifier: Apache-2.0 */
/* core.telephony: slots by name, ARI requests, and the events of a slot. lua/calls is its only user. */
#include "bind/bind_telephony.h"
#include "base/log.h"
#include "base/mem.h"
#include "bind/vm.h"
#include "telephony/leg.h"
#include <stdlib.h>
#include <string.h>

/* The functions lua/calls gave; one VM has one telephony. */
static struct handlers {
    struct vm *vm;
    int ready, lost, giving, event;
} handlers = {NULL, LUA_NOREF, LUA_NOREF, LUA_NOREF, LUA_NOREF};

struct telephony *bind_telephony_of(lua_State *L) {
    struct telephony *t = vm_services(L)->telephony;

    if (t == NULL) luaL_error(L, "this program has no telephony");
    return t;
}

struct slot *bind_check_slot(lua_State *L, int arg) {
    return telephony_slot(bind_telephony_of(L), luaL_checkstring(L, arg));
}

static int no_slot(lua_State *L) {
    return bind_fail_text(L, ERR_STALE, "this worker does not own that slot (any more)");
}

static int bind_telephony_serve(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    handlers.vm = vm_of(L);
    lua_getfield(L, 1, "on_ready");
    handlers.ready = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, 1, "on_lost");
    handlers.lost = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, 1, "on_giving");
    handlers.giving = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, 1, "on_event");
    handlers.event = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static bool push_handler(int ref) {
    return handlers.vm != NULL && bind_push_ref(handlers.vm, ref);
}

static void push_json(lua_State *L, const json_t *value) {
    struct err e = {0};

    if (bind_json_push(L, value, &e) < 0) {
        log_warn("ari.odd_json", "%s", e.text);
        lua_newtable(L);
    }
}

void bind_telephony_on_ready(void *arg, struct slot *s, bool first, const char *predecessor, const json_t *channels,
                             const json_t *bridges) {
    (void)arg;
    if (!push_handler(handlers.ready)) return;
    lua_State *L = vm_lua(handlers.vm);
    lua_pushstring(L, slot_name(s));
    lua_pushboolean(L, first);
    lua_pushstring(L, predecessor == NULL ? "" : predecessor);
    push_json(L, channels);
    push_json(L, bridges);
    vm_spawn(handlers.vm, 5, NULL, NULL);
}

void bind_telephony_on_lost(void *arg, struct slot *s, enum slot_lost why) {
    static const char *const names[] = {"given", "stolen", "expired", "disconnected"};

    (void)arg;
    if (!push_handler(handlers.lost)) return;
    lua_State *L = vm_lua(handlers.vm);
    lua_pushstring(L, slot_name(s));
    lua_pushstring(L, names[why]);
    vm_spawn(handlers.vm, 2, NULL, NULL);
}

void bind_telephony_on_giving(void *arg, struct slot *s) {
    (void)arg;
    if (!push_handler(handlers.giving)) {
        slot_flushed(s);
        return;
    }
    lua_pushstring(vm_lua(handlers.vm), slot_name(s));
    vm_spawn(handlers.vm, 1, NULL, NULL);
}

void bind_telephony_on_event(void *arg, struct slot *s, const json_t *event) {
    (void)arg;
    if (leg_event(s, event)) return;
    if (!push_handler(handlers.event)) return;
    lua_State *L = vm_lua(handlers.vm);
    lua_pushstring(L, slot_name(s));
    push_json(L, event);
    vm_spawn(handlers.vm, 2, NULL, NULL);
}

/* -- slots -------------------------------------------------------------------------------------------------------- */

static int bind_telephony_slot(lua_State *L) {
    struct slot *s = bind_check_slot(L, 1);

    if (s == NULL) return no_slot(L);
    lua_createtable(L, 0, 5);
    lua_pushstring(L, slot_name(s));
    lua_setfield(L, -2, "name");
    lua_pushstring(L, slot_node(s));
    lua_setfield(L, -2, "node");
    lua_pushstring(L, slot_app(s));
    lua_setfield(L, -2, "app");
    lua_pushnumber(L, (lua_Number)slot_fence(s));
    lua_setfield(L, -2, "fence");
    lua_pushboolean(L, slot_ready(s));
    lua_setfield(L, -2, "ready");
    return 1;
}

static int bind_telephony_pick(lua_State *L) {
    struct slot *s = telephony_pick(bind_telephony_of(L), luaL_optstring(L, 1, NULL));

    if (s == NULL) return bind_fail_text(L, ERR_BUSY, "no slot is ready; is an Asterisk node up?");
    lua_pushstring(L, slot_name(s));
    return 1;
}

static int bind_telephony_set_calls(lua_State *L) {
    struct slot *s = bind_check_slot(L, 1);

    if (s != NULL) slot_set_calls(s, luaL_checkint(L, 2));
    return 0;
}

static int bind_telephony_flushed(lua_State *L) {
    struct slot *s = bind_check_slot(L, 1);

    if (s != NULL) slot_flushed(s);
    return 0;
}

static void on_answer(void *arg, int status, const json_t *body, const struct err *e) {
    struct bind_wait *w = arg;
    lua_State *co = bind_wait_state(w);

    if (e != NULL && e->code != 0) {
        bind_wait_fail(w, e);
        return;
    }
    lua_pushinteger(co, status);
    push_json(co, body);
    bind_wait_done(w, 2);
}

static int bind_telephony_request(lua_State *L) {
    struct slot *s = bind_check_slot(L, 1);
    const char *method = luaL_checkstring(L, 2);
    const char *path = luaL_checkstring(L, 3);
    struct err e = {0};
    json_t *body = NULL;
    struct bind_wait *w;

    if (s == NULL) return no_slot(L);
    if (!lua_isnoneornil(L, 4)) {
        body = bind_json_take(L, 4, &e);
        if (body == NULL) return luaL_error(L, "%s", e.text);
    }
    w = bind_wait_begin(L);
    slot_request(s, method, path, body, on_answer, w);
    json_decref(body);
    return bind_wait_yield(w);
}

static int bind_telephony_status(lua_State *L) {
    json_t *status = telephony_status(bind_telephony_of(L));

    push_json(L, status);
    json_decref(status);
    return 1;
}

/* Deletes our own bridges and media channels in a listing that belong to no living leg. */
static int bind_telephony_sweep(lua_State *L) {
    struct slot *s = bind_check_slot(L, 1);
    const char *living[4096];
    struct err e = {0};
    json_t *channels, *bridges;
    int n;

    luaL_checktype(L, 4, LUA_TTABLE);
    if (s == NULL) return no_slot(L);
    n = (int)lua_objlen(L, 4);
    luaL_argcheck(L, n < 4096, 4, "fewer than 4096 legs");
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, 4, i + 1);
        living[i] = luaL_checkstring(L, -1); /* the table keeps it */
        lua_pop(L, 1);
    }
    living[n] = NULL;
    channels = bind_json_take(L, 2, &e);
    bridges = bind_json_take(L, 3, &e);
    if (channels != NULL && bridges != NULL) n = leg_sweep(s, channels, bridges, living);
    json_decref(channels);
    json_decref(bridges);
    lua_pushinteger(L, n);
    return 1;
}

static int bind_telephony_add_node(lua_State *L) {
    struct telephony *t = bind_telephony_of(L);
    struct telephony_node node = {0};
    struct err e = {0};

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "name");
    lua_getfield(L, 1, "ari_url");
    lua_getfield(L, 1, "user");
    lua_getfield(L, 1, "password");
    node.name = lua_tostring(L, -4);
    node.ari_url = lua_tostring(L, -3);
    node.user = lua_tostring(L, -2);
    node.password = lua_tostring(L, -1);
    if (telephony_add_node(t, &node, &e) < 0) return bind_fail(L, &e);
    lua_pushboolean(L, true);
    return 1;
}

static int bind_telephony_remove_node(lua_State *L) {
    struct err e = {0};

    if (telephony_remove_node(bind_telephony_of(L), luaL_checkstring(L, 1), &e) < 0) return bind_fail(L, &e);
    lua_pushboolean(L, true);
    return 1;
}

static const struct bind_fn functions[] = {
    {"serve", bind_telephony_serve, BIND_PLAIN, "telephony.serve{ on_ready=, on_lost=, on_giving=, on_event= }",
     "on_ready(slot, first, predecessor, channels, bridges), on_lost(slot, why), on_giving(slot), on_event(slot, "
     "event): each a task."},
    {"slot", bind_telephony_slot, BIND_PLAIN,
     "telephony.slot(name) -> { name=, node=, app=, fence=, ready= } | nil, err", ""},
    {"pick", bind_telephony_pick, BIND_PLAIN, "telephony.pick([node]) -> slot | nil, err",
     "A ready slot with few calls."},
    {"set_calls", bind_telephony_set_calls, BIND_PLAIN, "telephony.set_calls(slot, n)", ""},
    {"flushed", bind_telephony_flushed, BIND_PLAIN, "telephony.flushed(slot)",
     "The calls' records are complete; the successor may begin."},
    {"request", bind_telephony_request, BIND_YIELDS,
     "telephony.request(slot, method, path [, body]) -> status, body | nil, err", "ARI over the slot's socket."},
    {"status", bind_telephony_status, BIND_PLAIN,
     "telephony.status() -> { { slot=, owner=, mine=, state=, calls=, leaving= } }", ""},
    {"add_node", bind_telephony_add_node, BIND_PLAIN,
     "telephony.add_node{ name=, ari_url=, user=, password= } -> true | nil, err",
     "err.code exists: it is there, and not leaving."},
    {"remove_node", bind_telephony_remove_node, BIND_PLAIN, "telephony.remove_node(name) -> true | nil, err",
     "No new calls; each slot is released after its last one."},
    {"sweep", bind_telephony_sweep, BIND_PLAIN, "telephony.sweep(slot, channels, bridges, living legs) -> how many",
     "Removes what no living leg owns."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_telephony(lua_State *L) {
    bind_module(L, functions);
    return 1;
}
