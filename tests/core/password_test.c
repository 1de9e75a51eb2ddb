/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/password.h"
#include "test.h"
#include <string.h>

static bool fits(const char *password, const char *hash) {
    return password_verify(password, strlen(password), hash);
}

TEST(a_password_fits_its_hash_and_no_other_does) {
    char hash[PASSWORD_HASH_MAX];
    CHECK_INT(0, password_hash("correct horse", 13, hash, NULL));
    CHECK(strncmp(hash, "$argon2id$v=19$m=19456,t=2,p=1$", 31) == 0);
    CHECK(fits("correct horse", hash));
    CHECK(!fits("correct hors", hash));
    CHECK(!fits("Correct horse", hash));
    CHECK(!fits("", hash));
    CHECK(!password_verify("correct horse\0", 14, hash));
}

TEST(one_password_has_a_new_hash_each_time) {
    char a[PASSWORD_HASH_MAX], b[PASSWORD_HASH_MAX];
    CHECK_INT(0, password_hash("pw", 2, a, NULL));
    CHECK_INT(0, password_hash("pw", 2, b, NULL));
    CHECK(strcmp(a, b) != 0);
}

TEST(a_hash_made_by_the_reference_program_is_understood) {
    /* "password" and "somesalt", from the reference implementation's own tests. */
    CHECK(fits("password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"));
}

TEST(what_is_no_hash_fits_nothing) {
    char hash[PASSWORD_HASH_MAX];
    CHECK_INT(0, password_hash("pw", 2, hash, NULL));
    CHECK(!fits("pw", NULL));
    CHECK(!fits("pw", ""));
    CHECK(!fits("pw", "pw"));
    CHECK(!fits("pw", "$2b$12$abcdefghijklmnopqrstuv"));
    hash[strlen(hash) - 1] = '\0';
    CHECK(!fits("pw", hash));
}

TEST(a_stored_hash_cannot_ask_for_all_memory) {
    CHECK(!fits("pw", "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"));
    CHECK(!fits("pw", "$argon2id$v=19$m=65536,t=9999,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"));
}

TEST(an_empty_or_endless_password_is_refused_with_a_reason) {
    char hash[PASSWORD_HASH_MAX], large[1025];
    struct err e = {0};
    memset(large, 'x', sizeof large);
    CHECK_INT(ERR_INVALID, password_hash("", 0, hash, &e));
    CHECK_STR("the password is empty", e.text);
    CHECK_INT(ERR_INVALID, password_hash(large, sizeof large, hash, &e));
    CHECK_INT(0, password_hash(large, 1024, hash, &e));
    CHECK(password_verify(large, 1024, hash));
    CHECK(!password_verify(large, 1025, hash));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_password_fits_its_hash_and_no_other_does),
        RUN(one_password_has_a_new_hash_each_time),
        RUN(a_hash_made_by_the_reference_program_is_understood),
        RUN(what_is_no_hash_fits_nothing),
        RUN(a_stored_hash_cannot_ask_for_all_memory),
        RUN(an_empty_or_endless_password_is_refused_with_a_reason),
    };
    return RUN_ALL(tests);
}
