/* SPDX-License-Identifier: Apache-2.0 */
/* What the host gives to http_server_open so that lua/ answers; arg is the struct vm. */
#pragma once
#include "io/http_server.h"
#include <lua.h>

struct vm;

void bind_http_on_request(void *arg, struct http_request *r);
int bind_http_on_upgrade(void *arg, struct http_request *r, void **session, char **reply_body);
void bind_http_on_ws_open(void *session, struct ws *ws);
void bind_http_on_ws_message(void *session, struct ws *ws, const char *data, size_t len, bool binary);
void bind_http_on_ws_drain(void *session, struct ws *ws);
void bind_http_on_ws_close(void *session, int code);

/* Of bind_http_reply.c: begins the reply, and runs the function at fn of co's stack with what it writes to, as a task. */
void bind_http_reply_streamed(struct vm *vm, lua_State *co, int fn, struct http_request *r, int status,
                              const struct http_field *fields);
void bind_http_reply_types(lua_State *L);

/* Of bind_http_stream.c, for the table of core.http. */
int bind_http_stream(lua_State *L);
int bind_http_warm(lua_State *L);
int bind_http_pool(lua_State *L);
void bind_http_stream_types(lua_State *L);
void bind_http_push_headers(lua_State *L, const char *lines); /* "name: value\n" lines as a table */
