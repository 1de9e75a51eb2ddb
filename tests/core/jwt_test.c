/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/crypto.h"
#include "crypto/jwt.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

/* Made by another implementation, with the key 00 01 .. 1f: {"sub":"us_1","exp":2000} */
static const char known[] = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.eyJzdWIiOiJ1c18xIiwiZXhwIjoyMDAwfQ."
                            "HDTJsaICPvQhA-AcD987fPn7tZQukXeHqXplGAzQXHw";
static uint8_t key[CRYPTO_KEY];

static int make_key(void **state) {
    (void)state;
    for (int i = 0; i < CRYPTO_KEY; i++) key[i] = (uint8_t)i;
    return 0;
}

static int verify(const char *token, int64_t now_s, struct err *e) {
    struct buf claims = {0};
    int rc = jwt_verify(key, token, strlen(token), now_s, &claims, e);
    CHECK((rc == 0) == (claims.len > 0));
    buf_free(&claims);
    return rc;
}

/* A token of any header and claims, signed rightly. */
static char *forge(const char *header, const char *claims) {
    struct buf t = {0};
    uint8_t mac[CRYPTO_SHA256];
    crypto_b64url(header, strlen(header), &t);
    buf_add_str(&t, ".");
    crypto_b64url(claims, strlen(claims), &t);
    crypto_hmac_sha256(key, sizeof key, t.data, t.len, mac);
    buf_add_str(&t, ".");
    crypto_b64url(mac, sizeof mac, &t);
    return buf_take(&t);
}

static void check_forged(int want, const char *header, const char *claims, const char *reason) {
    struct err e = {0};
    char *token = forge(header, claims);
    CHECK_INT(want, verify(token, 1000, &e));
    if (want < 0) CHECK_STR(reason, e.text);
    free(token);
}

TEST(a_token_is_what_other_implementations_make) {
    struct buf token = {0}, claims = {0};
    CHECK_INT(0, jwt_sign(key, "k1", "{\"sub\":\"us_1\",\"exp\":2000}", 25, &token, NULL));
    CHECK_STR(known, token.data);
    CHECK_INT(0, jwt_verify(key, known, sizeof known - 1, 1999, &claims, NULL));
    CHECK_STR("{\"sub\":\"us_1\",\"exp\":2000}", claims.data);
    buf_free(&token);
    buf_free(&claims);
}

TEST(a_token_ends_at_exp_without_leeway) {
    struct err e = {0};
    CHECK_INT(0, verify(known, 1999, &e));
    CHECK_INT(ERR_DENIED, verify(known, 2000, &e));
    CHECK_STR("token: it has expired", e.text);
}

TEST(a_token_with_any_character_changed_is_denied) {
    char token[sizeof known];
    struct err e;
    for (size_t i = 0; i < sizeof known - 1; i++) {
        memcpy(token, known, sizeof known);
        token[i] = token[i] == 'A' ? 'B' : 'A';
        CHECK_INT(ERR_DENIED, verify(token, 1000, &e));
        token[i] = '\0';
        CHECK_INT(ERR_DENIED, verify(token, 1000, &e));
    }
    key[0] ^= 1;
    CHECK_INT(ERR_DENIED, verify(known, 1000, &e));
    key[0] ^= 1;
}

