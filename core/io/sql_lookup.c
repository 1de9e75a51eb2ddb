/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sql_lookup.h"
#include "base/mem.h"
#include <stdlib.h>

struct sql_lookup {
    uv_getaddrinfo_t request;
    sql_found_cb cb; /* NULL: forgotten */
    void *arg;
};

bool sql_address_is(const char *host) {
    unsigned char bytes[sizeof(struct in6_addr)];
    return uv_inet_pton(AF_INET, host, bytes) == 0 || uv_inet_pton(AF_INET6, host, bytes) == 0;
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *list) {
    struct sql_lookup *l = request->data;
    struct sql_addresses found = {0};

    for (const struct addrinfo *a = list; a && found.count < SQL_ADDRESSES; a = a->ai_next)
        if (uv_ip_name(a->ai_addr, found.text[found.count], sizeof found.text[0]) == 0) found.count++;
    uv_freeaddrinfo(list);
    const char *why = status < 0 ? uv_strerror(status) : found.count == 0 ? "it has no address" : NULL;
    if (l->cb) l->cb(l->arg, &found, why);
    free(l);
}

struct sql_lookup *sql_lookup(uv_loop_t *loop, const char *host, sql_found_cb cb, void *arg, const char **why) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct sql_lookup *l = mem_alloc(sizeof *l);

    l->request.data = l;
    l->cb = cb;
    l->arg = arg;
    int rc = uv_getaddrinfo(loop, &l->request, on_found, host, NULL, &hints);
    if (rc == 0) return l;
    *why = uv_strerror(rc);
    free(l);
    return NULL;
}

void sql_lookup_forget(struct sql_lookup *l) {
    l->cb = NULL;
    uv_cancel((uv_req_t *)&l->request); /* or it ends when its thread comes back */
}
