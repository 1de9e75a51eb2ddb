/* SPDX-License-Identifier: Apache-2.0 */
/* What the host gives to http_server_open so that lua/ answers; arg is the struct vm. */
#pragma once
#include "io/http_server.h"

void bind_http_on_request(void *arg, struct http_request *r);
int bind_http_on_upgrade(void *arg, struct http_request *r, void **session, char **reply_body);
void bind_http_on_ws_open(void *session, struct ws *ws);
void bind_http_on_ws_message(void *session, struct ws *ws, const char *data, size_t len, bool binary);
void bind_http_on_ws_drain(void *session, struct ws *ws);
void bind_http_on_ws_close(void *session, int code);
