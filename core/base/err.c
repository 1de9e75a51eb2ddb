/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include <stdarg.h>
#include <stdio.h>

int err_set(struct err *e, int code, const char *fmt, ...) {
    if (e == NULL) return code;

    /* Aside first: a caller may well pass e->text itself as an argument, to say where it happened. */
    char text[sizeof e->text];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(text, sizeof text, fmt, args) < 0) text[0] = '\0';
    va_end(args);

    e->code = code;
    for (size_t i = 0; i < sizeof text; i++) {
        e->text[i] = text[i];
        if (text[i] == '\0') break;
    }
    return code;
}

const char *err_name(int code) {
    switch (code) {
    case ERR_INVALID:
        return "invalid";
    case ERR_LIMIT:
        return "limit";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_EXISTS:
        return "exists";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_CLOSED:
        return "closed";
    case ERR_IO:
        return "io";
    case ERR_DENIED:
        return "denied";
    case ERR_BUSY:
        return "busy";
    case ERR_PROTOCOL:
        return "protocol";
    case ERR_CANCELLED:
        return "cancelled";
    case ERR_STALE:
        return "stale";
    }
    return code >= 0 ? "ok" : "unknown";
}
