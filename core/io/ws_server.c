/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that became a WebSocket. The session (the handler's own) gets on_ws_close exactly once, when the
 * socket is gone; struct ws lives until then, so a handler may send or close at any time before. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/http_conn.h"
#include "io/ws_deflate.h"
#include "io/ws_frame.h"
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

struct ws {
    struct http_conn *conn;
    void *session; /* the handler's */
    struct ws_reader reader;
    bool close_sent, pinged;
    int close_code; /* told to on_ws_close */
    uint64_t ping_at_ms, close_by_ms;
    uint64_t message_by_ms; /* by when a message that has begun must be whole; 0: none has */
    struct http_bucket frames;
};

static void send_frame(struct ws *ws, int opcode, const void *data, size_t len) {
    unsigned char head[10];
    struct buf out = {0};
    size_t head_len = ws_frame_head(head, opcode, len);
    buf_reserve(&out, head_len + len);
    buf_add(&out, head, head_len);
    buf_add(&out, data, len);
    stream_write(ws->conn->stream, out.data, out.len);
    buf_free(&out);
}

static void send_close(struct ws *ws, int code, const char *reason) {
    if (ws->close_sent) return;
    ws->close_sent = true;
    ws->close_by_ms = clock_mono_ms() + (uint64_t)http_times.ws_close;
    char payload[125] = {(char)(code >> 8), (char)code};
    size_t len = reason && str_is_utf8(reason, strlen(reason)) ? strlen(reason) : 0;
    if (len > 123) { /* cut between characters */
        len = 123;
        while (len && ((unsigned char)reason[len] & 0xC0) == 0x80) len--;
    }
    if (len) memcpy(payload + 2, reason, len);
    send_frame(ws, WS_CLOSE, payload, code ? len + 2 : 0);
}

int ws_send(struct ws *ws, const char *text, size_t len, struct err *e) {
    if (ws->close_sent || ws->conn->mode != HTTP_WS) return err_set(e, ERR_CLOSED, "the WebSocket is closed");
    if (ws_queued(ws) + len > ws->conn->server->o.ws_queue_limit)
        return err_set(e, ERR_LIMIT, "%zu bytes wait to be sent to a slow client", ws_queued(ws));
    const struct buf *packed = ws->reader.deflate ? ws_deflate(text, len) : NULL;
    if (packed)
        send_frame(ws, WS_TEXT | WS_PACKED, packed->data, packed->len);
    else
        send_frame(ws, WS_TEXT, text, len);
    return 0;
}

size_t ws_queued(const struct ws *ws) {
    return stream_queued(ws->conn->stream);
}

void ws_close(struct ws *ws, int code, const char *reason) {
    if (ws->close_sent || ws->conn->mode != HTTP_WS) return;
    send_close(ws, ws_close_code_ok(code) ? code : 1000, reason);
}

/* Ends the conversation from our side because of what the peer did. */
static void fail(struct ws *ws, int code) {
    ws->close_code = code;
    send_close(ws, code,
               code == 1009   ? "message larger than the limit"
               : code == 1008 ? "too many messages at once"
               : code == 1007 ? "text is not UTF-8 or not packed as agreed"
                              : "");
    http_conn_finish(ws->conn);
}

static void on_close_frame(struct ws *ws, const struct buf *payload) {
    int code = 1005; /* none given */
    if (payload->len == 1) {
        fail(ws, 1002);
        return;
    }
    if (payload->len >= 2) {
        code = (unsigned char)payload->data[0] << 8 | (unsigned char)payload->data[1];
        if (!ws_close_code_ok(code)) {
            fail(ws, 1002);
            return;
        }
        if (!str_is_utf8(payload->data + 2, payload->len - 2)) {
            fail(ws, 1007);
            return;
        }
    }
    ws->close_code = code;
    send_close(ws, code == 1005 ? 0 : code, NULL);
    http_conn_finish(ws->conn);
}

void ws_data(struct http_conn *c, const char *data, size_t len) {
    struct ws *ws = c->ws;
    struct http_server *s = c->server;

    ws->pinged = false; /* any byte shows that it lives */
    while (c->mode == HTTP_WS) {
        const struct buf *payload = NULL;
        size_t used = 0;
        int opcode = ws_read(&ws->reader, data, len, s->o.ws_message_limit, &used, &payload);
        data += used;
        len -= used;
        if (opcode == 0) break;
        if (ws->reader.message_opcode == 0) ws->message_by_ms = 0; /* control frames may come between fragments */
        if (opcode < 0) {
            fail(ws, -opcode);
        } else if (s->o.ws_frames_a_second > 0 &&
                   !http_bucket_take(&ws->frames, 1, 3.0 * s->o.ws_frames_a_second, s->o.ws_frames_a_second)) {
            http_conn_ended(c, ENDED_WS_FLOOD);
            fail(ws, 1008);
        } else if (opcode == WS_CLOSE) {
            on_close_frame(ws, payload);
        } else if (opcode == WS_PING) {
            if (ws_queued(ws) > s->o.ws_queue_limit)
                stream_abort(c->stream); /* it asks and asks and reads no answer */
            else if (!ws->close_sent)
                send_frame(ws, WS_PONG, payload->data ? payload->data : "", payload->len);
        } else if (opcode != WS_PONG && !ws->close_sent) {
            s->o.on_ws_message(ws->session, ws, payload->data ? payload->data : "", payload->len, opcode == WS_BINARY);
            if (ws->reader.message.cap > 4096) buf_free(&ws->reader.message);
        }
    }
    if (ws->message_by_ms == 0 && (ws->reader.head_len || ws->reader.in_payload || ws->reader.message_opcode))
        ws->message_by_ms = clock_mono_ms() + (uint64_t)http_times.request;
}

void ws_drain(struct http_conn *c) {
    struct http_server *s = c->server;
    c->ws->ping_at_ms = clock_mono_ms() + (uint64_t)http_times.ping; /* only now can it answer one that stood behind */
    if (s->o.on_ws_drain && !c->ws->close_sent) s->o.on_ws_drain(c->ws->session, c->ws);
}

void ws_tick(struct http_conn *c, uint64_t now_ms) {
    struct ws *ws = c->ws;
    if (ws->close_sent) {
        if (now_ms >= ws->close_by_ms) stream_abort(c->stream);
        return;
    }
    if (ws->message_by_ms && now_ms >= ws->message_by_ms) {
        http_conn_ended(c, ENDED_SLOW);
        fail(ws, 1008);
        return;
    }
    if (now_ms < ws->ping_at_ms) return;
    /* Our ping stands behind what it has not taken yet: how slowly it may do that is looked at elsewhere. */
    if (ws->pinged && stream_queued(c->stream)) return;
    if (ws->pinged) {
        stream_abort(c->stream);
        return;
    }
    ws->pinged = true;
    ws->ping_at_ms = now_ms + (uint64_t)http_times.ping;
    send_frame(ws, WS_PING, "", 0);
}

void ws_end(struct http_conn *c) {
    struct ws *ws = c->ws;
    c->server->o.on_ws_close(ws->session, ws->close_code);
    ws_reader_free(&ws->reader);
    free(ws);
    c->ws = NULL;
}

static void accept_key(const char *key, char out[32]) {
    char text[64];
    unsigned char hash[SHA_DIGEST_LENGTH];
    int len = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    SHA1((const unsigned char *)text, (size_t)len, hash);
    EVP_EncodeBlock((unsigned char *)out, hash, sizeof hash);
}

static void reply_problem(struct http_request *r, int status, const struct http_field *more, char *body) {
    struct http_field fields[3] = {{"Content-Type", "application/problem+json"}, more ? *more : (struct http_field){0}};
    http_reply(r, status, fields, body, strlen(body));
    free(body);
}

/* A key is 16 bytes in base64. */
static bool key_ok(const char *key) {
    return key && strlen(key) == 24 &&
           strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == 22 &&
           strcmp(key + 22, "==") == 0;
}

static bool offers_deflate(const struct http_request *r) {
    for (size_t i = 0; i < r->head.field_count; i++)
        if (strcmp(r->head.fields[i].name, "sec-websocket-extensions") == 0 &&
            ws_deflate_offered(r->head.fields[i].value))
            return true;
    return false;
}

void ws_upgrade(struct http_conn *c, struct http_request *r) {
    struct http_server *s = c->server;
    const char *version = http_header(r, "sec-websocket-version");
    const char *key = http_header(r, "sec-websocket-key");
    void *session = NULL;
    char *body = NULL, accept[32];
    struct buf out = {0};

    r->handling = true;
    if (version == NULL || strcmp(version, "13") != 0) {
        const struct http_field want = {"Sec-WebSocket-Version", "13"};
        reply_problem(r, 426, &want, http_problem(r, 426, "this server speaks WebSocket version 13"));
        return;
    }
    if (strcmp(r->head.method, "GET") != 0 || !key_ok(key) || r->body.len) {
        reply_problem(r, 400, NULL, http_problem(r, 400, "not a valid WebSocket handshake"));
        return;
    }
    if (s->closing) {
        reply_problem(r, 503, NULL, http_problem(r, 503, "the server is closing"));
        return;
    }
    int status = s->o.on_upgrade(s->o.arg, r, &session, &body);
    if (status != 101) {
        reply_problem(r, status, NULL, body ? body : http_problem(r, status, "the WebSocket was refused"));
        return;
    }
    free(body);
    accept_key(key, accept);
    /* No subprotocol is chosen, whatever the client offers. */
    bool deflate = s->o.ws_deflate && offers_deflate(r);
    buf_printf(&out,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\n%s\r\n",
               accept, deflate ? "Sec-WebSocket-Extensions: " WS_DEFLATE_ANSWER "\r\n" : "");
    stream_write(c->stream, out.data, out.len);
    buf_free(&out);

    c->request = NULL;
    c->handling = false;
    http_request_free(r);
    struct ws *ws = c->ws = mem_alloc(sizeof *ws);
    ws->conn = c;
    ws->session = session;
    ws->close_code = 1006;
    ws->reader.deflate = deflate;
    ws->ping_at_ms = clock_mono_ms() + (uint64_t)http_times.ping;
    c->mode = HTTP_WS;
    s->o.on_ws_open(session, ws);
    struct buf early = c->in; /* frames sent before our answer */
    c->in = (struct buf){0};
    if (early.len) ws_data(c, early.data, early.len);
    buf_free(&early);
}
