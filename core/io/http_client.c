/* SPDX-License-Identifier: Apache-2.0 */
/* curl's multi interface on the uv loop: curl says which sockets it waits for, we poll them and tell it. */
#include "io/http_client.h"
#include "base/buf.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include <ctype.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TIMEOUT_STANDARD_MS = 30000, HEADERS_MAX = 64 * 1024 };
#define RESPONSE_STANDARD (16u * 1024 * 1024)

struct http_fetch {
    struct http_fetch *next;
    struct http_client *client;
    CURL *easy;
    struct curl_slist *headers;
    char *body;
    struct http_fetch_opts o;
    struct buf head, response;
    char error[CURL_ERROR_SIZE];
    int why; /* err_code that ended it early, 0: curl's own */
    bool cancelled;
};

struct socket_poll {
    uv_poll_t poll; /* freed in its close callback */
    curl_socket_t fd;
    struct http_client *client;
};

struct http_client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    struct http_fetch *fetches;
    struct metric *requests, *failures;
    bool closing;
    int polls;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* -- the end of a fetch ------------------------------------------------------------------------------------------------ */

static int code_of(CURLcode rc) {
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return ERR_INVALID;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return ERR_CLOSED;
    default:
        return ERR_IO;
    }
}

/* "Name: value\r\n" lines of the last response to "name: value\n". */
static void tidy_headers(struct buf *head) {
    struct buf out = {0};
    char *line = head->data, *end;

    for (; line != NULL && *line; line = end) {
        size_t len = strcspn(line, "\r\n");
        char *colon = memchr(line, ':', len);
        end = line + len + strspn(line + len, "\r\n");
        if (colon == NULL) { /* a status line: a new response begins (100 Continue before) */
            buf_clear(&out);
            continue;
        }
        for (char *p = line; p < colon; p++) *p = (char)tolower((unsigned char)*p);
        buf_add(&out, line, len);
        buf_add(&out, "\n", 1);
    }
    buf_free(head);
    *head = out;
}

static void fetch_over(struct http_fetch *f, CURLcode rc) {
    struct http_client *c = f->client;
    struct http_response r = {0};
    struct err e = {0};
    long status = 0;

    for (struct http_fetch **at = &c->fetches; *at != NULL; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            break;
        }
    curl_multi_remove_handle(c->multi, f->easy);
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    if (c->requests != NULL) metric_add(c->requests, 1);
    if (f->why != 0) {
        err_set(&e, f->why, "%s", f->error);
    } else if (rc != CURLE_OK) {
        err_set(&e, code_of(rc), "%s", f->error[0] ? f->error : curl_easy_strerror(rc));
    }
    if (e.code != 0) {
        if (c->failures != NULL) metric_add(c->failures, 1);
        f->o.on_done(f->o.arg, NULL, &e);
    } else {
        tidy_headers(&f->head);
        r.status = (int)status;
        r.headers = f->head.data == NULL ? "" : f->head.data;
        r.body = f->o.on_chunk != NULL ? NULL : f->response.data == NULL ? "" : f->response.data;
        r.len = f->response.len;
        f->o.on_done(f->o.arg, &r, NULL);
    }
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->headers);
    buf_free(&f->head);
    buf_free(&f->response);
    free(f->body);
    free(f);
}

static void maybe_closed(struct http_client *c);

static void look(struct http_client *c) {
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
        struct http_fetch *f;
        CURLcode rc = m->data.result;
        if (m->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
        fetch_over(f, rc);
    }
    maybe_closed(c);
}

/* -- sockets and timers ---------------------------------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *h) {
    struct socket_poll *p = h->data;
    struct http_client *c = p->client;

    free(p);
    c->polls--;
    maybe_closed(c);
}

static void on_poll(uv_poll_t *h, int status, int events) {
    struct socket_poll *p = h->data;
    struct http_client *c = p->client;
    int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0), running;

    if (status < 0) flags = CURL_CSELECT_ERR;
    curl_multi_socket_action(c->multi, p->fd, flags, &running);
    look(c);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *client, void *socket) {
    struct http_client *c = client;
    struct socket_poll *p = socket;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (p != NULL) {
            uv_poll_stop(&p->poll);
            uv_close((uv_handle_t *)&p->poll, on_poll_closed);
            curl_multi_assign(c->multi, fd, NULL);
        }
        return 0;
    }
    if (p == NULL) {
        p = mem_alloc(sizeof *p);
        p->fd = fd;
        p->client = c;
        if (uv_poll_init_socket(c->loop, &p->poll, fd) < 0) {
            free(p);
            return -1;
        }
        p->poll.data = p;
        c->polls++;
        curl_multi_assign(c->multi, fd, p);
    }
    uv_poll_start(&p->poll, (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0), on_poll);
    return 0;
}

static void on_timer(uv_timer_t *t) {
    struct http_client *c = t->data;
    int running;

    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    look(c);
}

static int on_timeout(CURLM *multi, long ms, void *client) {
    struct http_client *c = client;

    (void)multi;
    if (c->closing) return 0;
    if (ms < 0)
        uv_timer_stop(&c->timer);
    else
        uv_timer_start(&c->timer, on_timer, (uint64_t)(ms < 1 ? 1 : ms), 0); /* never from inside this call */
    return 0;
}

/* -- opening and closing ----------------------------------------------------------------------------------------------------- */

