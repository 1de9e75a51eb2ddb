/* SPDX-License-Identifier: Apache-2.0 */
/* The primitives Parley uses, over OpenSSL 3 and libargon2. All functions are thread safe.
 *
 * Sealed text (AES-256-GCM): 12 bytes nonce, ciphertext, 16 bytes tag.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CRYPTO_KEY = 32, CRYPTO_NONCE = 12, CRYPTO_TAG = 16, CRYPTO_SHA256 = 32, CRYPTO_SEAL_EXTRA = 28 };

void crypto_random(void *out, size_t len); /* aborts when the system has no randomness */
void crypto_sha256(const void *data, size_t len, uint8_t out[CRYPTO_SHA256]);
void crypto_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[CRYPTO_SHA256]);
bool crypto_equal(const void *a, const void *b, size_t len); /* constant time */

/* Appends nonce + ciphertext + tag to out. nonce NULL: random. */
void crypto_seal(const uint8_t key[CRYPTO_KEY], const uint8_t *nonce, const void *text, size_t len, const void *aad,
                 size_t aad_len, struct buf *out);
/* Appends the clear text; ERR_DENIED when key, bytes or aad do not fit. */
int crypto_open(const uint8_t key[CRYPTO_KEY], const void *sealed, size_t len, const void *aad, size_t aad_len,
                struct buf *out, struct err *e);

/* Derives a key for one purpose from a master key (HKDF-SHA256, info = purpose). */
void crypto_derive(const uint8_t key[CRYPTO_KEY], const char *purpose, uint8_t out[CRYPTO_KEY]);

void crypto_hex(const void *data, size_t len, struct buf *out);
int crypto_unhex(const char *text, size_t len, struct buf *out);   /* 0 or ERR_INVALID */
void crypto_b64url(const void *data, size_t len, struct buf *out); /* no padding */
int crypto_unb64url(const char *text, size_t len, struct buf *out);
void crypto_b64(const void *data, size_t len, struct buf *out);
int crypto_unb64(const char *text, size_t len, struct buf *out);
