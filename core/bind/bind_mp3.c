/* SPDX-License-Identifier: Apache-2.0 */
/* core.mp3: sound as MP3, made on the pool: the loop has calls to serve. */
#include "base/mem.h"
#include "bind/vm.h"
#include "io/work.h"
#include "media/mp3.h"
#include <stdlib.h>
#include <string.h>

#define ENCODER_TYPE "parley.mp3"
enum { BYTES_MAX = 4 * 1024 * 1024 }; /* of one piece: two minutes of 8 kHz */

struct encoder {
    struct mp3 *mp3;
    bool busy;  /* on the pool */
    bool ended; /* flushed, or failed */
    bool dead;  /* collected meanwhile: who comes back from the pool frees it */
};

struct encode_job {
    struct bind_wait *wait;
    struct encoder *encoder;
    int16_t *pcm; /* ours; NULL: the end */
    size_t frames;
    struct buf out;
    struct err e;
    int rc;
};

static void encoder_free(struct encoder *n) {
    mp3_free(n->mp3);
    free(n);
}

static int bind_mp3_encoder(lua_State *L) {
    int rate = (int)luaL_checkinteger(L, 1), kbps = (int)luaL_checkinteger(L, 2);
    struct encoder **slot = lua_newuserdata(L, sizeof *slot);
    struct mp3 *mp3 = NULL;
    struct err e = {0};

    *slot = NULL;
    luaL_getmetatable(L, ENCODER_TYPE);
    lua_setmetatable(L, -2);
    if (mp3_new(&mp3, rate, kbps, &e) < 0) return bind_fail(L, &e);
    *slot = mem_alloc(sizeof **slot);
    (*slot)->mp3 = mp3;
    return 1;
}

static void encode_work(void *arg) {
    struct encode_job *j = arg;

    j->rc = j->pcm != NULL ? mp3_feed(j->encoder->mp3, j->pcm, j->frames, &j->out, &j->e)
                           : mp3_end(j->encoder->mp3, &j->out, &j->e);
}

static void job_free(struct encode_job *j) {
    buf_free(&j->out);
    free(j->pcm);
    free(j);
}

static void on_encoded(void *arg) {
    struct encode_job *j = arg;
    struct bind_wait *w = j->wait;
    struct encoder *n = j->encoder;
    struct err e = j->e;
    int rc = j->rc;

    n->busy = false;
    if (rc < 0 || j->pcm == NULL) n->ended = true;
    if (n->dead) encoder_free(n);
    if (rc == 0) lua_pushlstring(bind_wait_state(w), j->out.data == NULL ? "" : j->out.data, j->out.len);
    job_free(j);
    if (rc < 0)
        bind_wait_fail(w, &e);
    else
        bind_wait_done(w, 1);
}

static int encode(lua_State *L, struct encoder *n, const char *pcm, size_t len) {
    struct work_queue *pool = vm_services(L)->encoding;
    struct err e = {0};

    if (pool == NULL) return luaL_error(L, "an encoder needs a pool, which this program has not");
    if (n->busy) return bind_fail_text(L, ERR_BUSY, "the encoder is at the piece before");
    if (n->ended) return bind_fail_text(L, ERR_CLOSED, "the encoder has ended");
    struct bind_wait *w = bind_wait_begin(L);
    struct encode_job *j = mem_alloc(sizeof *j);
    j->wait = w;
    j->encoder = n;
    j->pcm = pcm != NULL ? mem_dup(pcm, len) : NULL;
    j->frames = len / 4;
    n->busy = true;
    if (work_submit(pool, encode_work, on_encoded, j, &e) < 0) {
        n->busy = false;
        job_free(j);
        bind_wait_fail(w, &e);
    }
    return bind_wait_yield(w);
}

static struct encoder *check_encoder(lua_State *L) {
    return *(struct encoder **)luaL_checkudata(L, 1, ENCODER_TYPE);
}

static int lua_encoder_feed(lua_State *L) {
    struct encoder *n = check_encoder(L);
    size_t len;
    const char *pcm = luaL_checklstring(L, 2, &len);

    luaL_argcheck(L, len % 4 == 0, 2, "16 bit samples of two channels");
    luaL_argcheck(L, len <= BYTES_MAX, 2, "at most 4 MiB");
    if (len == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    return encode(L, n, pcm, len);
}

static int lua_encoder_finish(lua_State *L) {
    return encode(L, check_encoder(L), NULL, 0);
}

static int lua_encoder_gc(lua_State *L) {
    struct encoder **slot = luaL_checkudata(L, 1, ENCODER_TYPE);

    if (*slot == NULL) return 0;
    if ((*slot)->busy)
        (*slot)->dead = true;
    else
        encoder_free(*slot);
    *slot = NULL;
    return 0;
}

static const struct bind_fn functions[] = {
    {"encoder", bind_mp3_encoder, BIND_PLAIN, "mp3.encoder(rate, kbps) -> encoder | nil, err",
     "Of two channels. encoder:feed(pcm) -> bytes | nil, err and encoder:finish() -> bytes | nil, err wait for the "
     "pool; err.code is busy "
     "when its queue is full, and the piece may be given again."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_mp3(lua_State *L) {
    static const luaL_Reg methods[] = {{"feed", lua_encoder_feed}, {"finish", lua_encoder_finish}, {NULL, NULL}};

    bind_make_type(L, ENCODER_TYPE, methods, lua_encoder_gc);
    bind_module(L, functions);
    return 1;
}
