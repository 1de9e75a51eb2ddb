/* SPDX-License-Identifier: Apache-2.0 */
/* Two ways in: the bytes as a token, which stop at the signature; and the bytes as "header NUL claims" that we sign
 * ourselves, so that what lies behind the signature is reached as well. */
#include "crypto/crypto.h"
#include "crypto/jwt.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void verify(const char *token, size_t len) {
    static const uint8_t key[CRYPTO_KEY];
    struct buf claims = {0};
    struct err e = {0};
    int rc = jwt_verify(key, token, len, 1000, &claims, &e);
    if (rc == 0 ? claims.len == 0 : (rc != ERR_DENIED || e.text[0] == '\0' || claims.len != 0)) abort();
    buf_free(&claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t key[CRYPTO_KEY];
    const char *text = (const char *)data;
    verify(text, size);

    const char *cut = size ? memchr(text, '\0', size) : NULL;
    if (cut == NULL) return 0;
    struct buf token = {0};
    uint8_t mac[CRYPTO_SHA256];
    crypto_b64url(text, (size_t)(cut - text), &token);
    buf_add_str(&token, ".");
    crypto_b64url(cut + 1, size - 1 - (size_t)(cut - text), &token);
    crypto_hmac_sha256(key, sizeof key, token.data, token.len, mac);
    buf_add_str(&token, ".");
    crypto_b64url(mac, sizeof mac, &token);
    verify(token.data, token.len);
    buf_free(&token);
    return 0;
}
