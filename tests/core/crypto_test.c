/* SPDX-License-Identifier: Apache-2.0 */
/* Against published vectors (FIPS 180, RFC 4231, RFC 4648, the GCM paper), and against every way to break a seal. */
#include "crypto/crypto.h"
#include "test.h"
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uint8_t key[CRYPTO_KEY];

static void check_hex(const char *want, const void *data, size_t len) {
    struct buf b = {0};
    crypto_hex(data, len, &b);
    CHECK_STR(want, b.data ? b.data : "");
    buf_free(&b);
}

TEST(sha256_matches_the_standard) {
    uint8_t out[CRYPTO_SHA256];
    crypto_sha256("abc", 3, out);
    check_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", out, sizeof out);
    crypto_sha256(NULL, 0, out);
    check_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", out, sizeof out);
}

TEST(hmac_matches_rfc_4231) {
    uint8_t out[CRYPTO_SHA256];
    crypto_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    check_hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", out, sizeof out);
    crypto_hmac_sha256(NULL, 0, NULL, 0, out);
    check_hex("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad", out, sizeof out);
}

static void take_nonce(uint8_t out[CRYPTO_NONCE]) {
    struct buf b = {0};
    crypto_seal(key, NULL, NULL, 0, NULL, 0, &b);
    memcpy(out, b.data, CRYPTO_NONCE);
    buf_free(&b);
}

TEST(no_two_seals_have_the_same_nonce) {
    static uint8_t seen[1000][CRYPTO_NONCE];
    for (int i = 0; i < 1000; i++) {
        take_nonce(seen[i]);
        for (int k = 0; k < i; k++) CHECK(memcmp(seen[k], seen[i], CRYPTO_NONCE) != 0);
    }
}

TEST(a_forked_process_does_not_use_its_parents_nonces) {
    uint8_t ours[CRYPTO_NONCE], theirs[CRYPTO_NONCE];
    int ends[2], status = 0;
    take_nonce(ours); /* so that others have been made ahead */
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        take_nonce(theirs);
        _exit(write(ends[1], theirs, sizeof theirs) != (ssize_t)sizeof theirs);
    }
    CHECK(read(ends[0], theirs, sizeof theirs) == (ssize_t)sizeof theirs);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    take_nonce(ours);
    CHECK(memcmp(ours, theirs, CRYPTO_NONCE) != 0);
    close(ends[0]);
    close(ends[1]);
}

TEST(a_seal_matches_the_gcm_vectors) {
    const uint8_t nonce[CRYPTO_NONCE] = {0}, text[16] = {0};
    struct buf b = {0};
    crypto_seal(key, nonce, NULL, 0, NULL, 0, &b);
    check_hex("000000000000000000000000530f8afbc74536b9a963b4f1c4cb738b", b.data, b.len);
    buf_clear(&b);
    crypto_seal(key, nonce, text, sizeof text, NULL, 0, &b);
    check_hex("000000000000000000000000cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919", b.data,
              b.len);
    buf_free(&b);
}

TEST(what_was_sealed_opens_again) {
    struct buf sealed = {0}, text = {0};
    buf_add_str(&text, "kept");
    for (size_t len = 0; len < 100; len += 7) {
        char clear[100];
        crypto_random(clear, len);
        buf_clear(&sealed);
        crypto_seal(key, NULL, clear, len, "lead", 4, &sealed);
        CHECK_INT(len + CRYPTO_SEAL_EXTRA, sealed.len);
        CHECK_INT(0, crypto_open(key, sealed.data, sealed.len, "lead", 4, &text, NULL));
        CHECK_INT(4 + len, text.len);
        CHECK(memcmp(text.data + 4, clear, len) == 0);
        CHECK(memcmp(text.data, "kept", 4) == 0);
        text.len = 4;
    }
    buf_free(&sealed);
    buf_free(&text);
}

TEST(the_same_text_is_sealed_differently_each_time) {
    struct buf a = {0}, b = {0};
    crypto_seal(key, NULL, "text", 4, NULL, 0, &a);
    crypto_seal(key, NULL, "text", 4, NULL, 0, &b);
    CHECK(memcmp(a.data, b.data, CRYPTO_NONCE) != 0);
    CHECK(memcmp(a.data + CRYPTO_NONCE, b.data + CRYPTO_NONCE, 4 + CRYPTO_TAG) != 0);
    buf_free(&a);
    buf_free(&b);
}

TEST(a_seal_with_any_bit_changed_does_not_open_and_leaves_no_text) {
    struct buf sealed = {0}, out = {0};
    struct err e = {0};
    crypto_seal(key, NULL, "secret", 6, "aad", 3, &sealed);
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        sealed.data[bit / 8] ^= (char)(1 << bit % 8);
        CHECK_INT(ERR_DENIED, crypto_open(key, sealed.data, sealed.len, "aad", 3, &out, &e));
        CHECK(out.len == 0 && out.data[0] == '\0');
        CHECK(memcmp(out.data, "secret", 6) != 0);
        sealed.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t len = 0; len < sealed.len; len++)
        CHECK_INT(ERR_DENIED, crypto_open(key, sealed.data, len, "aad", 3, &out, &e));
    CHECK_INT(ERR_DENIED, crypto_open(key, sealed.data, sealed.len, "aae", 3, &out, &e));
    CHECK_INT(ERR_DENIED, crypto_open(key, sealed.data, sealed.len, NULL, 0, &out, &e));
    const uint8_t other[CRYPTO_KEY] = {1};
    CHECK_INT(ERR_DENIED, crypto_open(other, sealed.data, sealed.len, "aad", 3, &out, &e));
    CHECK(e.text[0] != '\0');
    CHECK_INT(0, ERR_peek_error());
    CHECK_INT(0, crypto_open(key, sealed.data, sealed.len, "aad", 3, &out, &e));
    CHECK_STR("secret", out.data);
    buf_free(&sealed);
    buf_free(&out);
}

