/* SPDX-License-Identifier: Apache-2.0 */
/* The libwebsockets context of a worker: HTTP and WebSocket servers and WebSocket clients on one uv loop. */
#pragma once
#include "base/err.h"
#include <uv.h>

struct net;
struct metrics;
int net_open(struct net **out, uv_loop_t *loop, struct metrics *metrics, struct err *e);
/* Closes every connection; closed runs on the loop when nothing of it is left. */
void net_close(struct net *n, void (*closed)(void *arg), void *arg);
