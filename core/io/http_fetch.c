/* SPDX-License-Identifier: Apache-2.0 */
/* One request of the HTTP client: its options for curl, what comes back, how it ends. */
#include "base/mem.h"
#include "io/http_client_inside.h"
#include "metrics/metrics.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_LIMIT = 64 * 1024, CONNECT_MS = 10000 };

static bool is_token(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7F || strchr("()<>@,;:\\\"/[]?={}", text[i]))
            return false;
    return len > 0;
}

/* Ends it on the loop's next turn, where curl lets go of a stream for good; what comes until then is swallowed. */
static void give_up(struct http_fetch *f, int code, const char *text) {
    if (f->why.code) return;
    err_set(&f->why, code, "%s", text);
    http_client_kick(f->client);
}

static size_t on_header(char *data, size_t size, size_t count, void *arg) {
    struct http_fetch *f = arg;
    size_t len = size * count;

    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) { /* of the next response: what came before was a 1xx */
        buf_clear(&f->head);
        return len;
    }
    const char *colon = memchr(data, ':', len);
    if (colon == NULL) return len;
    if (f->head.len + len > HEAD_LIMIT) {
        give_up(f, ERR_LIMIT, "the response head is longer than the limit of 64 KiB");
        return len;
    }
    size_t name_len = (size_t)(colon - data), from = f->head.len;
    const char *value = colon + 1, *end = data + len;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (unsigned char)end[-1] <= ' ') end--;
    buf_add(&f->head, data, name_len);
    for (size_t i = from; i < f->head.len; i++)
        if (f->head.data[i] >= 'A' && f->head.data[i] <= 'Z') f->head.data[i] = (char)(f->head.data[i] + 'a' - 'A');
    buf_add(&f->head, ": ", 2);
    buf_add(&f->head, value, (size_t)(end - value));
    buf_add(&f->head, "\n", 1);
    return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg) {
    struct http_fetch *f = arg;
    size_t len = size * count;
    long status = 0;

    if (f->cancelled || f->why.code) return len;
    if (len > f->o.response_limit - f->received) {
        char text[96];
        snprintf(text, sizeof text, "the response is longer than the limit of %zu bytes", f->o.response_limit);
        give_up(f, ERR_LIMIT, text);
        return len;
    }
    f->received += len;
    if (f->o.on_chunk == NULL) {
        buf_add(&f->in, data, len);
        return len;
    }
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!f->o.on_chunk(f->o.arg, (int)status, data, len)) give_up(f, ERR_CANCELLED, "the reader stopped it");
    return len;
}

/* curl drops a header without value, unless it is written "Name;". */
static void add_header(struct http_fetch *f, const char *text) {
    const char *colon = strchr(text, ':');
    if (colon == NULL || !is_token(text, (size_t)(colon - text)) || strpbrk(text, "\r\n")) {
        err_set(&f->why, ERR_INVALID, "a header is not \"Name: value\"");
        return;
    }
    if (colon[1 + strspn(colon + 1, " \t")]) {
        f->headers = curl_slist_append(f->headers, text);
    } else {
        char *empty = mem_printf("%.*s;", (int)(colon - text), text);
        f->headers = curl_slist_append(f->headers, empty);
        free(empty);
    }
}

static void add_headers(struct http_fetch *f, const char *const *headers) {
    bool has_type = false, has_expect = false;
    for (; headers && *headers; headers++) {
        add_header(f, *headers);
        has_type |= strncasecmp(*headers, "content-type:", 13) == 0;
        has_expect |= strncasecmp(*headers, "expect:", 7) == 0;
    }
    /* Without these curl calls every body a form, and waits a second for a 100 that many servers never send. */
    if (!has_type) f->headers = curl_slist_append(f->headers, "Content-Type:");
    if (!has_expect) f->headers = curl_slist_append(f->headers, "Expect:");
    curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
}

static void set_method(struct http_fetch *f, const char *method, const void *body, size_t len) {
    if (method == NULL || !is_token(method, strlen(method))) {
        err_set(&f->why, ERR_INVALID, "the method is no word");
        return;
    }
    bool carries = len || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (carries) {
        f->body = len ? mem_dup(body, len) : mem_strdup("");
        curl_easy_setopt(f->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
        curl_easy_setopt(f->easy, CURLOPT_POSTFIELDS, f->body);
    }
    curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_url(struct http_fetch *f, const char *url) {
    bool tls = url && strncasecmp(url, "https://", 8) == 0;
    if (!tls && (url == NULL || strncasecmp(url, "http://", 7) != 0)) {
        err_set(&f->why, ERR_INVALID, "a URL begins with http:// or https://");
        return;
    }
    for (const char *c = url; *c; c++) {
        if ((unsigned char)*c > 0x20 && *c != 0x7F) continue;
        err_set(&f->why, ERR_INVALID, "the URL holds a byte that is not allowed");
        return;
    }
    curl_easy_setopt(f->easy, CURLOPT_URL, url);
    curl_easy_setopt(f->easy, CURLOPT_PATH_AS_IS, 1L);
    /* Rather wait to hear whether a connection that is being made can carry more requests than make another. */
    curl_easy_setopt(f->easy, CURLOPT_PIPEWAIT, tls ? 1L : 0L);
}

void http_fetch_prepare(struct http_fetch *f, const struct http_fetch_opts *o) {
    CURL *easy = f->easy;

    f->o = *o;
    if (f->o.timeout_ms <= 0) f->o.timeout_ms = 30000;
    if (f->o.response_limit == 0) f->o.response_limit = 16 * 1024 * 1024;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, f);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, f->curl_error);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    /* A request that ends while its name is looked up must not wait for the thread that does it. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(f->o.timeout_ms < CONNECT_MS ? f->o.timeout_ms : CONNECT_MS));
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, f);
    if (o->ca_file) curl_easy_setopt(easy, CURLOPT_CAINFO, o->ca_file);
    set_url(f, o->url);
    set_method(f, o->method, o->body, o->len);
    add_headers(f, o->headers);
    f->o.method = f->o.url = f->o.ca_file = NULL;
    f->o.headers = NULL;
    f->o.body = NULL;
}

static int code_of(CURLcode result) {
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_SSL_CACERT_BADFILE:
        return ERR_INVALID;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_PARTIAL_FILE:
        return ERR_PROTOCOL;
    default:
        return ERR_IO;
    }
}

void http_fetch_end(struct http_fetch *f, CURLcode result) {
    struct http_response r = {.headers = f->head.data ? f->head.data : ""};
    long status = 0;

    if (f->cancelled && f->why.code == 0) err_set(&f->why, ERR_CANCELLED, "the request was cancelled");
    if (f->why.code == 0 && result != CURLE_OK)
        err_set(&f->why, code_of(result), "%s", f->curl_error[0] ? f->curl_error : curl_easy_strerror(result));
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    r.status = (int)status;
    if (f->o.on_chunk == NULL) r.body = f->in.data ? f->in.data : "", r.len = f->in.len;
    if (f->why.code && f->client->failures) metric_add(f->client->failures, 1);
    if (f->o.on_done) f->o.on_done(f->o.arg, f->why.code ? NULL : &r, f->why.code ? &f->why : NULL);

    *f->at = f->next;
    if (f->next) f->next->at = f->at;
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->headers);
    free(f->body);
    buf_free(&f->head);
    buf_free(&f->in);
    free(f);
}
