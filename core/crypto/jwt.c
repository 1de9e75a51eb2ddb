/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/jwt.h"
#include "base/str.h"
#include "crypto/crypto.h"
#include <jansson.h>
#include <string.h>

enum { TOKEN_MAX = 8192, NBF_LEEWAY_S = 60 };

int jwt_sign(const uint8_t key[32], const char *kid, const char *claims, size_t len, struct buf *out, struct err *e) {
    json_t *parsed = json_loadb(claims, len, JSON_REJECT_DUPLICATES, NULL);
    bool is_object = json_is_object(parsed);
    json_decref(parsed);
    if (!is_object) return err_set(e, ERR_INVALID, "the claims are not a JSON object");

    struct buf header = {0}, token = {0};
    uint8_t mac[CRYPTO_SHA256];
    buf_add_str(&header, "{\"alg\":\"HS256\",\"typ\":\"JWT\"");
    if (kid) {
        buf_add_str(&header, ",\"kid\":\"");
        str_json(&header, kid, strlen(kid));
        buf_add_str(&header, "\"");
    }
    buf_add_str(&header, "}");
    crypto_b64url(header.data, header.len, &token);
    buf_add(&token, ".", 1);
    crypto_b64url(claims, len, &token);
    crypto_hmac_sha256(key, CRYPTO_KEY, token.data, token.len, mac);
    buf_add(&token, ".", 1);
    crypto_b64url(mac, sizeof mac, &token);
    buf_free(&header);

    int rc = 0;
    if (token.len > TOKEN_MAX) /* verifying would refuse it */
        rc = err_set(e, ERR_INVALID, "the claims are too long for a token");
    else
        buf_add(out, token.data, token.len);
    buf_free(&token);
    return rc;
}

static int denied(struct err *e, const char *why) {
    return err_set(e, ERR_DENIED, "token: %s", why);
}

/* Decodes a part and parses it; NULL unless it is a JSON object. decoded is the caller's. */
static json_t *part_object(const char *part, size_t len, struct buf *decoded) {
    if (crypto_unb64url(part, len, decoded) < 0 || decoded->len == 0) return NULL;
    json_t *object = json_loadb(decoded->data, decoded->len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(object)) return object;
    json_decref(object);
    return NULL;
}

static int check_header(const char *part, size_t len, struct err *e) {
    struct buf text = {0};
    int rc = 0;
    json_t *header = part_object(part, len, &text);
    const char *alg = json_string_value(json_object_get(header, "alg"));
    if (header == NULL)
        rc = denied(e, "its header is not a JSON object");
    else if (alg == NULL || strcmp(alg, "HS256") != 0)
        rc = denied(e, "its algorithm is not HS256");
    else if (json_object_get(header, "crit"))
        rc = denied(e, "it asks for extensions we do not know"); /* RFC 7515 */
    json_decref(header);
    buf_free(&text);
    return rc;
}

static int check_times(const json_t *claims, int64_t now_s, struct err *e) {
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");
    if (!json_is_number(exp)) return denied(e, "it does not say when it ends");
    if (json_number_value(exp) <= (double)now_s) return denied(e, "it has expired");
    if (nbf && !json_is_number(nbf)) return denied(e, "its nbf is not a number");
    if (nbf && json_number_value(nbf) > (double)now_s + NBF_LEEWAY_S) return denied(e, "it is not valid yet");
    return 0;
}

int jwt_verify(const uint8_t key[32], const char *token, size_t len, int64_t now_s, struct buf *claims, struct err *e) {
    if (len > TOKEN_MAX) return denied(e, "it is too long");
    const char *end = token + len;
    const char *first = len ? memchr(token, '.', len) : NULL;
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)))
        return denied(e, "it does not have three parts");

    /* The signature first: nothing a stranger wrote is parsed as JSON before we know that we wrote it. */
    struct buf mac = {0}, text = {0};
    uint8_t want[CRYPTO_SHA256];
    crypto_hmac_sha256(key, CRYPTO_KEY, token, (size_t)(second - token), want);
    json_t *object = NULL;
    int rc;
    if (crypto_unb64url(second + 1, (size_t)(end - second - 1), &mac) < 0 || mac.len != sizeof want ||
        !crypto_equal(mac.data, want, sizeof want)) {
        rc = denied(e, "its signature is wrong");
        goto free_mac;
    }
    rc = check_header(token, (size_t)(first - token), e);
    if (rc < 0) goto free_mac;
    object = part_object(first + 1, (size_t)(second - first - 1), &text);
    rc = object ? check_times(object, now_s, e) : denied(e, "its claims are not a JSON object");
    if (rc == 0) buf_add(claims, text.data, text.len);
    json_decref(object);
    buf_free(&text);
free_mac:
    buf_free(&mac);
    return rc;
}
