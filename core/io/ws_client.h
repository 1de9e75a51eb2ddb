/* SPDX-License-Identifier: Apache-2.0 */
/* A WebSocket client connection. Names are resolved off the loop. Pings every 10 s, dead after 5 s
 * without an answer. TCP_NODELAY always; quick_ack sets TCP_QUICKACK again after each received message. */
#pragma once
#include "io/net.h"
#include <stdbool.h>
#include <stddef.h>

struct ws_client;
struct ws_client_opts {
    const char *url;             /* ws://host:port/path?query or wss://; host:port up to 119 bytes, the rest to 2032 */
    const char *user, *password; /* Basic; NULL: none */
    const char *protocol;        /* subprotocol or NULL */
    const char *ca_file;         /* wss: NULL: the system's */
    const char *const *headers;  /* "Name: value", ends with NULL; may be NULL */
    bool quick_ack;
    int connect_timeout_ms; /* whole handshake; 0: 5000 */
    size_t message_limit;   /* 0: 4 MiB */
    void (*on_open)(void *arg);
    void (*on_message)(void *arg, const char *text, size_t len); /* whole message; len excludes a NUL that is there */
    void (*on_drain)(void *arg);                                 /* all that was queued has been written; may be NULL */
    /* Last call, exactly once, also when it never opened (then e says why: refused, 401, timeout ...). */
    void (*on_close)(void *arg, const struct err *e);
    void *arg;
};
struct ws_client *ws_client_open(struct net *net,
                                 const struct ws_client_opts *o); /* never NULL; copies what it needs */
int ws_client_send(struct ws_client *c, const char *text, size_t len,
                   struct err *e); /* ERR_CLOSED, ERR_LIMIT (16 MiB or 65,536 messages queued) */
int ws_client_send_binary(struct ws_client *c, const void *data, size_t len, struct err *e);
size_t ws_client_queued(const struct ws_client *c);   /* bytes that wait to be written */
bool ws_client_is_drained(const struct ws_client *c); /* nothing waits, no empty message either */
bool ws_client_is_binary(const struct ws_client *c);  /* in on_message: whether this one is */
int ws_client_status(const struct ws_client *c);      /* in on_close: of the HTTP answer that refused it; 0: none did */
/* No more is read until it goes on: what the server sends waits in the kernel, and then with the server. A message or
 * two may still come. Pings are not sent meanwhile, for their answers would stand behind what is not read. */
void ws_client_pause(struct ws_client *c, bool paused);
/* Starts closing; on_close still comes, later, from the loop. */
void ws_client_close(struct ws_client *c, int code);
/* Ends it at once, and what the kernel has not delivered yet never will be; on_close still comes, later. */
void ws_client_drop(struct ws_client *c);
