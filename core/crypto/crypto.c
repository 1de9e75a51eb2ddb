/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/crypto.h"
#include "base/log.h"
#include "base/mem.h"
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* OpenSSL fails here only when it is out of memory or broken; going on would mean storing clear text or weak keys. */
static void must(bool worked, const char *what) {
    if (worked) return;
    log_error("crypto.failed", "%s failed", what);
    abort();
}

/* To look an algorithm up takes OpenSSL longer than to use it on a phone number. These stay as long as the process. */
static EVP_MD *sha256;
static EVP_CIPHER *aes_256_gcm;
static EVP_MAC_CTX *hmac_sha256; /* without a key; each thread has a copy */

/* A thread's own, for all that it does: to make and free one takes as long as to seal a name. What is left in them of the
 * last key is no more than the caller holds himself. */
struct contexts {
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *hmac;
};
static pthread_key_t contexts_key;

static void free_contexts(void *arg) {
    struct contexts *c = arg;
    EVP_CIPHER_CTX_free(c->cipher);
    EVP_MAC_CTX_free(c->hmac);
    free(c);
}

static void look_up(void) {
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
                           OSSL_PARAM_construct_end()};
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    must(sha256 != NULL, "SHA-256");
    aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    must(aes_256_gcm != NULL, "AES-256-GCM");
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    must(hmac != NULL, "HMAC");
    hmac_sha256 = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac); /* the context has its own reference */
    must(hmac_sha256 != NULL && EVP_MAC_CTX_set_params(hmac_sha256, params) == 1, "HMAC");
    must(pthread_key_create(&contexts_key, free_contexts) == 0, "a key for contexts");
}

static void algorithms(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look_up);
}

static struct contexts *contexts(void) {
    algorithms();
    struct contexts *c = pthread_getspecific(contexts_key);
    if (c) return c;
    c = mem_alloc(sizeof *c);
    c->cipher = EVP_CIPHER_CTX_new();
    must(c->cipher != NULL, "AES-256-GCM");
    c->hmac = EVP_MAC_CTX_dup(hmac_sha256);
    must(c->hmac != NULL, "HMAC");
    must(pthread_setspecific(contexts_key, c) == 0, "a thread's contexts");
    return c;
}

void crypto_random(void *out, size_t len) {
    uint8_t *at = out;
    while (len) { /* RAND_bytes counts in int */
        size_t n = len < 1 << 20 ? len : 1 << 20;
        must(RAND_bytes(at, (int)n) == 1, "the random generator");
        at += n;
        len -= n;
    }
}

void crypto_sha256(const void *data, size_t len, uint8_t out[CRYPTO_SHA256]) {
    algorithms();
    must(EVP_Digest(data, len, out, NULL, sha256, NULL) == 1, "SHA-256");
}

void crypto_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[CRYPTO_SHA256]) {
    EVP_MAC_CTX *ctx = contexts()->hmac;
    must(EVP_MAC_init(ctx, key_len ? key : (const void *)"", key_len, NULL) == 1, "HMAC");
    must(EVP_MAC_update(ctx, data, len) == 1, "HMAC");
    must(EVP_MAC_final(ctx, out, NULL, CRYPTO_SHA256) == 1, "HMAC");
}

bool crypto_equal(const void *a, const void *b, size_t len) {
    return len == 0 || CRYPTO_memcmp(a, b, len) == 0;
}

