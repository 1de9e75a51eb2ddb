/* SPDX-License-Identifier: Apache-2.0 */
#include "telephony/ari.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/ws_client.h"
#include "metrics/metrics.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ari_call {
    unsigned long long id;
    uint64_t asked_us;
    ari_cb cb;
    void *arg;
    struct ari_call *next;
};

struct ari {
    struct ari_hub *hub;
    struct ws_client *ws; /* NULL when it has closed */
    bool opened, closed;  /* closed: ari_close() was called, the owner hears nothing more */
    unsigned long long last_id;
    struct ari_call *calls, **calls_end; /* oldest first; Asterisk answers in that order */
    uv_timer_t timer;                    /* due when the oldest request is */
    int refs;                            /* the socket and the timer */
    void (*on_open)(void *arg);
    void (*on_event)(void *arg, const json_t *event);
    void (*on_close)(void *arg, const struct err *e);
    void *arg;
};

struct ari_late {
    ari_cb cb;
    void *arg;
    struct err e;
    struct ari_late *next;
};

/* -- the hub ----------------------------------------------------------------------------------------------------------- */

static void hub_unref(struct ari_hub *hub) {
    if (--hub->open == 0 && hub->closing) hub->on_idle(hub->arg);
}

static void late_run(struct ari_hub *hub) {
    /* What a callback adds now runs in the next turn. */
    struct ari_late *late = hub->late;
    hub->late = NULL;
    hub->late_end = &hub->late;
    while (late) {
        struct ari_late *next = late->next;
        late->cb(late->arg, 0, NULL, &late->e);
        free(late);
        late = next;
    }
}

static void on_late(uv_timer_t *timer) {
    late_run(timer->data);
}

void ari_fail_later(struct ari_hub *hub, ari_cb cb, void *arg, int code, const char *text) {
    if (cb == NULL) return;
    struct ari_late *late = mem_alloc(sizeof *late);
    late->cb = cb;
    late->arg = arg;
    err_set(&late->e, code, "%s", text);
    *hub->late_end = late;
    hub->late_end = &late->next;
    if (!hub->closing) uv_timer_start(&hub->late_timer, on_late, 0, 0);
}

void ari_hub_init(struct ari_hub *hub, uv_loop_t *loop, struct net *net, struct metrics *metrics) {
    static const char *const labels[] = {"status=\"none\"", "status=\"1xx\"", "status=\"2xx\"",
                                         "status=\"3xx\"",  "status=\"4xx\"", "status=\"5xx\""};
    memset(hub, 0, sizeof *hub);
    hub->loop = loop;
    hub->net = net;
    hub->metrics = metrics;
    hub->late_end = &hub->late;
    hub->open = 1;
    hub->timeout_ms = ARI_TIMEOUT_MS;
    uv_timer_init(loop, &hub->late_timer);
    hub->late_timer.data = hub;
    if (metrics == NULL) return;
    for (int i = 0; i < 6; i++)
        hub->status[i] = metrics_counter(metrics, "ari_requests_total", labels[i], "ARI requests by status class");
    hub->seconds = metrics_histogram(metrics, "ari_request_seconds", "", "time from an ARI request to its answer");
    hub->unknown = metrics_counter(metrics, "ari_answers_unknown_total", "", "ARI answers nobody waited for any more");
}

static void on_late_closed(uv_handle_t *handle) {
    struct ari_hub *hub = handle->data;
    while (hub->late) late_run(hub);
    hub_unref(hub);
}

void ari_hub_close(struct ari_hub *hub, void (*on_idle)(void *arg), void *arg) {
    hub->closing = true;
    hub->on_idle = on_idle;
    hub->arg = arg;
    uv_close((uv_handle_t *)&hub->late_timer, on_late_closed);
}

/* -- reading ----------------------------------------------------------------------------------------------------------- */

