/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls.h"
#include "base/mem.h"
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                       unsigned in_len, void *arg) {
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)ssl;
    (void)arg;
    int rc = SSL_select_next_proto((unsigned char **)out, out_len, ours, sizeof ours - 1, in, in_len);
    /* A client that offers only what we do not speak must hear so (RFC 7301), not be answered in HTTP/1.1. */
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static const char *reason(void) {
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : "unknown reason";
}

int tls_server_new(SSL_CTX **out, const char *cert_file, const char *key_file, struct err *e) {
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1) {
        err_set(e, ERR_IO, "cannot set up TLS: %s", reason());
        goto fail;
    }
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1) {
        err_set(e, ERR_INVALID, "cannot read the certificate %s: %s", cert_file, reason());
        goto fail;
    }
    if (key_file == NULL || SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1) {
        err_set(e, ERR_INVALID, "cannot use the key %s: %s", key_file ? key_file : "(none given)", reason());
        goto fail;
    }
    if (SSL_CTX_check_private_key(ctx) != 1) { /* keys of another kind than the certificate's are let through above */
        err_set(e, ERR_INVALID, "the key %s is not the key of %s", key_file, cert_file);
        goto fail;
    }
    *out = ctx;
    return 0;
fail:
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return e ? e->code : ERR_INVALID;
}

static void look(const struct tls_files *f, struct tls_stamp out[2]) {
    memset(out, 0, 2 * sizeof *out); /* they are compared byte by byte */
    for (int i = 0; i < 2; i++) {
        struct stat st;
        if (stat(i == 0 ? f->cert : f->key, &st) < 0) continue;
        out[i].there = true;
        out[i].inode = st.st_ino;
        out[i].size = (unsigned long long)st.st_size;
        out[i].written = st.st_mtim;
        out[i].changed = st.st_ctim;
    }
}

void tls_files_init(struct tls_files *f, const char *cert, const char *key) {
    f->cert = mem_strdup(cert);
    f->key = mem_strdup(key ? key : "");
    look(f, f->seen);
    memcpy(f->taken, f->seen, sizeof f->taken);
}

int tls_files_renew(struct tls_files *f, SSL_CTX **ctx, struct err *e) {
    struct tls_stamp now[2];
    SSL_CTX *fresh;

    look(f, now);
    bool settled = memcmp(now, f->seen, sizeof now) == 0;
    memcpy(f->seen, now, sizeof now);
    if (!settled || memcmp(now, f->taken, sizeof now) == 0) return 0;
    memcpy(f->taken, now, sizeof now); /* a change while they are read below is another change */
    int rc = tls_server_new(&fresh, f->cert, f->key, e);
    if (rc < 0) return rc;
    SSL_CTX_free(*ctx);
    *ctx = fresh;
    return 1;
}

void tls_files_deinit(struct tls_files *f) {
    free(f->cert);
    free(f->key);
    f->cert = f->key = NULL;
}
