/* SPDX-License-Identifier: Apache-2.0 */
/* core.media: legs, audio and recorders as userdata. Each owns its C object until close() or collection. */
#include "bind/bind_media.h"
#include "base/log.h"
#include "base/mem.h"
#include "bind/bind_telephony.h"
#include "bind/vm.h"
#include "telephony/leg.h"
#include <stdlib.h>
#include <string.h>

#define LEG_TYPE      "parley.leg"
#define AUDIO_TYPE    "parley.audio"
#define RECORDER_TYPE "parley.recorder"

/* -- audio ----------------------------------------------------------------------------------------------------------- */

static int push_audio(lua_State *L, struct media_audio *a) {
    struct media_audio **slot = lua_newuserdata(L, sizeof *slot);

    *slot = a;
    luaL_getmetatable(L, AUDIO_TYPE);
    lua_setmetatable(L, -2);
    return 1;
}

static int bind_media_wav(lua_State *L) {
    size_t len;
    const char *wav = luaL_checklstring(L, 1, &len);
    struct media_audio *a;
    struct err e = {0};

    if (media_audio_from_wav(&a, wav, len, &e) < 0) return bind_fail(L, &e);
    return push_audio(L, a);
}

static int bind_media_pcm(lua_State *L) {
    size_t len;
    const char *pcm = luaL_checklstring(L, 1, &len);
    int16_t *copy;
    struct media_audio *a;

    luaL_argcheck(L, len % 2 == 0, 1, "16 bit samples");
    copy = mem_dup(pcm, len + 2); /* aligned */
    a = media_audio_new(copy, len / 2);
    free(copy);
    return push_audio(L, a);
}

static int audio_seconds(lua_State *L) {
    struct media_audio **a = luaL_checkudata(L, 1, AUDIO_TYPE);

    lua_pushnumber(L, (lua_Number)media_audio_samples(*a) / 8000);
    return 1;
}

static int audio_pcm(lua_State *L) {
    struct media_audio **a = luaL_checkudata(L, 1, AUDIO_TYPE);

    lua_pushlstring(L, (const char *)media_audio_pcm(*a), media_audio_samples(*a) * 2);
    return 1;
}

static int audio_gc(lua_State *L) {
    struct media_audio **a = lua_touserdata(L, 1);

    if (*a != NULL) media_audio_unref(*a);
    *a = NULL;
    return 0;
}

/* -- legs ------------------------------------------------------------------------------------------------------------- */

struct bound_leg {
    struct leg *leg; /* NULL: closed */
    struct vm *vm;
    struct bind_wait *opening; /* NULL once ready or failed */
    int on_media;
    int self; /* registry reference while open: events need it */
};

static struct bound_leg *check_leg(lua_State *L, int arg) {
    struct bound_leg **slot = luaL_checkudata(L, arg, LEG_TYPE);

    return *slot;
}

/* The stream, or NULL with nil, err pushed. */
static struct media_stream *check_stream(lua_State *L, int arg) {
    struct bound_leg *b = check_leg(L, arg);
    struct media_stream *s = b == NULL || b->leg == NULL ? NULL : leg_stream(b->leg);

    if (s == NULL) bind_fail_text(L, ERR_CLOSED, "the leg is closed");
    return s;
}

struct media_stream *bind_check_stream(lua_State *L, int arg) {
    return check_stream(L, arg);
}

static void on_leg_media(void *arg, const struct media_event *ev) {
    static const char *const names[] = {"heard", "silent", "played", "stopped", "speech", "quiet", "begun"};
    struct bound_leg *b = arg;
    lua_State *L = vm_lua(b->vm);

    if (!bind_push_ref(b->vm, b->on_media)) return;
    lua_pushstring(L, names[ev->type]);
    lua_pushnumber(L, (lua_Number)ev->id);
    lua_pushnumber(L, (lua_Number)ev->position);
    lua_pushnumber(L, ev->underruns);
    lua_pushnumber(L, ev->starved_ms);
    vm_spawn(b->vm, 5, NULL, NULL);
}