/* EVP counts in int, so large texts go in parts. out NULL: additional data. */
static bool cipher_update(EVP_CIPHER_CTX *ctx, uint8_t *out, const void *data, size_t len) {
    const uint8_t *at = data;
    while (len) {
        int n = len < 1 << 30 ? (int)len : 1 << 30, written;
        if (EVP_CipherUpdate(ctx, out, &written, at, n) != 1) return false;
        if (out) out += n;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static EVP_CIPHER_CTX *cipher_begin(const uint8_t *key, const uint8_t *nonce, int encrypts) {
    EVP_CIPHER_CTX *ctx = contexts()->cipher;
    must(EVP_CipherInit_ex2(ctx, aes_256_gcm, key, nonce, encrypts, NULL) == 1, "AES-256-GCM");
    return ctx;
}

/* Nonces are no secret, and the generator takes as long for one as for sixty: some are made ahead. A forked process must
 * make its own, or it would use its parent's a second time. */
enum { NONCES = 64 };
static _Thread_local uint8_t nonces[NONCES][CRYPTO_NONCE];
static _Thread_local int nonces_left;

static void forget_nonces(void) {
    nonces_left = 0;
}

static void watch_forks(void) {
    must(pthread_atfork(NULL, NULL, forget_nonces) == 0, "watching for forks");
}

static const uint8_t *fresh_nonce(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    if (nonces_left == 0) {
        crypto_random(nonces, sizeof nonces);
        nonces_left = NONCES;
    }
    return nonces[--nonces_left];
}

void crypto_seal(const uint8_t key[CRYPTO_KEY], const uint8_t *nonce, const void *text, size_t len, const void *aad,
                 size_t aad_len, struct buf *out) {
    if (nonce == NULL) nonce = fresh_nonce();
    buf_reserve(out, len + CRYPTO_SEAL_EXTRA);
    uint8_t *sealed = (uint8_t *)out->data + out->len;
    memcpy(sealed, nonce, CRYPTO_NONCE);

    EVP_CIPHER_CTX *ctx = cipher_begin(key, nonce, 1);
    int rest;
    must(cipher_update(ctx, NULL, aad, aad_len), "AES-256-GCM");
    must(cipher_update(ctx, sealed + CRYPTO_NONCE, text, len), "AES-256-GCM");
    must(EVP_CipherFinal_ex(ctx, sealed + CRYPTO_NONCE + len, &rest) == 1, "AES-256-GCM");
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, CRYPTO_TAG, sealed + CRYPTO_NONCE + len) == 1, "AES-256-GCM");

    out->len += len + CRYPTO_SEAL_EXTRA;
    out->data[out->len] = '\0';
}

int crypto_open(const uint8_t key[CRYPTO_KEY], const void *sealed, size_t len, const void *aad, size_t aad_len,
                struct buf *out, struct err *e) {
    if (len < CRYPTO_SEAL_EXTRA) return err_set(e, ERR_DENIED, "sealed text is too short");
    const uint8_t *nonce = sealed, *cipher = nonce + CRYPTO_NONCE;
    size_t text_len = len - CRYPTO_SEAL_EXTRA;
    uint8_t tag[CRYPTO_TAG];
    memcpy(tag, cipher + text_len, CRYPTO_TAG);

    /* Deciphered behind out->len, which moves only once the tag has been found right. */
    buf_reserve(out, text_len);
    uint8_t *text = (uint8_t *)out->data + out->len;
    EVP_CIPHER_CTX *ctx = cipher_begin(key, nonce, 0);
    int rest;
    bool fits = cipher_update(ctx, NULL, aad, aad_len) && cipher_update(ctx, text, cipher, text_len) &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, CRYPTO_TAG, tag) == 1 &&
                EVP_CipherFinal_ex(ctx, text + text_len, &rest) == 1;
    if (!fits) {
        ERR_clear_error(); /* a TLS connection on this thread must not find our error in the queue */
        OPENSSL_cleanse(text, text_len);
        out->data[out->len] = '\0';
        return err_set(e, ERR_DENIED, "sealed text does not fit the key or was changed");
    }
    out->len += text_len;
    out->data[out->len] = '\0';
    return 0;
}

void crypto_derive(const uint8_t key[CRYPTO_KEY], const char *purpose, uint8_t out[CRYPTO_KEY]) {
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    must(kdf != NULL, "HKDF");
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    must(ctx != NULL, "HKDF");
    /* The parameters take no const, and are only read. */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, CRYPTO_KEY),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)purpose, strlen(purpose)),
        OSSL_PARAM_construct_end(),
    };
    must(EVP_KDF_derive(ctx, out, CRYPTO_KEY, params) == 1, "HKDF");
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}