int ari_read(const char *text, size_t len, struct ari_message *out, struct err *e) {
    json_error_t why;
    memset(out, 0, sizeof *out);
    out->json = json_loadb(text, len, 0, &why);
    const char *type = json_string_value(json_object_get(out->json, "type"));
    if (type == NULL) {
        json_decref(out->json);
        out->json = NULL;
        return err_set(e, ERR_PROTOCOL, "Asterisk sent something that is no event");
    }
    if (strcmp(type, "RESTResponse") != 0) return 0;

    out->is_answer = true;
    const char *id = json_string_value(json_object_get(out->json, "request_id"));
    json_int_t status = json_integer_value(json_object_get(out->json, "status_code"));
    long long number = 0;
    if (id == NULL || !str_to_int(id, &number) || number <= 0 || status < 100 || status > 599) {
        json_decref(out->json);
        out->json = NULL;
        return err_set(e, ERR_PROTOCOL, "Asterisk sent an answer without a usable id and status");
    }
    out->id = (unsigned long long)number;
    out->status = (int)status;
    json_t *body = json_object_get(out->json, "message_body");
    if (json_string_length(body) > 0)
        out->body = json_loadb(json_string_value(body), json_string_length(body), JSON_DECODE_ANY, &why);
    return 0;
}

static void count_answer(struct ari *a, const struct ari_call *call, int status) {
    struct ari_hub *hub = a->hub;
    if (hub->metrics == NULL) return;
    metric_add(hub->status[status / 100 < 6 ? status / 100 : 0], 1);
    if (status) metric_observe(hub->seconds, (double)(clock_mono_us() - call->asked_us) / 1e6);
}

/* Ends a call that is in no list any more. */
static void call_end(struct ari *a, struct ari_call *call, int status, const json_t *body, const struct err *e) {
    count_answer(a, call, status);
    if (call->cb) call->cb(call->arg, status, body, e);
    free(call);
}

static struct ari_call *call_remove(struct ari *a, unsigned long long id) {
    for (struct ari_call **at = &a->calls; *at; at = &(*at)->next) {
        struct ari_call *call = *at;
        if (call->id != id) continue;
        *at = call->next;
        if (*at == NULL) a->calls_end = at;
        return call;
    }
    return NULL;
}

static void timer_set(struct ari *a);

/* When the oldest request has waited long enough. */
static uint64_t due_us(const struct ari *a) {
    return a->calls->asked_us + (uint64_t)a->hub->timeout_ms * 1000;
}

static void on_timer(uv_timer_t *timer) {
    struct ari *a = timer->data;
    uint64_t now = clock_mono_us();
    /* Timers run before sockets: after a long pause of this loop the answers lie unread in the socket, so read first. */
    if (a->calls && now > due_us(a) + 200000 && uv_timer_get_repeat(timer) == 0) {
        uv_timer_start(timer, on_timer, 100, 1);
        return;
    }
    uv_timer_stop(timer);
    struct err e;
    err_set(&e, ERR_TIMEOUT, "Asterisk did not answer within %d ms", a->hub->timeout_ms);
    while (a->calls && now >= due_us(a)) {
        struct ari_call *call = call_remove(a, a->calls->id);
        call_end(a, call, 0, NULL, &e);
    }
    if (!a->closed) timer_set(a);
}

static void timer_set(struct ari *a) {
    if (uv_is_closing((uv_handle_t *)&a->timer)) return;
    if (a->calls == NULL) {
        uv_timer_stop(&a->timer);
        return;
    }
    if (uv_is_active((uv_handle_t *)&a->timer)) return;
    uint64_t due = due_us(a), now = clock_mono_us();
    uv_timer_start(&a->timer, on_timer, due > now ? (due - now) / 1000 + 1 : 0, 0);
}

static void on_message(void *arg, const char *text, size_t len) {
    struct ari *a = arg;
    struct ari_message m;
    struct err e;
    if (a->closed) return;
    if (ari_read(text, len, &m, &e) < 0) {
        log_warn("ari.message_bad", "%s: %.200s", e.text, text);
        return;
    }
    if (!m.is_answer) {
        a->on_event(a->arg, m.json);
    } else {
        struct ari_call *call = call_remove(a, m.id);
        if (call) {
            call_end(a, call, m.status, m.body, NULL);
        } else {
            a->hub->unknown_count++;
            if (a->hub->unknown) metric_add(a->hub->unknown, 1);
        }
    }
    json_decref(m.body);
    json_decref(m.json);
}

/* -- the connection ---------------------------------------------------------------------------------------------------- */