static void leg_end(struct bound_leg *b, bool keep) {
    if (b->leg != NULL) leg_close(b->leg, keep);
    b->leg = NULL;
    bind_unref(b->vm, b->on_media);
    b->on_media = LUA_NOREF;
    bind_unref(b->vm, b->self);
    b->self = LUA_NOREF;
}

static void on_leg_ready(void *arg, const struct err *e) {
    struct bound_leg *b = arg;
    struct bind_wait *w = b->opening;
    lua_State *co;

    b->opening = NULL;
    if (w == NULL) return;
    co = bind_wait_state(w);
    if (e != NULL && e->code != 0) {
        struct err copy = *e;
        leg_end(b, false);
        bind_wait_fail(w, &copy);
        return;
    }
    lua_rawgeti(co, LUA_REGISTRYINDEX, b->self);
    bind_wait_done(w, 1);
}

static int bind_media_leg(lua_State *L) {
    struct slot *slot = bind_check_slot(L, 1);
    struct leg_opts o = {0};
    struct bound_leg *b, **place;
    struct bind_wait *w;

    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    if (slot == NULL) return bind_fail_text(L, ERR_STALE, "this worker does not own that slot (any more)");
    lua_getfield(L, 2, "id"); /* 3 */
    o.id = luaL_checkstring(L, -1);
    lua_getfield(L, 2, "channel"); /* 4 */
    o.channel = luaL_checkstring(L, -1);
    lua_getfield(L, 2, "codec"); /* 5 */
    o.codec = strcmp(luaL_optstring(L, -1, "ulaw"), "alaw") == 0 ? MEDIA_ALAW : MEDIA_ULAW;
    lua_getfield(L, 2, "on_media");            /* 6 */
    place = lua_newuserdata(L, sizeof *place); /* 7 */
    *place = NULL;
    luaL_getmetatable(L, LEG_TYPE);
    lua_setmetatable(L, 7);
    w = bind_wait_begin(L);
    b = mem_alloc(sizeof *b);
    *place = b;
    b->vm = vm_of(L);
    b->opening = w;
    b->on_media = bind_ref(L, 6);
    b->self = bind_ref(L, 7);
    o.on_ready = on_leg_ready;
    o.on_media = on_leg_media;
    o.arg = b;
    b->leg = leg_open(slot, &o);
    return bind_wait_yield(w);
}

static int leg_lua_close(lua_State *L) {
    struct bound_leg *b = check_leg(L, 1);

    if (b == NULL || b->leg == NULL) return 0;
    if (b->opening != NULL) {
        struct bind_wait *w = b->opening;
        struct err e;
        b->opening = NULL;
        err_set(&e, ERR_CANCELLED, "the leg was closed while it was opening");
        leg_end(b, lua_toboolean(L, 2));
        bind_wait_fail(w, &e);
        return 0;
    }
    leg_end(b, lua_toboolean(L, 2));
    return 0;
}

static int leg_lua_linger(lua_State *L) {
    struct bound_leg *b = check_leg(L, 1);

    if (b != NULL && b->leg != NULL && b->opening == NULL) leg_linger(b->leg);
    return 0;
}

static int leg_gc(lua_State *L) { /* an open leg is referenced from the registry, so only closed ones come here */
    struct bound_leg **slot = lua_touserdata(L, 1);

    free(*slot);
    *slot = NULL;
    return 0;
}

