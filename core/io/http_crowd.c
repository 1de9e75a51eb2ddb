/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_crowd.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http_visitor {
    int count;
    char key[INET6_ADDRSTRLEN];
};

static void key_of(const char *address, char out[INET6_ADDRSTRLEN]) {
    struct in6_addr six;
    if (strchr(address, ':') && inet_pton(AF_INET6, address, &six) == 1) {
        memset(six.s6_addr + 8, 0, 8);
        inet_ntop(AF_INET6, &six, out, INET6_ADDRSTRLEN);
    } else {
        snprintf(out, INET6_ADDRSTRLEN, "%s", address);
    }
}

int crowd_enter(struct http_crowd *c, const char *address, int most, int most_of_address, struct http_visitor **out) {
    char key[INET6_ADDRSTRLEN] = "";
    if (most && c->count >= most) return 503;
    key_of(address, key);
    struct http_visitor *v = map_get(&c->visitors, key);
    if (v && most_of_address && v->count >= most_of_address) return 429;
    if (v == NULL) {
        v = mem_alloc(sizeof *v);
        memcpy(v->key, key, sizeof key);
        map_put(&c->visitors, v->key, v);
    }
    v->count++;
    c->count++;
    *out = v;
    return 0;
}

void crowd_leave(struct http_crowd *c, struct http_visitor *v) {
    c->count--;
    if (--v->count > 0) return;
    map_drop(&c->visitors, v->key, v);
    free(v);
}

const char *crowd_address(const struct http_visitor *v) {
    return v->key;
}

void crowd_free(struct http_crowd *c) {
    map_free(&c->visitors);
}
