/* SPDX-License-Identifier: Apache-2.0 */
/* An Asterisk that does as it is told: WebSockets at /ari/events?app=.., one per application, and answers from memory.
 * For what the real one does too seldom: a lost answer, a thief, a restart, a listing that fails. */
#pragma once
#include "base/mem.h"
#include "io/http_server.h"
#include "test.h"
#include <arpa/inet.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fake_session {
    struct fake_ari *fake;
    char app[32];
    struct ws *ws;
    bool current; /* events of the application go here */
    int requests;
    struct fake_session *next;
};

struct fake_ari {
    struct http_server *server;
    int fd, port;
    char url[64], boot[64];
    struct fake_session *sessions;    /* newest first */
    json_t *channels, *bridges, *log; /* log: "METHOD uri" of what is not a listing */
    int swallow;                      /* so many requests get no answer */
    int refuse;                       /* so many handshakes get 503 */
    int listing_fails;                /* so many GET channels get 500 */
    int listings;                     /* GET channels so far */
    int handshakes;
    bool deaf; /* takes no proof: requests are answered, no event comes */
    /* Answers a request that is no listing; NULL or 0: 204. */
    int (*on_request)(struct fake_ari *f, struct fake_session *s, const char *method, const char *uri, json_t **body);
    void *arg;
};

static inline void fake_send(struct fake_session *s, json_t *message) {
    char *text = json_dumps(message, JSON_COMPACT);
    if (s->ws) ws_send(s->ws, text, strlen(text), NULL);
    free(text);
    json_decref(message);
}

static inline struct fake_session *fake_session_of(struct fake_ari *f, const char *app) {
    for (struct fake_session *s = f->sessions; s; s = s->next)
        if (s->current && strcmp(s->app, app) == 0) return s;
    return NULL;
}

/* An event of an application, to whoever has it. */
static inline void fake_event(struct fake_ari *f, const char *app, const char *type, const char *channel) {
    struct fake_session *s = fake_session_of(f, app);
    if (s) fake_send(s, json_pack("{s:s, s:s, s:{s:s}}", "type", type, "application", app, "channel", "id", channel));
}

static inline void fake_add_channel(struct fake_ari *f, const char *id, const char *app_data) {
    json_array_append_new(f->channels, json_pack("{s:s, s:{s:s, s:s}}", "id", id, "dialplan", "app_name", "Stasis",
                                                 "app_data", app_data));
}

static inline void fake_answer(struct fake_session *s, const char *id, int status, json_t *body) {
    json_t *message = json_pack("{s:s, s:s, s:i}", "type", "RESTResponse", "request_id", id, "status_code", status);
    if (body) {
        char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
        json_object_set_new(message, "message_body", json_string(text));
        free(text);
    }
    json_decref(body);
    fake_send(s, message);
}

static inline int fake_upgrade(void *arg, struct http_request *r, void **session, char **reply_body) {
    struct fake_ari *f = arg;
    const char *app = strstr(http_query(r), "app=");
    (void)reply_body;
    f->handshakes++;
    if (f->refuse > 0) {
        f->refuse--;
        return 503;
    }
    /* parley:secret */
    if (strcmp(http_header(r, "authorization"), "Basic cGFybGV5OnNlY3JldA==") != 0) return 401;
    if (strcmp(http_path(r), "/ari/events") != 0 || app == NULL) return 404;
    struct fake_session *s = mem_alloc(sizeof *s);
    s->fake = f;
    snprintf(s->app, sizeof s->app, "%.*s", (int)strcspn(app + 4, "&"), app + 4);
    *session = s;
    return 101;
}

static inline void fake_open(void *session, struct ws *ws) {
    struct fake_session *s = session, *before = fake_session_of(s->fake, s->app);
    s->ws = ws;
    s->current = true;
    if (before) {
        before->current = false;
        fake_send(before, json_pack("{s:s, s:s}", "type", "ApplicationReplaced", "application", s->app));
    }
    s->next = s->fake->sessions;
    s->fake->sessions = s;
}

