/* SPDX-License-Identifier: Apache-2.0 */
/* One uv_poll watches the socket; OpenSSL works on the same fd. A failed write is only noted: the poll comes back for
 * it, so that no caller sees its own objects vanish under its hands. */
#include "io/stream.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_CHUNK = 16384, READS_PER_EVENT = 8, UNHEARD_MS = 20000 };

struct stream {
    uv_poll_t poll;
    int fd;
    int watched;    /* events the poll is started with */
    SSL *ssl;       /* ours; NULL: plain */
    struct buf out; /* from out_at: not yet taken by the peer */
    size_t out_at;
    uint64_t progress_ms, sent;
    bool handshaking, paused, finishing, shut, eof, broken, closing;
    bool read_wants_write;
    bool connecting; /* a client's socket that has no peer yet */
    char *why;       /* ours; a client's only */
    bool client;
    const struct stream_events *events; /* borrowed */
    void *arg;
};

static _Thread_local size_t unsent;

static void note_why(struct stream *s, const char *text) {
    if (s->client && s->why == NULL) s->why = mem_strdup(text);
}

static void note_errno(struct stream *s, int error) {
    note_why(s, error ? strerror(error) : "the connection broke off");
}

/* What OpenSSL or the socket says of a call that has just failed. */
static void note_tls(struct stream *s, int ssl_error) {
    int error = errno;
    if (!s->client) return;
    long verified = SSL_get_verify_result(s->ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    if (verified != X509_V_OK) {
        char text[160];
        snprintf(text, sizeof text, "the server's certificate is refused: %s", X509_verify_cert_error_string(verified));
        note_why(s, text);
    } else if (ssl_error == SSL_ERROR_SYSCALL || reason == NULL) {
        note_errno(s, error);
    } else {
        note_why(s, reason);
    }
}

const char *stream_why(const struct stream *s) {
    return s->why ? s->why : "";
}

static void on_closed(uv_handle_t *handle) {
    struct stream *s = handle->data;
    unsent -= stream_queued(s);
    if (s->ssl) SSL_free(s->ssl);
    close(s->fd);
    buf_free(&s->out);
    s->events->on_end(s->arg);
    free(s->why);
    free(s);
}

void stream_abort(struct stream *s) {
    if (s->closing) return;
    s->closing = true;
    uv_close((uv_handle_t *)&s->poll, on_closed);
}

size_t stream_queued(const struct stream *s) {
    return s->out.len - s->out_at;
}

uint64_t stream_sent(const struct stream *s) {
    return s->sent;
}

size_t stream_unsent(void) {
    return unsent;
}

uint64_t stream_progress_ms(const struct stream *s) {
    return s->progress_ms;
}

bool stream_is_h2(const struct stream *s) {
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (s->ssl) SSL_get0_alpn_selected(s->ssl, &name, &len);
    return len == 2 && name[0] == 'h' && name[1] == '2';
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct stream *s) {
    if (s->closing) return;
    int want = 0;
    if (!s->paused) want |= UV_READABLE;
    if (stream_queued(s) || s->broken || s->read_wants_write) want |= UV_WRITABLE;
    /* Decrypted bytes that wait inside OpenSSL make no socket readable; writable comes at once instead. */
    if (s->ssl && !s->paused && SSL_pending(s->ssl)) want |= UV_WRITABLE;
    if (want == s->watched) return;
    s->watched = want;
    if (want == 0)
        uv_poll_stop(&s->poll);
    else if (uv_poll_start(&s->poll, want, on_poll) < 0)
        stream_abort(s);
}

/* > 0: bytes, 0: not now, < 0: broken */
static ssize_t put(struct stream *s, const char *data, size_t len) {
    if (s->ssl) {
        ERR_clear_error();
        int n = SSL_write(s->ssl, data, len > 1 << 20 ? 1 << 20 : (int)len);
        if (n > 0) return n;
        int why = SSL_get_error(s->ssl, n);
        if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ) return 0;
        note_tls(s, why);
        return -1;
    }
    for (;;) {
        ssize_t n = send(s->fd, data, len, MSG_NOSIGNAL);
        if (n >= 0) return n;
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
        note_errno(s, errno);
        return -1;
    }
}

