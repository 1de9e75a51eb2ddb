/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords: Argon2id (19 MiB, 2 passes, 1 lane: OWASP's figures), PHC string. Slow on purpose (about 30 ms):
 * call from a pool thread only. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum { PASSWORD_HASH_MAX = 128 };
int password_hash(const char *password, size_t len, char out[PASSWORD_HASH_MAX], struct err *e);
/* false for a wrong password and for a hash that is no PHC string. Costs the same time for NULL hash (a standing dummy). */
bool password_verify(const char *password, size_t len, const char *hash);
