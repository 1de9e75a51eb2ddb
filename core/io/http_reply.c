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
    for (size_t i = 0; ours[i]; i++)
        if (strcasecmp(name, ours[i]) == 0) return true;
    return false;
}

bool http_field_ok(const struct http_field *f) {
    if (f->value && http_name_ok(f->name, strlen(f->name)) && http_value_ok(f->value, strlen(f->value)))
        return !is_ours(f->name);
    log_warn("http.field_dropped", "a reply's header %s holds bytes that no header may have", f->name);
    return false;
}

void http_reply_bytes(struct buf *out, int status, const struct http_field *fields, const void *body, size_t len,
                      bool close) {
    buf_reserve(out, len + 512);
    buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: parley\r\n", status, http_status_text(status), http_date());
    for (; fields && fields->name; fields++)
        if (http_field_ok(fields)) buf_printf(out, "%s: %s\r\n", fields->name, fields->value);
    if (status != 204 && status != 304 && status >= 200) buf_printf(out, "Content-Length: %zu\r\n", len);
    if (close) buf_add_str(out, "Connection: close\r\n");
    buf_add_str(out, "\r\n");
    if (body && status != 204 && status != 304) buf_add(out, body, len);
}