static void ari_unref(struct ari *a) {
    if (--a->refs > 0) return;
    struct ari_hub *hub = a->hub;
    free(a);
    hub_unref(hub);
}

static void on_timer_closed(uv_handle_t *handle) {
    ari_unref(handle->data);
}

static void fail_calls(struct ari *a) {
    while (a->calls) {
        struct ari_call *call = call_remove(a, a->calls->id);
        count_answer(a, call, 0);
        ari_fail_later(a->hub, call->cb, call->arg, ERR_CLOSED, "the connection to Asterisk is gone");
        free(call);
    }
}

static void on_ws_open(void *arg) {
    struct ari *a = arg;
    if (a->closed) return;
    a->opened = true;
    a->on_open(a->arg);
}

static void on_ws_close(void *arg, const struct err *e) {
    struct ari *a = arg;
    struct err none = {ERR_CLOSED, "Asterisk closed the connection"};
    a->ws = NULL;
    a->opened = false;
    fail_calls(a);
    if (!a->closed) a->on_close(a->arg, e ? e : &none);
    ari_unref(a);
}

struct ari *ari_open(struct ari_hub *hub, const struct ari_opts *o) {
    struct ari *a = mem_alloc(sizeof *a);
    a->hub = hub;
    a->calls_end = &a->calls;
    a->refs = 2;
    hub->open++;
    a->on_open = o->on_open;
    a->on_event = o->on_event;
    a->on_close = o->on_close;
    a->arg = o->arg;
    uv_timer_init(hub->loop, &a->timer);
    a->timer.data = a;
    struct ws_client_opts opts = {
        .url = o->url,
        .user = o->user,
        .password = o->password,
        .quick_ack = true,
        .connect_timeout_ms = o->connect_timeout_ms,
        .message_limit = 32u << 20, /* a listing of some 20,000 channels */
        .on_open = on_ws_open,
        .on_message = on_message,
        .on_close = on_ws_close,
        .arg = a,
    };
    a->ws = ws_client_open(hub->net, &opts);
    return a;
}

static void ari_end(struct ari *a, bool drop) {
    if (a->closed) return;
    a->closed = true;
    fail_calls(a);
    if (a->ws && drop)
        ws_client_drop(a->ws);
    else if (a->ws)
        ws_client_close(a->ws, 1000);
    uv_close((uv_handle_t *)&a->timer, on_timer_closed);
}

void ari_close(struct ari *a) {
    ari_end(a, false);
}

void ari_drop(struct ari *a) {
    ari_end(a, true);
}

void ari_request(struct ari *a, const char *method, const char *path, const json_t *body, ari_cb cb, void *arg) {
    struct buf text = {0};
    struct err e;
    if (a->closed || !a->opened) {
        ari_fail_later(a->hub, cb, arg, ERR_CLOSED, "the connection to Asterisk is gone");
        return;
    }
    unsigned long long id = ++a->last_id;
    buf_printf(&text, "{\"type\":\"RESTRequest\",\"request_id\":\"%llu\",\"method\":\"%s\",\"uri\":\"", id, method);
    if (*path == '/') path++; /* Asterisk wants it without */
    str_json(&text, path, strlen(path));
    buf_add_str(&text, "\"");
    if (body) {
        char *inner = json_dumps(body, JSON_COMPACT);
        buf_add_str(&text, ",\"content_type\":\"application/json\",\"message_body\":\"");
        str_json(&text, inner, strlen(inner));
        buf_add_str(&text, "\"");
        free(inner);
    }
    buf_add_str(&text, "}");
    int rc = ws_client_send(a->ws, text.data, text.len, &e);
    buf_free(&text);
    if (rc < 0) {
        ari_fail_later(a->hub, cb, arg, e.code, e.text);
        return;
    }
    struct ari_call *call = mem_alloc(sizeof *call);
    *call = (struct ari_call){id, clock_mono_us(), cb, arg, NULL};
    *a->calls_end = call;
    a->calls_end = &call->next;
    timer_set(a);
}

void ari_encode(struct buf *out, const char *text) {
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || strchr("-._~", *p))
            buf_add(out, p, 1);
        else
            buf_printf(out, "%%%02X", *p);
    }
}
