/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/log.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check(void *p, size_t size) {
    if (p == NULL) {
        log_error("memory.out", "no memory for %zu bytes", size); /* the log itself allocates nothing */
        abort();
    }
    return p;
}

/* Never asks for 0 bytes, so NULL always means that memory is out. */
void *mem_alloc(size_t size) {
    return check(calloc(1, size ? size : 1), size);
}

void *mem_realloc(void *p, size_t size) {
    return check(realloc(p, size ? size : 1), size);
}

char *mem_strdup(const char *text) {
    return text ? mem_dup(text, strlen(text) + 1) : NULL;
}

void *mem_dup(const void *p, size_t size) {
    void *copy = check(malloc(size ? size : 1), size);
    if (size) memcpy(copy, p, size);
    return copy;
}

char *mem_printf(const char *fmt, ...) {
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    return check(len < 0 ? NULL : text, strlen(fmt));
}
