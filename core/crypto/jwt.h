/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Tokens, HS256 only (RFC 7519, RFC 8725: the algorithm is ours, never the token's choice).
 * jwt_verify checks form, header alg, signature (constant time), exp and nbf (60 s of leeway for nbf only). */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdint.h>

/* claims: a JSON object as text. kid goes into the header. Appends the token to out. */
int jwt_sign(const uint8_t key[32], const char *kid, const char *claims, size_t len, struct buf *out, struct err *e);
/* Appends the claims (JSON object text) to claims. ERR_DENIED with a reason else. */
int jwt_verify(const uint8_t key[32], const char *token, size_t len, int64_t now_s, struct buf *claims, struct err *e);
