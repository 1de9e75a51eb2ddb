/* SPDX-License-Identifier: Apache-2.0 */
/* core.crypto: keys are 32 byte strings; what fails because of the bytes returns nil, err; a wrong argument raises. */
#include "base/clock.h"
#include "base/mem.h"
#include "bind/vm.h"
#include "crypto/crypto.h"
#include "crypto/jwt.h"
#include "crypto/password.h"
#include "io/work.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t *check_key(lua_State *L, int arg) {
    size_t len;
    const char *key = luaL_checklstring(L, arg, &len);

    luaL_argcheck(L, len == CRYPTO_KEY, arg, "a key of 32 bytes");
    return (const uint8_t *)key;
}

static int push_buf(lua_State *L, struct buf *b) {
    lua_pushlstring(L, b->data == NULL ? "" : b->data, b->len);
    buf_free(b);
    return 1;
}

static int bind_crypto_random(lua_State *L) {
    int n = luaL_checkint(L, 1);
    char bytes[1024];

    luaL_argcheck(L, n >= 1 && n <= (int)sizeof bytes, 1, "1 to 1024");
    crypto_random(bytes, (size_t)n);
    lua_pushlstring(L, bytes, (size_t)n);
    return 1;
}

static int bind_crypto_sha256(lua_State *L) {
    size_t len;
    const char *data = luaL_checklstring(L, 1, &len);
    uint8_t sum[CRYPTO_SHA256];

    crypto_sha256(data, len, sum);
    lua_pushlstring(L, (char *)sum, sizeof sum);
    return 1;
}

static int bind_crypto_hmac(lua_State *L) {
    size_t key_len, len;
    const char *key = luaL_checklstring(L, 1, &key_len);
    const char *data = luaL_checklstring(L, 2, &len);
    uint8_t sum[CRYPTO_SHA256];

    crypto_hmac_sha256(key, key_len, data, len, sum);
    lua_pushlstring(L, (char *)sum, sizeof sum);
    return 1;
}

static int bind_crypto_seal(lua_State *L) {
    const uint8_t *key = check_key(L, 1);
    size_t len, aad_len, nonce_len;
    const char *text = luaL_checklstring(L, 2, &len);
    const char *aad = luaL_optlstring(L, 3, "", &aad_len);
    const char *nonce = luaL_optlstring(L, 4, NULL, &nonce_len);
    struct buf out = {0};

    luaL_argcheck(L, nonce == NULL || nonce_len == CRYPTO_NONCE, 4, "a nonce of 12 bytes");
    crypto_seal(key, (const uint8_t *)nonce, text, len, aad, aad_len, &out);
    return push_buf(L, &out);
}

static int bind_crypto_open(lua_State *L) {
    const uint8_t *key = check_key(L, 1);
    size_t len, aad_len;
    const char *sealed = luaL_checklstring(L, 2, &len);
    const char *aad = luaL_optlstring(L, 3, "", &aad_len);
    struct buf out = {0};
    struct err e = {0};

    if (crypto_open(key, sealed, len, aad, aad_len, &out, &e) < 0) {
        buf_free(&out);
        return bind_fail(L, &e);
    }
    return push_buf(L, &out);
}

static int bind_crypto_derive(lua_State *L) {
    const uint8_t *key = check_key(L, 1);
    uint8_t out[CRYPTO_KEY];

    crypto_derive(key, luaL_checkstring(L, 2), out);
    lua_pushlstring(L, (char *)out, sizeof out);
    return 1;
}

static int encode(lua_State *L, void (*fn)(const void *, size_t, struct buf *)) {
    size_t len;
    const char *data = luaL_checklstring(L, 1, &len);
    struct buf out = {0};

    fn(data, len, &out);
    return push_buf(L, &out);
}

static int decode(lua_State *L, int (*fn)(const char *, size_t, struct buf *), const char *what) {
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct buf out = {0};

    if (fn(text, len, &out) < 0) {
        buf_free(&out);
        return bind_fail_text(L, ERR_INVALID, what);
    }
    return push_buf(L, &out);
}

static int bind_crypto_hex(lua_State *L) {
    return encode(L, crypto_hex);
}
static int bind_crypto_b64url(lua_State *L) {
    return encode(L, crypto_b64url);
}
static int bind_crypto_b64(lua_State *L) {
    return encode(L, crypto_b64);
}
static int bind_crypto_unhex(lua_State *L) {
    return decode(L, crypto_unhex, "not hexadecimal");
}
static int bind_crypto_unb64url(lua_State *L) {
    return decode(L, crypto_unb64url, "not base64url");
}
static int bind_crypto_unb64(lua_State *L) {
    return decode(L, crypto_unb64, "not base64");
}

static int bind_crypto_equal(lua_State *L) {
    size_t a_len, b_len;
    const char *a = luaL_checklstring(L, 1, &a_len);
    const char *b = luaL_checklstring(L, 2, &b_len);

    lua_pushboolean(L, a_len == b_len && crypto_equal(a, b, a_len));
    return 1;
}

static int bind_crypto_jwt_sign(lua_State *L) {
    const uint8_t *key = check_key(L, 1);
    const char *kid = luaL_checkstring(L, 2);
    size_t len;
    const char *claims = luaL_checklstring(L, 3, &len);
    struct buf out = {0};
    struct err e = {0};

    if (jwt_sign(key, kid, claims, len, &out, &e) < 0) {
        buf_free(&out);
        return bind_fail(L, &e);
    }
    return push_buf(L, &out);
}

