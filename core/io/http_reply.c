/* SPDX-License-Identifier: Apache-2.0 */
/* What a reply looks like: status texts and headers. */
#include "base/log.h"
#include "io/http_conn.h"
#include <string.h>
#include <strings.h>
#include <time.h>

const char *http_status_text(int status) {
    switch (status) {
    case 101:
        return "Switching Protocols";
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 206:
        return "Partial Content";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 303:
        return "See Other";
    case 304:
        return "Not Modified";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 402:
        return "Payment Required";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 425:
        return "Too Early";
    case 426:
        return "Upgrade Required";
    case 428:
        return "Precondition Required";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return status < 300 ? "OK" : status < 400 ? "Redirect" : status < 500 ? "Client Error" : "Server Error";
    }
}

const char *http_date(void) {
    static _Thread_local time_t at;
    static _Thread_local char text[32];
    time_t now = time(NULL);
    if (now != at) {
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        at = now;
    }
    return text;
}

/* Headers that only the server itself can get right. */
static bool is_ours(const char *name) {
    static const char *const ours[] = {"content-length", "transfer-encoding", "connection", "date",
                                       "server",         "keep-alive",        "upgrade",    NULL};
    char first = (char)(name[0] | 0x20);
    for (size_t i = 0; ours[i]; i++)
        if (first == ours[i][0] && strcasecmp(name, ours[i]) == 0) return true;
    return false;
}

bool http_field_ok(const struct http_field *f) {
    if (f->value && http_name_ok(f->name, strlen(f->name)) && http_value_ok(f->value, strlen(f->value)))
        return !is_ours(f->name);
    log_warn("http.field_dropped", "a reply's header %s holds bytes that no header may have", f->name);
    return false;
}

static void add_number(struct buf *out, size_t n) {
    char digits[24], *end = digits + sizeof digits, *at = end;
    do *--at = (char)('0' + n % 10);
    while (n /= 10);
    buf_add(out, at, (size_t)(end - at));
}

static void add_field(struct buf *out, const char *name, const char *value) {
    buf_add_str(out, name);
    buf_add(out, ": ", 2);
    buf_add_str(out, value);
    buf_add(out, "\r\n", 2);
}

static void add_head(struct buf *out, int status, const struct http_field *fields) {
    buf_add(out, "HTTP/1.1 ", 9);
    add_number(out, (size_t)status);
    buf_add(out, " ", 1);
    buf_add_str(out, http_status_text(status));
    buf_add(out, "\r\n", 2);
    add_field(out, "Date", http_date());
    add_field(out, "Server", "parley");
    for (; fields && fields->name; fields++)
        if (http_field_ok(fields)) add_field(out, fields->name, fields->value);
}

void http_reply_open_head(struct buf *out, int status, const struct http_field *fields, bool chunked, bool close) {
    add_head(out, status, fields);
    if (chunked) add_field(out, "Transfer-Encoding", "chunked");
    if (close) add_field(out, "Connection", "close");
    buf_add(out, "\r\n", 2);
}

void http_reply_bytes(struct buf *out, int status, const struct http_field *fields, const void *body, size_t len,
                      bool close) {
    buf_reserve(out, len + 512);
    add_head(out, status, fields);
    if (status != 204 && status != 304 && status >= 200) {
        buf_add_str(out, "Content-Length: ");
        add_number(out, len);
        buf_add(out, "\r\n", 2);
    }
    if (close) add_field(out, "Connection", "close");
    buf_add(out, "\r\n", 2);
    if (body && status != 204 && status != 304) buf_add(out, body, len);
}
