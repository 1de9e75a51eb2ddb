/* SPDX-License-Identifier: Apache-2.0 */
/* A URL in its parts: a WebSocket's, or HTTP's, which differ in their first letters. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

struct ws_url {
    bool tls;
    char *host;      /* without the brackets of an IPv6 address */
    char *authority; /* host:port as the Host header has it */
    int port;
    char *target; /* path and query, begins with / */
};

/* 0 or ERR_INVALID; out can be freed either way. No user info, no fragment. */
int ws_url_parse(struct ws_url *out, const char *text, struct err *e);
int http_url_parse(struct ws_url *out, const char *text, struct err *e); /* the same for http:// and https:// */
void ws_url_free(struct ws_url *u);
