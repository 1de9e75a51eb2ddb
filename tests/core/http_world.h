/* SPDX-License-Identifier: Apache-2.0 */
/* A loop, a net, a server on loopback and raw clients, for tests of the HTTP and WebSocket floor.
 * Clients are blocking sockets driven in turns with the loop: world_turn() runs it until a condition holds. */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/http_server.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>
/* after the above */
#include <cmocka.h>

struct world {
    uv_loop_t loop;
    struct net *net;
    struct http_server *server;
    int listen_fd, port;
    bool net_closed, server_closed;
};

static inline int listen_loopback(int *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 128) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static inline void world_open(struct world *w, struct http_server_opts *o) {
    struct err e;
    memset(w, 0, sizeof *w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    if (net_open(&w->net, &w->loop, NULL, &e) < 0) fail_msg("%s", e.text);
    if (o == NULL) return;
    w->listen_fd = o->listen_fd = listen_loopback(&w->port);
    if (http_server_open(&w->server, w->net, o, &e) < 0) fail_msg("%s", e.text);
}

static inline void set_flag(void *arg) {
    *(bool *)arg = true;
}

/* Leaves no handle behind, or the test fails. */
static inline void world_close(struct world *w) {
    net_close(w->net, set_flag, &w->net_closed);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_true(w->net_closed);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    if (w->server) close(w->listen_fd);
}

static inline void wake(uv_timer_t *t) {
    (void)t;
}

/* Runs the loop until *flag or limit_ms; says whether it was set. */
static inline bool world_turn(struct world *w, const bool *flag, int limit_ms) {
    uv_timer_t t;
    uint64_t until = clock_mono_ms() + (uint64_t)limit_ms;
    uv_timer_init(&w->loop, &t);
    uv_timer_start(&t, wake, 5, 5);
    while (!*flag && clock_mono_ms() < until) uv_run(&w->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&t, NULL);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    return *flag;
}

static inline int dial_from(struct world *w, const char *address) {
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)w->port)};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&own, sizeof own) == 0);
    assert_true(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static inline int dial(struct world *w) {
    return dial_from(w, "127.0.0.1");
}

static inline void say_bytes(int fd, const void *text, size_t len) {
    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

static inline void say(int fd, const char *text) {
    say_bytes(fd, text, strlen(text));
}

/* Reads until want appears in what came (NULL: until the server closes); true when it did. Text stays in got. */
static inline bool hear(struct world *w, int fd, struct buf *got, const char *want) {
    uint64_t until = clock_mono_ms() + 5000;
    bool never = false;
    while (clock_mono_ms() < until) {
        char chunk[65536];
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n > 0) buf_add(got, chunk, (size_t)n);
        if (want && got->data && memmem(got->data, got->len, want, strlen(want))) return true;
        if (n == 0 || (n < 0 && errno != EAGAIN)) return want == NULL;
        if (n < 0) world_turn(w, &never, 1);
    }
    return false;
}

/* Writes a key and a certificate for localhost with this serial number. */
static inline void write_certificate(const char *cert, const char *key, long serial) {
    EVP_PKEY *pk = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, pk);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, name);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    X509_add_ext(x, san, -1);
    X509_EXTENSION_free(san);
    assert_true(X509_sign(x, pk, EVP_sha256()) > 0);
    FILE *f = fopen(cert, "w");
    assert_true(f && PEM_write_X509(f, x) == 1 && fclose(f) == 0);
    f = fopen(key, "w");
    assert_true(f && PEM_write_PrivateKey(f, pk, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
    X509_free(x);
    EVP_PKEY_free(pk);
}

/* Both in two files of a fresh folder. */
static inline void make_certificate(char cert[64], char key[64]) {
    char dir[] = "/tmp/parley-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    snprintf(cert, 64, "%s/cert.pem", dir);
    snprintf(key, 64, "%s/key.pem", dir);
    write_certificate(cert, key, 1);
}

static inline void remove_certificate(char cert[64], char key[64]) {
    unlink(cert);
    unlink(key);
    *strrchr(cert, '/') = '\0';
    rmdir(cert);
}
