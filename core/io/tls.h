/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS settings of our servers: 1.3 only, HTTP/2 preferred by ALPN. */
#pragma once
#include "base/err.h"
#include <openssl/ssl.h>

/* Reads certificate chain and key (PEM) and checks that they fit; SSL_CTX_free() it. */
int tls_server_new(SSL_CTX **out, const char *cert_file, const char *key_file, struct err *e);