static int bind_crypto_jwt_verify(lua_State *L) {
    const uint8_t *key = check_key(L, 1);
    size_t len;
    const char *token = luaL_checklstring(L, 2, &len);
    int64_t now_s = (int64_t)luaL_optnumber(L, 3, (lua_Number)(clock_wall_us() / 1000000));
    struct buf out = {0};
    struct err e = {0};

    if (jwt_verify(key, token, len, now_s, &out, &e) < 0) {
        buf_free(&out);
        return bind_fail(L, &e);
    }
    return push_buf(L, &out);
}

/* -- passwords: pool work, bounded ------------------------------------------------------------------------- */

struct password_job {
    struct bind_wait *wait;
    char *password;
    size_t len;
    char *hash; /* NULL: make one, or the standing dummy */
    bool verify, right;
    char out[PASSWORD_HASH_MAX];
    struct err e;
    int rc;
};

static void password_work(void *arg) {
    struct password_job *j = arg;

    if (j->verify)
        j->right = password_verify(j->password, j->len, j->hash);
    else
        j->rc = password_hash(j->password, j->len, j->out, &j->e);
}

static void password_free(struct password_job *j) {
    OPENSSL_cleanse(j->password, j->len);
    free(j->password);
    free(j->hash);
    free(j);
}

static void on_password(void *arg) {
    struct password_job *j = arg;
    struct bind_wait *w = j->wait;
    lua_State *co = bind_wait_state(w);
    int n = 1;

    if (j->verify)
        lua_pushboolean(co, j->right);
    else if (j->rc < 0)
        n = bind_fail(co, &j->e);
    else
        lua_pushstring(co, j->out);
    password_free(j);
    bind_wait_done(w, n);
}

static int password_start(lua_State *L, bool verify) {
    size_t len;
    const char *password = luaL_checklstring(L, 1, &len);
    const char *hash = luaL_optstring(L, 2, NULL);
    struct vm_services *s = vm_services(L);
    struct password_job *j;
    struct err e = {0};

    if (s->passwords == NULL) return luaL_error(L, "passwords need a pool, which this program has not");
    struct bind_wait *w = bind_wait_begin(L);
    j = mem_alloc(sizeof *j);
    j->wait = w;
    j->password = mem_dup(password, len + 1);
    j->len = len;
    j->hash = mem_strdup(hash);
    j->verify = verify;
    if (work_submit(s->passwords, password_work, on_password, j, &e) < 0) {
        password_free(j);
        bind_wait_fail(w, &e);
    }
    return bind_wait_yield(w);
}

static int bind_crypto_password_hash(lua_State *L) {
    return password_start(L, false);
}
static int bind_crypto_password_verify(lua_State *L) {
    return password_start(L, true);
}

static const struct bind_fn functions[] = {
    {"random", bind_crypto_random, BIND_PLAIN, "crypto.random(n) -> bytes", "1 to 1024 random bytes."},
    {"sha256", bind_crypto_sha256, BIND_PLAIN, "crypto.sha256(text) -> 32 bytes", "SHA-256."},
    {"hmac", bind_crypto_hmac, BIND_PLAIN, "crypto.hmac(key, text) -> 32 bytes", "HMAC-SHA256."},
    {"seal", bind_crypto_seal, BIND_PLAIN, "crypto.seal(key, text [, aad [, nonce]]) -> bytes",
     "AES-256-GCM: nonce, ciphertext, tag."},
    {"open", bind_crypto_open, BIND_PLAIN, "crypto.open(key, bytes [, aad]) -> text | nil, err",
     "Undoes seal; err.code is denied when key, bytes or aad do not fit."},
    {"derive", bind_crypto_derive, BIND_PLAIN, "crypto.derive(key, purpose) -> key", "HKDF-SHA256."},
    {"hex", bind_crypto_hex, BIND_PLAIN, "crypto.hex(bytes) -> text", "Lower case."},
    {"unhex", bind_crypto_unhex, BIND_PLAIN, "crypto.unhex(text) -> bytes | nil, err", ""},
    {"b64url", bind_crypto_b64url, BIND_PLAIN, "crypto.b64url(bytes) -> text", "Without padding."},
    {"unb64url", bind_crypto_unb64url, BIND_PLAIN, "crypto.unb64url(text) -> bytes | nil, err", ""},
    {"b64", bind_crypto_b64, BIND_PLAIN, "crypto.b64(bytes) -> text", ""},
    {"unb64", bind_crypto_unb64, BIND_PLAIN, "crypto.unb64(text) -> bytes | nil, err", ""},
    {"equal", bind_crypto_equal, BIND_PLAIN, "crypto.equal(a, b) -> boolean", "In constant time."},
    {"jwt_sign", bind_crypto_jwt_sign, BIND_PLAIN, "crypto.jwt_sign(key, kid, claims_json) -> token | nil, err",
     "HS256."},
    {"jwt_verify", bind_crypto_jwt_verify, BIND_PLAIN,
     "crypto.jwt_verify(key, token [, now_s]) -> claims_json | nil, err", "err.text says what is wrong."},
    {"password_hash", bind_crypto_password_hash, BIND_YIELDS, "crypto.password_hash(password) -> phc | nil, err",
     "Argon2id on the pool; err.code busy when the queue is full."},
    {"password_verify", bind_crypto_password_verify, BIND_YIELDS,
     "crypto.password_verify(password, phc | nil) -> boolean | nil, err", "nil costs the same time."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_crypto(lua_State *L) {
    bind_module(L, functions);
    return 1;
}
