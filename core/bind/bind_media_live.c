/* SPDX-License-Identifier: Apache-2.0 */
/* core.media for conversations: hearing what a party says while it says it, and speaking while the sound is still being made.
 *
 *   leg:listen{ rate=, batch_ms=, keep_ms=, on_audio= } -> listener | nil, err     listener:close()
 *     on_audio(pcm, position, dropped): 16 bit little-endian; position of its first sample since listening began, in samples at
 *     `rate`; dropped: frames of 20 ms missing before it. It ends with the leg.
 *   leg:play_begin(id [, { rate=, prebuffer_ms= }])   leg:play_append(id, pcm) -> waiting_ms   leg:play_end(id)
 *     ends with "played" or "stopped" as other plays do: on_media(kind, id, sent_ms, underruns, starved_ms); before that comes
 *     on_media("begun", id, ms): its first sample went out to the party so many ms ago
 *   leg:play_state(id) -> { sent_ms=, waiting_ms=, starved_ms=, underruns= }
 *   leg:duck([db [, ramp_ms]])   -12 dB in 60 ms unless said otherwise; 0 is loud again
 */
#include "base/mem.h"
#include "bind/bind_media.h"
#include "bind/vm.h"
#include "media/media.h"
#include <stdlib.h>

#define LISTENER_TYPE "parley.listener"

enum { DUCK_DB = -12, DUCK_RAMP_MS = 60 };

static int integer_field(lua_State *L, int table, const char *name) {
    lua_getfield(L, table, name);
    lua_Integer value = luaL_optinteger(L, -1, 0);
    lua_pop(L, 1);
    luaL_argcheck(L, value >= 0 && value <= 1000000, table, name);
    return (int)value;
}

/* -- listeners ------------------------------------------------------------------------------------------------------- */

struct bound_listener {
    struct media_listener *listener; /* NULL: closed */
    struct vm *vm;
    int on_audio;
    int self; /* registry reference while open */
};

static void on_audio(void *arg, const struct media_heard *heard) {
    struct bound_listener *b = arg;
    lua_State *L = vm_lua(b->vm);

    if (!bind_push_ref(b->vm, b->on_audio)) return;
    lua_pushlstring(L, (const char *)heard->pcm, heard->samples * sizeof *heard->pcm);
    lua_pushnumber(L, (lua_Number)heard->position);
    lua_pushnumber(L, (lua_Number)heard->dropped);
    vm_spawn(b->vm, 3, NULL, NULL);
}

static void on_closed(void *arg) {
    struct bound_listener *b = arg;

    b->listener = NULL;
    bind_unref(b->vm, b->on_audio);
    b->on_audio = LUA_NOREF;
    bind_unref(b->vm, b->self);
    b->self = LUA_NOREF;
}

int bind_leg_listen(lua_State *L) {
    struct media_listen_opts o = {.on_audio = on_audio, .on_closed = on_closed};
    struct bound_listener *b, **place;
    struct media_stream *s;
    struct err e = {0};

    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    o.rate = integer_field(L, 2, "rate");
    o.batch_ms = integer_field(L, 2, "batch_ms");
    o.keep_ms = integer_field(L, 2, "keep_ms");
    lua_getfield(L, 2, "on_audio"); /* 3 */
    luaL_checktype(L, 3, LUA_TFUNCTION);
    s = bind_check_stream(L, 1);
    if (s == NULL) return 2;
    place = lua_newuserdata(L, sizeof *place); /* 4 */
    *place = NULL;
    luaL_getmetatable(L, LISTENER_TYPE);
    lua_setmetatable(L, 4);
    b = mem_alloc(sizeof *b);
    *place = b;
    b->vm = vm_of(L);
    o.arg = b;
    if (media_listen(&b->listener, s, &o, &e) < 0) return bind_fail(L, &e);
    b->on_audio = bind_ref(L, 3);
    b->self = bind_ref(L, 4);
    lua_settop(L, 4);
    return 1;
}

