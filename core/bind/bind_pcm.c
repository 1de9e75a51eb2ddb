/* SPDX-License-Identifier: Apache-2.0 */
/* core.pcm: sound in the forms in which those who hear and speak over a socket take it: G.711, and other rates than 8 kHz.
 * What a leg hears and plays is resampled on the media thread; this is for sound that is not of a leg. */
#include "base/mem.h"
#include "bind/vm.h"
#include "media/g711.h"
#include "media/resampler.h"
#include <stdlib.h>
#include <string.h>

#define RESAMPLER_TYPE "parley.resampler"
enum { BYTES_MAX = 16 * 1024 * 1024 }; /* of one piece: larger than any message that brings one */

static enum media_codec check_law(lua_State *L, int arg) {
    static const char *const laws[] = {"ulaw", "alaw", NULL};
    g711_init();
    return luaL_checkoption(L, arg, NULL, laws) == 1 ? MEDIA_ALAW : MEDIA_ULAW;
}

/* The samples at arg, aligned: the collector's. */
static const int16_t *check_pcm(lua_State *L, int arg, size_t *samples) {
    size_t len;
    const char *pcm = luaL_checklstring(L, arg, &len);

    luaL_argcheck(L, len % 2 == 0, arg, "16 bit samples");
    luaL_argcheck(L, len <= BYTES_MAX, arg, "at most 16 MiB");
    int16_t *copy = lua_newuserdata(L, len + 2);
    memcpy(copy, pcm, len);
    *samples = len / 2;
    return copy;
}

static int bind_pcm_encode(lua_State *L) {
    enum media_codec law = check_law(L, 1);
    size_t samples;
    const int16_t *pcm = check_pcm(L, 2, &samples);
    uint8_t *out = lua_newuserdata(L, samples + 1);

    g711_encode(law, out, pcm, samples);
    lua_pushlstring(L, (const char *)out, samples);
    return 1;
}

static int bind_pcm_decode(lua_State *L) {
    const int16_t *table = g711_decode_table(check_law(L, 1));
    size_t len;
    const char *bytes = luaL_checklstring(L, 2, &len);

    luaL_argcheck(L, len <= BYTES_MAX / 2, 2, "at most 8 MiB");
    int16_t *out = lua_newuserdata(L, len * 2 + 2);
    for (size_t i = 0; i < len; i++) out[i] = table[(uint8_t)bytes[i]];
    lua_pushlstring(L, (const char *)out, len * 2);
    return 1;
}

static int bind_pcm_resampler(lua_State *L) {
    int from = (int)luaL_checkinteger(L, 1), to = (int)luaL_checkinteger(L, 2);
    struct resampler **slot = lua_newuserdata(L, sizeof *slot);
    struct err e = {0};

    *slot = NULL;
    luaL_getmetatable(L, RESAMPLER_TYPE);
    lua_setmetatable(L, -2);
    return resampler_new(slot, from, to, &e) < 0 ? bind_fail(L, &e) : 1;
}

static int lua_resampler_feed(lua_State *L) {
    struct resampler *r = *(struct resampler **)luaL_checkudata(L, 1, RESAMPLER_TYPE);
    size_t samples;
    const int16_t *pcm = check_pcm(L, 2, &samples);
    int16_t *out = lua_newuserdata(L, resampler_most(r, samples) * sizeof *out);

    lua_pushlstring(L, (const char *)out, resampler_feed(r, pcm, samples, out) * sizeof *out);
    return 1;
}

static int lua_resampler_reset(lua_State *L) {
    resampler_reset(*(struct resampler **)luaL_checkudata(L, 1, RESAMPLER_TYPE));
    return 0;
}

static int lua_resampler_gc(lua_State *L) {
    struct resampler **slot = lua_touserdata(L, 1);

    if (*slot) resampler_free(*slot);
    *slot = NULL;
    return 0;
}

static const struct bind_fn functions[] = {
    {"encode", bind_pcm_encode, BIND_PLAIN, "pcm.encode(\"ulaw\" | \"alaw\", pcm) -> bytes",
     "G.711 of 16 bit little-endian samples."},
    {"decode", bind_pcm_decode, BIND_PLAIN, "pcm.decode(\"ulaw\" | \"alaw\", bytes) -> pcm",
     "16 bit little-endian samples of G.711."},
    {"resampler", bind_pcm_resampler, BIND_PLAIN, "pcm.resampler(from, to) -> resampler | nil, err",
     "8000 to 48000 Hz. resampler:feed(pcm) -> pcm, of pieces that follow each other; resampler:reset() before one "
     "that "
     "follows nothing."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_pcm(lua_State *L) {
    static const luaL_Reg methods[] = {{"feed", lua_resampler_feed}, {"reset", lua_resampler_reset}, {NULL, NULL}};

    bind_make_type(L, RESAMPLER_TYPE, methods, lua_resampler_gc);
    bind_module(L, functions);
    return 1;
}
