/* SPDX-License-Identifier: Apache-2.0 */
/* A connected TCP socket on the uv loop, plain or behind TLS, with a queue for what the peer does not take yet.
 *
 * Ownership  stream_open() takes the fd. The stream frees itself after on_end, which always comes from the loop, never
 *            from inside a call of this header; until then every call here is safe (and does nothing once it is over).
 * Threads    Loop thread only.
 */
#pragma once
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct stream;
struct stream_events {
    void (*on_ready)(void *arg); /* connected; for TLS: the handshake is done */
    void (*on_data)(void *arg, const char *data, size_t len);
    void (*on_eof)(void *arg);   /* the peer will send no more; not called after stream_finish() */
    void (*on_drain)(void *arg); /* the queue became empty */
    void (*on_end)(void *arg);   /* last call: the socket is closed */
};

/* tls NULL: plain. NULL when the fd cannot be polled (it is closed then). */
struct stream *stream_open(uv_loop_t *loop, int fd, SSL_CTX *tls, const struct stream_events *events, void *arg);
/* Connects; errors come as on_end, with stream_why() set. ssl: ours, in the client's role and with the name it asks for;
 * NULL: plain. NULL, with both closed, when no socket can be had. */
struct stream *stream_connect(uv_loop_t *loop, const struct sockaddr *to, SSL *ssl, const struct stream_events *events,
                              void *arg);
/* Why it broke off, "" when it did not; borrowed. Of connecting streams only. */
const char *stream_why(const struct stream *s);
void stream_write(struct stream *s, const void *data, size_t len); /* tried at once, the rest is queued */
size_t stream_queued(const struct stream *s);
uint64_t stream_sent(const struct stream *s);        /* bytes the kernel has taken since the beginning */
size_t stream_unsent(void);                          /* bytes queued in all streams of this thread */
uint64_t stream_progress_ms(const struct stream *s); /* clock_mono_ms() of the last byte the peer took, or of opening */
bool stream_is_h2(const struct stream *s);           /* what ALPN chose */
void stream_pause(struct stream *s, bool pause);     /* stops or goes on reading */
/* Sends what is queued, then closes; what still arrives is thrown away, because closing with unread bytes would reset
 * the connection and take our last reply with it. The caller ends a peer that never closes with stream_abort(). */
void stream_finish(struct stream *s);
void stream_abort(struct stream *s);
