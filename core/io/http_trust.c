/* SPDX-License-Identifier: Apache-2.0 */
/* TLS in the client's role: whose certificates are believed, once for each file of authorities. */
#include "base/mem.h"
#include "io/http_stream_inside.h"
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct http_trust {
    struct http_trust *next;
    char *ca_file; /* NULL: the system's */
    SSL_CTX *ctx;
};

static bool same(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static SSL_CTX *context(struct http_pool *p, const char *ca_file, struct err *e) {
    static const unsigned char protocols[] = "\x02h2\x08http/1.1";
    struct http_trust *t = p->trusts;
    while (t && !same(t->ca_file, ca_file)) t = t->next;
    if (t) return t->ctx;

    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL) abort();
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_alpn_protos(ctx, protocols, sizeof protocols - 1);
    int rc = ca_file ? SSL_CTX_load_verify_file(ctx, ca_file) : SSL_CTX_set_default_verify_paths(ctx);
    if (rc != 1) {
        err_set(e, ERR_INVALID, "cannot read the certificates of %s", ca_file ? ca_file : "the system");
        ERR_clear_error();
        SSL_CTX_free(ctx);
        return NULL;
    }
    t = mem_alloc(sizeof *t);
    t->ca_file = mem_strdup(ca_file);
    t->ctx = ctx;
    t->next = p->trusts;
    p->trusts = t;
    return ctx;
}

SSL *http_trust_new_ssl(struct http_pool *p, const struct http_origin *o, struct err *e) {
    const char *host = o->url.host;
    struct in6_addr address;
    SSL_CTX *ctx = context(p, o->ca_file, e);
    if (ctx == NULL) return NULL;
    SSL *ssl = SSL_new(ctx);
    if (ssl == NULL) abort();
    SSL_set_connect_state(ssl);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool is_address = inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
    int rc = is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host)
                        : SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
    if (rc == 1) return ssl;
    SSL_free(ssl);
    err_set(e, ERR_INVALID, "%s is no name that a certificate could have", host);
    return NULL;
}

void http_trust_free(struct http_trust *t) {
    while (t) {
        struct http_trust *next = t->next;
        SSL_CTX_free(t->ctx);
        free(t->ca_file);
        free(t);
        t = next;
    }
}