TEST(the_token_never_chooses_the_algorithm) {
    static const char claims[] = "{\"exp\":2000}";
    check_forged(ERR_DENIED, "{\"alg\":\"none\"}", claims, "token: its algorithm is not HS256");
    check_forged(ERR_DENIED, "{\"alg\":\"RS256\"}", claims, "token: its algorithm is not HS256");
    check_forged(ERR_DENIED, "{\"alg\":\"hs256\"}", claims, "token: its algorithm is not HS256");
    check_forged(ERR_DENIED, "{\"alg\":[\"HS256\"]}", claims, "token: its algorithm is not HS256");
    check_forged(ERR_DENIED, "{}", claims, "token: its algorithm is not HS256");
    check_forged(ERR_DENIED, "[]", claims, "token: its header is not a JSON object");
    check_forged(ERR_DENIED, "{\"alg\":\"none\",\"alg\":\"HS256\"}", claims, "token: its header is not a JSON object");
    check_forged(ERR_DENIED, "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", claims,
                 "token: it asks for extensions we do not know");
    check_forged(0, "{\"alg\":\"HS256\"}", claims, NULL);
    CHECK_INT(ERR_DENIED, verify("eyJhbGciOiJub25lIn0.eyJleHAiOjIwMDB9.", 1000, NULL)); /* none, unsigned */
}

TEST(claims_are_an_object_with_honest_times) {
    static const char header[] = "{\"alg\":\"HS256\"}";
    check_forged(ERR_DENIED, header, "{}", "token: it does not say when it ends");
    check_forged(ERR_DENIED, header, "{\"exp\":\"2000\"}", "token: it does not say when it ends");
    check_forged(ERR_DENIED, header, "{\"exp\":2000,\"exp\":3000}", "token: its claims are not a JSON object");
    check_forged(ERR_DENIED, header, "[2000]", "token: its claims are not a JSON object");
    check_forged(ERR_DENIED, header, "", "token: its claims are not a JSON object");
    check_forged(ERR_DENIED, header, "{\"exp\":2000,\"nbf\":1061}", "token: it is not valid yet");
    check_forged(ERR_DENIED, header, "{\"exp\":2000,\"nbf\":\"x\"}", "token: its nbf is not a number");
    check_forged(0, header, "{\"exp\":2000,\"nbf\":1060}", NULL);
    check_forged(0, header, "{\"exp\":2000.5}", NULL);
}

TEST(what_has_not_three_parts_is_no_token) {
    static const char *const bad[] = {"", ".", "..", "...", "a.b", "a.b.c.d", "a..b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_INT(ERR_DENIED, verify(bad[i], 0, NULL));
    char *dots = malloc(100001);
    memset(dots, '.', 100000);
    dots[100000] = '\0';
    struct err e;
    CHECK_INT(ERR_DENIED, verify(dots, 0, &e));
    CHECK_STR("token: it is too long", e.text);
    free(dots);
}

TEST(only_an_object_can_be_signed) {
    struct buf token = {0};
    struct err e = {0};
    CHECK_INT(ERR_INVALID, jwt_sign(key, NULL, "[1]", 3, &token, &e));
    CHECK_INT(ERR_INVALID, jwt_sign(key, NULL, "{", 1, &token, &e));
    CHECK_INT(ERR_INVALID, jwt_sign(key, NULL, "", 0, &token, &e));
    CHECK_STR("the claims are not a JSON object", e.text);
    CHECK_INT(0, token.len);
}

TEST(a_key_id_cannot_break_out_of_the_header) {
    struct buf token = {0}, header = {0};
    CHECK_INT(0, jwt_sign(key, "\",\"alg\":\"none", "{\"exp\":2000}", 12, &token, NULL));
    CHECK_INT(0, verify(token.data, 1000, NULL));
    CHECK_INT(0, crypto_unb64url(token.data, (size_t)(strchr(token.data, '.') - token.data), &header));
    CHECK_STR("{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"\\\",\\\"alg\\\":\\\"none\"}", header.data);
    buf_free(&token);
    buf_free(&header);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_token_is_what_other_implementations_make),
        RUN(a_token_ends_at_exp_without_leeway),
        RUN(a_token_with_any_character_changed_is_denied),
        RUN(the_token_never_chooses_the_algorithm),
        RUN(claims_are_an_object_with_honest_times),
        RUN(what_has_not_three_parts_is_no_token),
        RUN(only_an_object_can_be_signed),
        RUN(a_key_id_cannot_break_out_of_the_header),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