static int listener_lua_close(lua_State *L) {
    struct bound_listener **slot = luaL_checkudata(L, 1, LISTENER_TYPE);

    if (*slot == NULL || (*slot)->listener == NULL) return 0;
    media_listener_close((*slot)->listener);
    on_closed(*slot);
    return 0;
}

static int listener_gc(lua_State *L) { /* an open one is referenced from the registry */
    struct bound_listener **slot = lua_touserdata(L, 1);

    free(*slot);
    *slot = NULL;
    return 0;
}

/* -- plays that come in pieces --------------------------------------------------------------------------------------- */

int bind_leg_play_begin(lua_State *L) {
    uint64_t id = (uint64_t)luaL_checknumber(L, 2);
    struct media_play_opts o = {0};
    struct media_stream *s;
    struct err e = {0};

    if (!lua_isnoneornil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        o.rate = integer_field(L, 3, "rate");
        o.prebuffer_ms = integer_field(L, 3, "prebuffer_ms");
    }
    s = bind_check_stream(L, 1);
    if (s == NULL) return 2;
    if (media_play_begin(s, id, &o, &e) < 0) return bind_fail(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

int bind_leg_play_append(lua_State *L) {
    uint64_t id = (uint64_t)luaL_checknumber(L, 2);
    size_t len;
    const char *pcm = luaL_checklstring(L, 3, &len);
    struct media_stream *s = bind_check_stream(L, 1);
    struct media_play_state now;
    struct err e = {0};

    if (s == NULL) return 2;
    if (media_play_append(s, id, pcm, len, &e) < 0 || media_play_state(s, id, &now, &e) < 0) return bind_fail(L, &e);
    lua_pushnumber(L, now.waiting_ms);
    return 1;
}

int bind_leg_play_end(lua_State *L) {
    uint64_t id = (uint64_t)luaL_checknumber(L, 2);
    struct media_stream *s = bind_check_stream(L, 1);
    struct err e = {0};

    if (s == NULL) return 2;
    if (media_play_end(s, id, &e) < 0) return bind_fail(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

int bind_leg_play_state(lua_State *L) {
    uint64_t id = (uint64_t)luaL_checknumber(L, 2);
    struct media_stream *s = bind_check_stream(L, 1);
    struct media_play_state now;
    struct err e = {0};

    if (s == NULL) return 2;
    if (media_play_state(s, id, &now, &e) < 0) return bind_fail(L, &e);
    lua_createtable(L, 0, 4);
    lua_pushnumber(L, now.sent_ms);
    lua_setfield(L, -2, "sent_ms");
    lua_pushnumber(L, now.waiting_ms);
    lua_setfield(L, -2, "waiting_ms");
    lua_pushnumber(L, now.starved_ms);
    lua_setfield(L, -2, "starved_ms");
    lua_pushnumber(L, now.underruns);
    lua_setfield(L, -2, "underruns");
    return 1;
}

int bind_leg_duck(lua_State *L) {
    lua_Number db = luaL_optnumber(L, 2, DUCK_DB), ramp_ms = luaL_optnumber(L, 3, DUCK_RAMP_MS);
    luaL_argcheck(L, db <= 0 && db >= -60, 2, "decibels, -60 to 0");
    luaL_argcheck(L, ramp_ms >= 5 && ramp_ms <= 5000, 3, "milliseconds, 5 to 5000");
    struct media_stream *s = bind_check_stream(L, 1);

    if (s == NULL) return 2;
    media_duck(s, (int)db, (int)ramp_ms);
    lua_pushboolean(L, 1);
    return 1;
}

void bind_open_media_live(lua_State *L) {
    static const luaL_Reg listener[] = {{"close", listener_lua_close}, {NULL, NULL}};

    bind_make_type(L, LISTENER_TYPE, listener, listener_gc);
}