TEST(a_derived_key_is_hkdf_and_differs_by_purpose) {
    uint8_t master[CRYPTO_KEY], a[CRYPTO_KEY], b[CRYPTO_KEY];
    for (int i = 0; i < CRYPTO_KEY; i++) master[i] = (uint8_t)i;
    crypto_derive(master, "pii", a);
    check_hex("1fd6bbc7a8690facd7669b5cb3c7033bcc4102457b1c6ac71746d306dcfded19", a, sizeof a);
    crypto_derive(master, "jwt", b);
    CHECK(!crypto_equal(a, b, sizeof a));
}

TEST(random_bytes_do_not_repeat) {
    uint8_t a[32] = {0}, b[32] = {0};
    crypto_random(a, sizeof a);
    crypto_random(b, sizeof b);
    CHECK(!crypto_equal(a, b, sizeof a));
    crypto_random(a, 0);
}

TEST(equal_looks_at_every_byte) {
    CHECK(crypto_equal("abc", "abc", 3));
    CHECK(!crypto_equal("abc", "abd", 3));
    CHECK(!crypto_equal("xbc", "abc", 3));
    CHECK(crypto_equal(NULL, NULL, 0));
}

TEST(base64_matches_rfc_4648) {
    static const char *const padded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t len = 0; len <= 6; len++) {
        struct buf b = {0}, back = {0};
        crypto_b64("foobar", len, &b);
        CHECK_STR(padded[len], b.data ? b.data : "");
        CHECK_INT(0, crypto_unb64(b.data, b.len, &back));
        CHECK(back.len == len && (len == 0 || memcmp(back.data, "foobar", len) == 0));
        buf_free(&b);
        buf_free(&back);
    }
    struct buf b = {0};
    crypto_b64url("\xFB\xFF\xFE\xFF", 4, &b);
    CHECK_STR("-__-_w", b.data);
    buf_clear(&b);
    crypto_b64("\xFB\xFF\xFE\xFF", 4, &b);
    CHECK_STR("+//+/w==", b.data);
    buf_free(&b);
}

TEST(every_length_survives_each_encoding) {
    char bytes[70];
    crypto_random(bytes, sizeof bytes);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        struct buf text = {0}, back = {0};
        crypto_b64url(bytes, len, &text);
        CHECK_INT(0, crypto_unb64url(text.data, text.len, &back));
        buf_clear(&text);
        crypto_hex(bytes, len, &text);
        CHECK_INT(0, crypto_unhex(text.data, text.len, &back));
        CHECK_INT(len * 2, back.len);
        CHECK(len == 0 || (memcmp(back.data, bytes, len) == 0 && memcmp(back.data + len, bytes, len) == 0));
        buf_free(&text);
        buf_free(&back);
    }
}

TEST(a_text_that_is_not_the_one_encoding_is_refused_and_adds_nothing) {
    static const char *const no_b64[] = {
        "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "=", "Zm 9", "Zm9v\n", "Zm-v", "Zg==Zg=="};
    static const char *const no_url[] = {"Zg==", "Zh", "Zm9", "Z", "Zm+v", "Zm/v", "Zm9v "};
    static const char *const no_hex[] = {"a", "0g", "0x", " 1", "é"};
    struct buf out = {0};
    buf_add_str(&out, "before");
    for (size_t i = 0; i < sizeof no_b64 / sizeof *no_b64; i++)
        CHECK_INT(ERR_INVALID, crypto_unb64(no_b64[i], strlen(no_b64[i]), &out));
    for (size_t i = 0; i < sizeof no_url / sizeof *no_url; i++)
        CHECK_INT(ERR_INVALID, crypto_unb64url(no_url[i], strlen(no_url[i]), &out));
    for (size_t i = 0; i < sizeof no_hex / sizeof *no_hex; i++)
        CHECK_INT(ERR_INVALID, crypto_unhex(no_hex[i], strlen(no_hex[i]), &out));
    CHECK_STR("before", out.data);
    CHECK_INT(6, out.len);
    CHECK_INT(0, crypto_unhex("4A4b", 4, &out));
    CHECK_STR("beforeJK", out.data);
    buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(sha256_matches_the_standard),
        RUN(hmac_matches_rfc_4231),
        RUN(no_two_seals_have_the_same_nonce),
        RUN(a_forked_process_does_not_use_its_parents_nonces),
        RUN(a_seal_matches_the_gcm_vectors),
        RUN(what_was_sealed_opens_again),
        RUN(the_same_text_is_sealed_differently_each_time),
        RUN(a_seal_with_any_bit_changed_does_not_open_and_leaves_no_text),
        RUN(a_derived_key_is_hkdf_and_differs_by_purpose),
        RUN(random_bytes_do_not_repeat),
        RUN(equal_looks_at_every_byte),
        RUN(base64_matches_rfc_4648),
        RUN(every_length_survives_each_encoding),
        RUN(a_text_that_is_not_the_one_encoding_is_refused_and_adds_nothing),
    };
    return RUN_ALL(tests);
}
