/* SPDX-License-Identifier: Apache-2.0 */
/* Problem documents of what the server refuses before lua/ sees it, in the form of lua/lib/problem.lua: with a code for
 * programs, and with a trace that stands in the log too. */
#include "base/log.h"
#include "base/str.h"
#include "crypto/crypto.h"
#include "io/http_conn.h"
#include <stdio.h>
#include <string.h>

enum { TRACE_DIGITS = 32, TRACEPARENT = 55 };

static const char *code_of(int status) {
    switch (status) {
    case 400:
        return "bad_http";
    case 408:
        return "request_timeout";
    case 413:
        return "body_too_large";
    case 414:
        return "target_too_long";
    case 417:
        return "expectation_failed";
    case 426:
        return "websocket_version";
    case 429:
        return "too_many_connections";
    case 431:
        return "head_too_large";
    case 500:
        return "internal";
    case 503:
        return "not_available";
    case 505:
        return "http_version";
    default:
        return "refused";
    }
}

/* "00-<32 hex>-<16 hex>-<2 hex>" in small letters, neither id all zeros: another version may have more behind it. */
static bool traceparent_ok(const char *text) {
    static const int dashes[] = {2, 35, 52};
    size_t len = strlen(text);
    if (len < TRACEPARENT || (len > TRACEPARENT && (strncmp(text, "00", 2) == 0 || text[TRACEPARENT] != '-')))
        return false;
    for (int i = 0; i < TRACEPARENT; i++) {
        bool dash = i == dashes[0] || i == dashes[1] || i == dashes[2];
        if (dash ? text[i] != '-' : !strchr("0123456789abcdef", text[i])) return false;
    }
    return strncmp(text, "ff", 2) != 0 && strspn(text + 3, "0") < TRACE_DIGITS && strspn(text + 36, "0") < 16;
}

static void trace_of(const struct http_request *r, struct buf *out) {
    const char *given = r ? http_header(r, "traceparent") : NULL;
    if (given && traceparent_ok(given)) {
        buf_add(out, given + 3, TRACE_DIGITS);
        return;
    }
    uint8_t id[TRACE_DIGITS / 2];
    crypto_random(id, sizeof id);
    crypto_hex(id, sizeof id, out);
}

char *http_problem(const struct http_request *r, int status, const char *detail) {
    struct buf b = {0}, trace = {0};
    const char *code = code_of(status);
    char too_large[96];

    if (status == 413 && r) {
        snprintf(too_large, sizeof too_large, "the request body is larger than the limit of %zu bytes", r->body_limit);
        detail = too_large;
    }
    trace_of(r, &trace);
    buf_printf(&b, "{\"code\":\"%s\",\"detail\":\"", code);
    str_json(&b, detail, strlen(detail));
    if (r && r->head.path) {
        buf_add_str(&b, "\",\"instance\":\"");
        str_json(&b, r->head.path, strlen(r->head.path));
    }
    buf_printf(&b, "\",\"status\":%d,\"title\":\"%s\",\"trace\":\"%s\",\"type\":\"urn:parley:problem:%s\"}", status,
               http_status_text(status), trace.data, code);
    log_line(status == 500 ? LOG_WARN : LOG_DEBUG, "http.refused", "%d, trace %s: %s", status, trace.data, detail);
    buf_free(&trace);
    return buf_take(&b);
}