static size_t put_all(struct stream *s, const char *data, size_t len) {
    size_t done = 0;
    while (done < len) {
        ssize_t n = put(s, data + done, len - done);
        if (n < 0) s->broken = true;
        if (n <= 0) break;
        done += (size_t)n;
        s->sent += (size_t)n;
        s->progress_ms = clock_mono_ms();
    }
    return done;
}

void stream_write(struct stream *s, const void *data, size_t len) {
    if (s->closing || s->finishing || s->broken || len == 0) return;
    size_t done = 0;
    if (stream_queued(s) == 0) {
        s->progress_ms = clock_mono_ms(); /* a peer is slow from now on, not since its last reply */
        done = put_all(s, data, len);
    }
    if (!s->broken && done < len) {
        buf_add(&s->out, (const char *)data + done, len - done);
        unsent += len - done;
    }
    watch(s);
}

static void shut_write(struct stream *s) {
    if (s->shut) return;
    s->shut = true;
    if (s->ssl) {
        ERR_clear_error();
        SSL_shutdown(s->ssl);
    }
    shutdown(s->fd, SHUT_WR);
    if (s->eof) stream_abort(s); /* both sides are done */
}

void stream_finish(struct stream *s) {
    if (s->closing || s->finishing) return;
    s->finishing = true;
    s->paused = s->eof;
    if (s->handshaking) {
        stream_abort(s);
        return;
    }
    if (stream_queued(s) == 0) shut_write(s);
    watch(s);
}

void stream_pause(struct stream *s, bool pause) {
    if (s->closing || s->finishing || s->paused == pause) return;
    s->paused = pause;
    watch(s);
}

static void flush(struct stream *s) {
    if (stream_queued(s) == 0) return;
    size_t done = put_all(s, s->out.data + s->out_at, stream_queued(s));
    s->out_at += done;
    unsent -= done;
    if (stream_queued(s)) return;
    s->out_at = 0;
    if (s->out.cap > 65536)
        buf_free(&s->out); /* one large reply must not stay with an idle connection */
    else
        buf_clear(&s->out);
    if (s->finishing)
        shut_write(s);
    else
        s->events->on_drain(s->arg);
}

/* > 0: bytes, 0: nothing now, -1: end of stream, -2: broken */
static ssize_t get(struct stream *s, char *out, size_t cap) {
    if (s->ssl && !s->shut) {
        ERR_clear_error();
        s->read_wants_write = false;
        int n = SSL_read(s->ssl, out, (int)cap);
        if (n > 0) return n;
        int why = SSL_get_error(s->ssl, n);
        switch (why) {
        case SSL_ERROR_WANT_WRITE:
            s->read_wants_write = true;
            return 0;
        case SSL_ERROR_WANT_READ:
            return 0;
        case SSL_ERROR_ZERO_RETURN:
            return -1;
        default:
            note_tls(s, why);
            return -2;
        }
    }
    for (;;) { /* after our own close the bytes are only thrown away, encrypted or not */
        ssize_t n = recv(s->fd, out, cap, 0);
        if (n > 0) return n;
        if (n == 0) return -1;
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
        note_errno(s, errno);
        return -2;
    }
}

static void take(struct stream *s) {
    char chunk[READ_CHUNK];
    for (int i = 0; i < READS_PER_EVENT && !s->closing && !s->paused && !s->broken; i++) {
        ssize_t n = get(s, chunk, sizeof chunk);
        if (n == 0) return;
        if (n == -2 || (n == -1 && s->shut)) {
            stream_abort(s);
            return;
        }
        if (n == -1) {
            s->eof = s->paused = true; /* a socket at its end stays readable for ever */
            if (!s->finishing) s->events->on_eof(s->arg);
            return;
        }
        if (!s->finishing) s->events->on_data(s->arg, chunk, (size_t)n);
        if (s->ssl == NULL && n < READ_CHUNK) return; /* the socket is empty; if not, the poll comes back */
    }
}

