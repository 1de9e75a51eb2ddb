/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/password.h"
#include "crypto/crypto.h"
#include <argon2.h>
#include <stdio.h>
#include <string.h>

enum {
    MEMORY_KIB = 19 * 1024,
    PASSES = 2,
    LANES = 1,
    SALT_BYTES = 16,
    HASH_BYTES = 32,
    PASSWORD_MAX = 1024, /* nobody's password; it bounds what a stranger can make us hash */
    /* What a stored hash may ask of us: above our own figures, far below what would hurt. */
    MEMORY_KIB_MAX = 256 * 1024,
    PASSES_MAX = 16,
    LANES_MAX = 4,
};

int password_hash(const char *password, size_t len, char out[PASSWORD_HASH_MAX], struct err *e) {
    uint8_t salt[SALT_BYTES];
    if (len == 0) return err_set(e, ERR_INVALID, "the password is empty");
    if (len > PASSWORD_MAX) return err_set(e, ERR_INVALID, "the password is longer than %d bytes", PASSWORD_MAX);
    crypto_random(salt, sizeof salt);
    int rc = argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password, len, salt, sizeof salt, HASH_BYTES, out,
                                   PASSWORD_HASH_MAX);
    if (rc != ARGON2_OK) return err_set(e, ERR_LIMIT, "cannot hash a password: %s", argon2_error_message(rc));
    return 0;
}

/* A hash that is Argon2id and asks for no more than we are ready to give. */
static bool affordable(const char *hash) {
    unsigned memory, passes, lanes;
    int end = 0;
    if (strnlen(hash, PASSWORD_HASH_MAX * 2) >= PASSWORD_HASH_MAX * 2) return false;
    if (sscanf(hash, "$argon2id$v=19$m=%8u,t=%4u,p=%4u$%n", &memory, &passes, &lanes, &end) != 3 || end == 0)
        return false;
    return memory <= MEMORY_KIB_MAX && passes <= PASSES_MAX && lanes <= LANES_MAX;
}

bool password_verify(const char *password, size_t len, const char *hash) {
    static const uint8_t salt[SALT_BYTES];
    uint8_t dummy[HASH_BYTES];
    if (len > PASSWORD_MAX) return false;
    if (hash == NULL || !affordable(hash)) {
        /* An unknown name must take as long as a wrong password, or the time tells which names exist. */
        argon2id_hash_raw(PASSES, MEMORY_KIB, LANES, password, len, salt, sizeof salt, dummy, sizeof dummy);
        return false;
    }
    return argon2id_verify(hash, password, len) == ARGON2_OK;
}
