/* SPDX-License-Identifier: Apache-2.0 */
/* A URL that is accepted, of a WebSocket or of HTTP, has parts that can go on the wire, and made anew from them it has the same
 * parts. */
#include "base/mem.h"
#include "io/ws_url.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int (*parser)(struct ws_url *out, const char *text, struct err *e);

static void check_part(const char *part) {
    for (const char *c = part; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7F) abort();
}

static void check(parser parse, const char *scheme, const char *text) {
    struct ws_url u, again;
    struct err e = {0};
    int rc = parse(&u, text, &e);

    if (rc < 0) {
        if (rc != ERR_INVALID || e.text[0] == '\0') abort();
    } else {
        char *rest = mem_printf("%s%s://%s%s", scheme, u.tls ? "s" : "", u.authority, u.target);
        if (u.port < 1 || u.port > 65535 || u.host[0] == '\0' || strlen(u.host) > 253 || u.target[0] != '/') abort();
        if (strchr(u.authority, '@') || strchr(u.authority, '/') || strchr(u.target, '#')) abort();
        check_part(u.host);
        check_part(u.authority);
        check_part(u.target);
        if (parse(&again, rest, &e) < 0 || again.tls != u.tls || again.port != u.port) abort();
        if (strcmp(again.host, u.host) || strcmp(again.authority, u.authority) || strcmp(again.target, u.target))
            abort();
        ws_url_free(&again);
        free(rest);
    }
    ws_url_free(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = mem_alloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    check(ws_url_parse, "ws", text);
    check(http_url_parse, "http", text);
    free(text);
    return 0;
}