static void handshake(struct stream *s) {
    ERR_clear_error();
    s->read_wants_write = false;
    int n = SSL_do_handshake(s->ssl);
    if (n == 1) {
        s->handshaking = false;
        s->events->on_ready(s->arg);
        return;
    }
    int why = SSL_get_error(s->ssl, n);
    if (why == SSL_ERROR_WANT_WRITE) {
        s->read_wants_write = true;
    } else if (why != SSL_ERROR_WANT_READ) {
        note_tls(s, why);
        stream_abort(s);
    }
}

static int socket_error(const struct stream *s) {
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct stream *s = poll->data;
    (void)events;
    if (status < 0 || s->broken) {
        if (status < 0) note_errno(s, socket_error(s));
        stream_abort(s);
        return;
    }
    if (s->handshaking) handshake(s);
    if (!s->handshaking && !s->closing) {
        flush(s);
        take(s);
    }
    watch(s);
}

/* TLS that has nothing to say yet becomes ready in its handshake; a plain socket on the loop's next turn. */
static void on_first_poll(uv_poll_t *poll, int status, int events) {
    struct stream *s = poll->data;
    s->watched = -1; /* unknown to watch(): whatever it wants is a change */
    if (s->connecting && status == 0) {
        int error = socket_error(s);
        s->connecting = false;
        if (error || s->why) { /* what connect() itself returned is not told again by the socket */
            note_errno(s, error);
            stream_abort(s);
            return;
        }
    }
    if (!s->handshaking && status == 0) s->events->on_ready(s->arg);
    on_poll(poll, status, events);
}

struct stream *stream_open(uv_loop_t *loop, int fd, SSL_CTX *tls, const struct stream_events *events, void *arg) {
    struct stream *s = mem_alloc(sizeof *s);
    if (tls) {
        s->ssl = SSL_new(tls);
        if (s->ssl == NULL || SSL_set_fd(s->ssl, fd) != 1) goto fail;
        SSL_set_accept_state(s->ssl);
        s->handshaking = true;
    }
    if (uv_poll_init(loop, &s->poll, fd) < 0) goto fail;
    s->poll.data = s;
    s->fd = fd;
    s->events = events;
    s->arg = arg;
    s->progress_ms = clock_mono_ms();
    if (uv_poll_start(&s->poll, tls ? UV_READABLE : UV_READABLE | UV_WRITABLE, on_first_poll) < 0) abort();
    return s;
fail:
    if (s->ssl) SSL_free(s->ssl);
    close(fd);
    free(s);
    return NULL;
}

struct stream *stream_connect(uv_loop_t *loop, const struct sockaddr *to, SSL *ssl, const struct stream_events *events,
                              void *arg) {
    socklen_t len = to->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int on = 1, unheard_ms = UNHEARD_MS, fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) goto free_ssl;
    struct stream *s = mem_alloc(sizeof *s);
    s->fd = fd;
    s->client = s->connecting = true;
    s->events = events;
    s->arg = arg;
    s->progress_ms = clock_mono_ms();
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    /* What is sent and not acknowledged for so long went nowhere; the kernel itself would go on for a quarter of an hour. */
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, sizeof unheard_ms);
    if (ssl && SSL_set_fd(ssl, fd) != 1) goto free_stream;
    s->ssl = ssl;
    s->handshaking = ssl != NULL;
    /* A refusal at once is told as any other: by the poll that follows. */
    if (connect(fd, to, len) < 0 && errno != EINPROGRESS) note_errno(s, errno);
    if (uv_poll_init(loop, &s->poll, fd) < 0) goto free_stream;
    s->poll.data = s;
    if (uv_poll_start(&s->poll, UV_WRITABLE, on_first_poll) < 0) abort();
    return s;
free_stream:
    free(s->why);
    free(s);
    close(fd);
free_ssl:
    if (ssl) SSL_free(ssl);
    return NULL;
}