static int leg_play(lua_State *L) {
    struct media_stream *s = check_stream(L, 1);
    lua_Number id = luaL_checknumber(L, 2);
    struct media_audio **a = luaL_checkudata(L, 3, AUDIO_TYPE);
    struct err e = {0};

    if (s == NULL) return 2;
    if (media_play(s, (uint64_t)id, *a, lua_toboolean(L, 4), &e) < 0) return bind_fail(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

static int leg_stop(lua_State *L) {
    struct media_stream *s = check_stream(L, 1);

    if (s == NULL) return 2;
    media_stop(s, (uint64_t)luaL_optnumber(L, 2, 0));
    lua_pushboolean(L, 1);
    return 1;
}

static int leg_join(lua_State *L) {
    struct media_stream *a = check_stream(L, 1);
    if (a == NULL) return 2;
    struct media_stream *b = check_stream(L, 2);
    struct err e = {0};

    if (b == NULL) return 2;
    if (media_join(a, b, &e) < 0) return bind_fail(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

static int leg_unjoin(lua_State *L) {
    struct bound_leg *a = check_leg(L, 1), *b = check_leg(L, 2);

    if (a != NULL && b != NULL && a->leg != NULL && b->leg != NULL && leg_stream(a->leg) != NULL &&
        leg_stream(b->leg) != NULL)
        media_unjoin(leg_stream(a->leg), leg_stream(b->leg));
    return 0;
}

static int leg_mute(lua_State *L) {
    struct media_stream *s = check_stream(L, 1);

    if (s == NULL) return 2;
    media_mute(s, lua_toboolean(L, 2));
    return 0;
}

static int leg_pressed(lua_State *L) {
    struct media_stream *s = check_stream(L, 1);

    if (s == NULL) return 2;
    media_key(s);
    return 0;
}

static int leg_stats(lua_State *L) {
    struct media_stream *s = check_stream(L, 1);
    struct media_stats st;

    if (s == NULL) return 2;
    media_stream_stats(s, &st);
    const struct {
        const char *name;
        lua_Number value;
    } fields[] = {
        {"received", (lua_Number)st.received},
        {"sent", (lua_Number)st.sent},
        {"lost", (lua_Number)st.lost},
        {"late", (lua_Number)st.late},
        {"duplicated", (lua_Number)st.duplicated},
        {"reordered", (lua_Number)st.reordered},
        {"concealed_ms", st.concealed_ms},
        {"jitter_ms", (lua_Number)st.jitter_us / 1000},
        {"delay_ms", st.delay_ms},
        {"mos", st.mos},
    };
    lua_createtable(L, 0, sizeof fields / sizeof *fields);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        lua_pushnumber(L, fields[i].value);
        lua_setfield(L, -2, fields[i].name);
    }
    return 1;
}

/* -- recorders ---------------------------------------------------------------------------------------------------------- */

struct bound_recorder {
    struct media_recorder *recorder; /* NULL: closed */
    struct vm *vm;
    int on_audio, self;
};

static void on_audio(void *arg, const int16_t *pcm, size_t samples, unsigned lost) {
    struct bound_recorder *b = arg;
    lua_State *L = vm_lua(b->vm);

    if (!bind_push_ref(b->vm, b->on_audio)) return;
    lua_pushlstring(L, (const char *)pcm, samples * 2 * sizeof *pcm);
    lua_pushinteger(L, (lua_Integer)lost);
    vm_spawn(b->vm, 2, NULL, NULL);
}

static enum media_source read_source(lua_State *L, const char *field) {
    const char *text;

    lua_getfield(L, 1, field);
    text = luaL_optstring(L, -1, "says");
    lua_pop(L, 1);
    return strcmp(text, "hears") == 0 ? MEDIA_HEARS : MEDIA_SAYS;
}

static int bind_media_recorder(lua_State *L) {
    struct media *m = vm_services(L)->media;
    struct media_recorder_opts o = {0};
    struct bound_recorder *b, **place;
    struct err e = {0};

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (m == NULL) return luaL_error(L, "this program has no media");
    lua_getfield(L, 1, "left"); /* 2 */
    o.left = check_stream(L, 2);
    if (o.left == NULL) return 2;
    lua_getfield(L, 1, "right"); /* 3 */
    if (!lua_isnil(L, 3) && (o.right = check_stream(L, 3)) == NULL) return 2;
    o.left_source = read_source(L, "left_source");
    o.right_source = read_source(L, "right_source");
    lua_getfield(L, 1, "on_audio"); /* 4 */
    luaL_checktype(L, 4, LUA_TFUNCTION);
    place = lua_newuserdata(L, sizeof *place); /* 5 */
    *place = NULL;
    luaL_getmetatable(L, RECORDER_TYPE);
    lua_setmetatable(L, 5);
    b = mem_alloc(sizeof *b);
    b->vm = vm_of(L);
    o.on_audio = on_audio;
    o.arg = b;
    if (media_recorder_open(&b->recorder, m, &o, &e) < 0) {
        free(b);
        return bind_fail(L, &e);
    }
    *place = b;
    b->on_audio = bind_ref(L, 4);
    b->self = bind_ref(L, 5);
    return 1;
}

static int recorder_lua_close(lua_State *L) {
    struct bound_recorder **slot = luaL_checkudata(L, 1, RECORDER_TYPE);
    struct bound_recorder *b = *slot;

    if (b == NULL || b->recorder == NULL) return 0;
    media_recorder_close(b->recorder, lua_isnoneornil(L, 2) || lua_toboolean(L, 2));
    b->recorder = NULL;
    bind_unref(b->vm, b->on_audio);
    b->on_audio = LUA_NOREF;
    bind_unref(b->vm, b->self);
    return 0;
}

static int recorder_set(lua_State *L) {
    struct bound_recorder **slot = luaL_checkudata(L, 1, RECORDER_TYPE);
    struct media_stream *left = check_stream(L, 2), *right = NULL;

    if (left == NULL) return 2;
    if (!lua_isnoneornil(L, 3) && (right = check_stream(L, 3)) == NULL) return 2;
    if (*slot != NULL && (*slot)->recorder != NULL) media_recorder_set((*slot)->recorder, left, right);
    return 0;
}

static int recorder_gc(lua_State *L) {
    struct bound_recorder **slot = lua_touserdata(L, 1);

    free(*slot);
    *slot = NULL;
    return 0;
}

/* -- the module ----------------------------------------------------------------------------------------------------------- */

static const struct bind_fn functions[] = {
    {"wav", bind_media_wav, BIND_PLAIN, "media.wav(bytes) -> audio | nil, err",
     "PCM 16 bit, 8 to 48 kHz; resampled to 8 kHz mono."},
    {"pcm", bind_media_pcm, BIND_PLAIN, "media.pcm(bytes) -> audio", "16 bit little-endian mono 8 kHz."},
    {"leg", bind_media_leg, BIND_YIELDS, "media.leg(slot, { id=, channel=, codec=, on_media= }) -> leg | nil, err",
     "Gives a SIP channel its bridge and media; on_media(kind, id, position, underruns, starved_ms) are heard silent "
     "played stopped speech quiet begun; begun and the last two of a play that came in pieces (bind_media_live.c)."},
    {"recorder", bind_media_recorder, BIND_PLAIN,
     "media.recorder{ left=, right=, left_source=, right_source=, on_audio= } -> recorder | nil, err",
     "Two channels; a source is \"says\" or \"hears\"; on_audio(pcm, lost) about twice a second."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_media(lua_State *L) {
    static const luaL_Reg audio[] = {{"seconds", audio_seconds}, {"pcm", audio_pcm}, {NULL, NULL}};
    static const luaL_Reg leg[] = {{"close", leg_lua_close},
                                   {"linger", leg_lua_linger},
                                   {"play", leg_play},
                                   {"stop", leg_stop},
                                   {"join", leg_join},
                                   {"unjoin", leg_unjoin},
                                   {"mute", leg_mute},
                                   {"pressed", leg_pressed},
                                   {"stats", leg_stats},
                                   {"listen", bind_leg_listen},
                                   {"play_begin", bind_leg_play_begin},
                                   {"play_append", bind_leg_play_append},
                                   {"play_end", bind_leg_play_end},
                                   {"play_state", bind_leg_play_state},
                                   {"duck", bind_leg_duck},
                                   {NULL, NULL}};
    static const luaL_Reg recorder[] = {{"close", recorder_lua_close}, {"set", recorder_set}, {NULL, NULL}};

    bind_make_type(L, AUDIO_TYPE, audio, audio_gc);
    bind_make_type(L, LEG_TYPE, leg, leg_gc);
    bind_make_type(L, RECORDER_TYPE, recorder, recorder_gc);
    bind_open_media_live(L);
    bind_module(L, functions);
    return 1;
}
