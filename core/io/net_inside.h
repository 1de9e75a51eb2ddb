/* SPDX-License-Identifier: Apache-2.0 */
/* What struct net holds, for the servers and clients that live in it. */
#pragma once
#include "io/http_crowd.h"
#include "io/net.h"
#include <stdbool.h>

struct lws_context;
struct lws_vhost;
struct http_server;

struct net {
    uv_loop_t *loop;         /* borrowed */
    struct metrics *metrics; /* borrowed; may be NULL */
    struct lws_context *lws; /* WebSocket clients live on it */
    struct http_server *servers;
    struct http_crowd crowd; /* of all servers */
    struct ws_client *clients;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
    uv_timer_t end; /* takes the last steps out of everybody's callbacks */
};

void net_server_closed(struct net *n);
void net_client_closed(struct net *n);
void http_server_abort(struct http_server *s);
struct http_server *http_server_next(struct http_server *s);
void ws_client_abort(struct ws_client *c);
struct ws_client *ws_client_next(struct ws_client *c);

/* In milliseconds; a variable so that a test need not wait. */
struct ws_client_times {
    int ping, pong, close;
};
extern struct ws_client_times ws_client_times;
