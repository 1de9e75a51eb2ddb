/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls.h"
#include <openssl/err.h>

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
    *out = ctx;
    return 0;
fail:
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return e ? e->code : ERR_INVALID;
}