static inline void fake_message(void *session, struct ws *ws, const char *data, size_t len, bool binary) {
    struct fake_session *s = session;
    struct fake_ari *f = s->fake;
    (void)ws, (void)binary;
    json_t *m = json_loadb(data, len, 0, NULL), *body = NULL;
    const char *id = json_string_value(json_object_get(m, "request_id"));
    const char *method = json_string_value(json_object_get(m, "method"));
    const char *uri = json_string_value(json_object_get(m, "uri"));
    int status = 204;

    CHECK(id && method && uri && uri[0] != '/');
    s->requests++;
    if (strcmp(uri, "asterisk/info") == 0) {
        status = 200;
        body = json_pack("{s:{s:s}, s:{s:s}}", "system", "entity_id", "02:01", "status", "startup_time", f->boot);
    } else if (strcmp(uri, "channels") == 0 && strcmp(method, "GET") == 0) {
        f->listings++;
        status = f->listing_fails-- > 0 ? 500 : 200;
        body = json_incref(f->channels);
    } else if (strcmp(uri, "bridges") == 0 && strcmp(method, "GET") == 0) {
        status = 200;
        body = json_incref(f->bridges);
    } else if (strncmp(uri, "events/user/", 12) == 0) {
        if (!f->deaf)
            fake_send(s, json_pack("{s:s, s:s, s:s}", "type", "ChannelUserevent", "eventname", "parley.proof",
                                   "application", s->app));
    } else if (strncmp(uri, "applications/", 13) == 0) {
        status = 200;
        body = json_pack("{s:s, s:[], s:[]}", "name", uri + 13, "channel_ids", "bridge_ids");
    } else {
        char line[512];
        snprintf(line, sizeof line, "%s %s", method, uri);
        json_array_append_new(f->log, json_string(line));
        if (f->on_request) status = f->on_request(f, s, method, uri, &body);
        if (status == 0) status = 204;
    }
    if (f->swallow > 0) {
        f->swallow--;
        json_decref(body);
    } else {
        fake_answer(s, id, status, body);
    }
    json_decref(m);
}

static inline void fake_close(void *session, int code) {
    struct fake_session *s = session;
    (void)code;
    for (struct fake_session **at = &s->fake->sessions; *at; at = &(*at)->next) {
        if (*at != s) continue;
        *at = s->next;
        break;
    }
    free(s);
}

static inline void fake_no_http(void *arg, struct http_request *r) {
    (void)arg;
    http_reply(r, 404, NULL, NULL, 0);
}

/* Asterisk starts: at the port it had, or (the first time) at a free one. */
static inline void fake_start(struct fake_ari *f, struct net *net) {
    static int boots;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
    socklen_t len = sizeof at;
    struct err e;
    int yes = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    CHECK_INT(0, bind(f->fd, (struct sockaddr *)&at, len));
    CHECK_INT(0, listen(f->fd, 128));
    getsockname(f->fd, (struct sockaddr *)&at, &len);
    f->port = ntohs(at.sin_port);
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d", f->port);
    snprintf(f->boot, sizeof f->boot, "2026-11-23T23:56:%02d.170+0000", ++boots);
    if (f->channels == NULL) f->channels = json_array();
    if (f->bridges == NULL) f->bridges = json_array();
    if (f->log == NULL) f->log = json_array();
    struct http_server_opts o = {.listen_fd = f->fd,
                                 .on_request = fake_no_http,
                                 .on_upgrade = fake_upgrade,
                                 .on_ws_open = fake_open,
                                 .on_ws_message = fake_message,
                                 .on_ws_close = fake_close,
                                 .arg = f,
                                 .ws_message_limit = 1 << 20};
    if (http_server_open(&f->server, net, &o, &e) < 0) fail_msg("%s", e.text);
}

static inline void fake_on_closed(void *arg) {
    *(bool *)arg = true;
}

/* Asterisk ends: sockets closed, port refused, calls gone. */
static inline void fake_stop(struct fake_ari *f, uv_loop_t *loop) {
    bool closed = false;
    if (f->server == NULL) return;
    http_server_close(f->server, 0, fake_on_closed, &closed);
    close(f->fd);
    while (!closed) uv_run(loop, UV_RUN_ONCE);
    f->server = NULL;
    json_array_clear(f->channels);
    json_array_clear(f->bridges);
}

static inline void fake_free(struct fake_ari *f, uv_loop_t *loop) {
    fake_stop(f, loop);
    json_decref(f->channels);
    json_decref(f->bridges);
    json_decref(f->log);
    memset(f, 0, sizeof *f);
}

static inline bool fake_was_asked(const struct fake_ari *f, const char *begin) {
    for (size_t i = 0; i < json_array_size(f->log); i++)
        if (strncmp(json_string_value(json_array_get(f->log, i)), begin, strlen(begin)) == 0) return true;
    return false;
}