static void library_init(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

int http_client_open(struct http_client **out, uv_loop_t *loop, struct metrics *m, struct err *e) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct http_client *c;

    pthread_once(&once, library_init);
    if (!(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS))
        return err_set(e, ERR_INVALID, "this libcurl resolves names on the loop; one with a threaded resolver is needed");
    c = mem_alloc(sizeof *c);
    c->loop = loop;
    c->multi = curl_multi_init();
    if (c->multi == NULL) abort();
    if (m != NULL) {
        c->requests = metrics_counter(m, "http_client_requests_total", "", "requests we made");
        c->failures = metrics_counter(m, "http_client_failures_total", "", "requests that got no answer");
    }
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 128L);
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    *out = c;
    return 0;
}

static void on_timer_closed(uv_handle_t *h) {
    struct http_client *c = h->data;
    void (*closed)(void *arg) = c->closed;
    void *arg = c->closed_arg;

    free(c);
    if (closed != NULL) closed(arg);
}

static void maybe_closed(struct http_client *c) {
    if (!c->closing || c->fetches != NULL) return;
    if (c->multi != NULL) {
        CURLM *multi = c->multi;
        c->multi = NULL;
        curl_multi_cleanup(multi); /* idle connections close; their polls too */
    }
    if (c->polls == 0 && !uv_is_closing((uv_handle_t *)&c->timer)) uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

static void on_closing(uv_timer_t *t) {
    struct http_client *c = t->data;

    while (c->fetches != NULL) {
        struct http_fetch *f = c->fetches;
        f->why = ERR_CANCELLED;
        strcpy(f->error, "the HTTP client was closed");
        fetch_over(f, CURLE_OK);
    }
    maybe_closed(c);
}

void http_client_close(struct http_client *c, void (*closed)(void *arg), void *arg) {
    c->closing = true;
    c->closed = closed;
    c->closed_arg = arg;
    uv_timer_start(&c->timer, on_closing, 0, 0); /* callbacks come from the loop, not from inside this call */
}

/* -- a fetch ------------------------------------------------------------------------------------------------------------------ */

static size_t on_header(char *data, size_t size, size_t n, void *arg) {
    struct http_fetch *f = arg;

    if (f->head.len + size * n > HEADERS_MAX) {
        f->why = ERR_LIMIT;
        snprintf(f->error, sizeof f->error, "the response has more than %d bytes of headers", HEADERS_MAX);
        return 0;
    }
    buf_add(&f->head, data, size * n);
    return size * n;
}

static size_t on_data(char *data, size_t size, size_t n, void *arg) {
    struct http_fetch *f = arg;
    size_t limit = f->o.response_limit > 0 ? f->o.response_limit : RESPONSE_STANDARD;

    if (f->o.on_chunk != NULL) {
        long status = 0;
        curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
        if (f->o.on_chunk(f->o.arg, (int)status, data, size * n)) return size * n;
        f->why = ERR_CANCELLED;
        strcpy(f->error, "the stream was stopped");
        return 0;
    }
    if (f->response.len + size * n > limit) {
        f->why = ERR_LIMIT;
        snprintf(f->error, sizeof f->error, "the response has more than %zu bytes", limit);
        return 0;
    }
    buf_add(&f->response, data, size * n);
    return size * n;
}

struct http_fetch *http_fetch(struct http_client *c, const struct http_fetch_opts *o) {
    struct http_fetch *f = mem_alloc(sizeof *f);
    CURL *easy = curl_easy_init();

    if (easy == NULL) abort();
    f->client = c;
    f->easy = easy;
    f->o = *o;
    f->o.method = f->o.url = NULL; /* not kept */
    f->o.headers = NULL;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, f);
    curl_easy_setopt(easy, CURLOPT_URL, o->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L); /* rather wait for a stream than open another connection */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_STANDARD_MS));
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, f->error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, f);
    if (o->ca_file != NULL) curl_easy_setopt(easy, CURLOPT_CAINFO, o->ca_file);
    f->headers = curl_slist_append(NULL, "Expect:"); /* no 100-continue: it costs a round trip */
    for (int i = 0; o->headers != NULL && o->headers[i] != NULL; i++) f->headers = curl_slist_append(f->headers, o->headers[i]);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, f->headers);
    if (o->body != NULL || (strcmp(o->method, "GET") != 0 && strcmp(o->method, "HEAD") != 0 && strcmp(o->method, "DELETE") != 0)) {
        f->body = o->len > 0 ? mem_dup(o->body, o->len) : NULL;
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, f->body == NULL ? "" : f->body);
    }
    if (strcmp(o->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, o->method);
    f->next = c->fetches;
    c->fetches = f;
    curl_multi_add_handle(c->multi, easy); /* starts from the timer, on the loop */
    return f;
}

static void on_cancel_closed(uv_handle_t *h) { free(h); }

static void on_cancel(uv_timer_t *t) {
    struct http_fetch *f = t->data;
    struct http_client *c = f->client;

    uv_close((uv_handle_t *)t, on_cancel_closed);
    for (struct http_fetch *one = c->fetches; one != NULL; one = one->next)
        if (one == f && f->cancelled) { /* it may have ended by itself meanwhile */
            f->why = ERR_CANCELLED;
            strcpy(f->error, "the request was cancelled");
            fetch_over(f, CURLE_OK);
            break;
        }
    maybe_closed(c);
}

void http_fetch_cancel(struct http_fetch *f) {
    uv_timer_t *t;

    if (f->cancelled) return;
    f->cancelled = true;
    t = mem_alloc(sizeof *t);
    uv_timer_init(f->client->loop, t);
    t->data = f;
    uv_timer_start(t, on_cancel, 0, 0);
}
