/* SPDX-License-Identifier: Apache-2.0 */
#include "io/ws_url.h"
#include "base/mem.h"
#include "base/str.h"
#include <stdlib.h>
#include <string.h>

enum { HOST_MAX = 253 }; /* RFC 1035: what a name server takes; a longer one fails before it is asked */

static char *piece(const char *text, size_t len) {
    return mem_printf("%.*s", (int)len, text);
}

/* text begins with scheme; what it is called stands in the errors. */
static int parse(struct ws_url *out, const char *text, const char *scheme, const char *called, struct err *e) {
    size_t plain = strlen(scheme);
    *out = (struct ws_url){0};
    if (text == NULL || !str_starts(text, scheme) || !str_starts(text + plain + (text[plain] == 's'), "://"))
        return err_set(e, ERR_INVALID, "a %s begins with %s:// or %ss://", called, scheme, scheme);
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7F || *c == '#' || *c == '\\')
            return err_set(e, ERR_INVALID, "the %s holds a byte that is not allowed", called);

    out->tls = text[plain] == 's';
    out->port = out->tls ? 443 : 80;
    const char *host = text + plain + (out->tls ? 4 : 3);
    size_t len = strcspn(host, "/?");
    if (memchr(host, '@', len)) return err_set(e, ERR_INVALID, "user and password do not belong in the %s", called);
    const char *rest = host + len;
    bool six = host[0] == '[';
    const char *host_end = six ? memchr(host, ']', len) : memchr(host, ':', len);
    if (six && host_end == NULL) return err_set(e, ERR_INVALID, "the %s's address has no closing bracket", called);
    size_t host_len = host_end ? (size_t)(host_end - host) : len;
    const char *colon = host + host_len + (six ? 1 : 0);
    if (host_len <= (six ? 1U : 0U) || (colon < rest && *colon != ':'))
        return err_set(e, ERR_INVALID, "the %s names no host", called);
    if (host_len > HOST_MAX) return err_set(e, ERR_INVALID, "the %s's host is longer than %d bytes", called, HOST_MAX);
    if (colon < rest) {
        long long port;
        char *digits = piece(colon + 1, (size_t)(rest - colon - 1));
        bool ok = str_to_int(digits, &port) && port >= 1 && port <= 65535;
        free(digits);
        if (!ok) return err_set(e, ERR_INVALID, "the %s's port is not between 1 and 65535", called);
        out->port = (int)port;
    }
    out->host = six ? piece(host + 1, host_len - 1) : piece(host, host_len);
    out->authority = piece(host, len);
    out->target = *rest == '/' ? mem_strdup(rest) : mem_printf("/%s", rest);
    return 0;
}

int ws_url_parse(struct ws_url *out, const char *text, struct err *e) {
    return parse(out, text, "ws", "WebSocket URL", e);
}

int http_url_parse(struct ws_url *out, const char *text, struct err *e) {
    return parse(out, text, "http", "URL", e);
}

void ws_url_free(struct ws_url *u) {
    free(u->host);
    free(u->authority);
    free(u->target);
    *u = (struct ws_url){0};
}
