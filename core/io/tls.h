/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS settings of our servers: 1.3 only, HTTP/2 preferred by ALPN. */
#pragma once
#include "base/err.h"
#include <openssl/ssl.h>
#include <stdbool.h>
#include <time.h>

/* Reads certificate chain and key (PEM) and checks that they fit; SSL_CTX_free() it. */
int tls_server_new(SSL_CTX **out, const char *cert_file, const char *key_file, struct err *e);

/* Two files and when they were last taken up. What renews certificates writes one after the other, so a change counts
 * once two looks in a row have seen the same. */
struct tls_stamp {
    bool there;
    unsigned long long inode, size;
    struct timespec written, changed;
};
struct tls_files {
    char *cert, *key; /* ours */
    struct tls_stamp seen[2], taken[2];
};
/* Remembers the files as they are, before they are read by tls_server_new(). */
void tls_files_init(struct tls_files *f, const char *cert, const char *key);
/* 1: they have changed, and *ctx is what they say now; 0: no change; < 0: what they say now cannot be served (told once
 * for each change), *ctx is as it was. Connections keep the SSL_CTX they began with. */
int tls_files_renew(struct tls_files *f, SSL_CTX **ctx, struct err *e);
void tls_files_deinit(struct tls_files *f);
