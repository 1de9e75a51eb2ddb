/* SPDX-License-Identifier: Apache-2.0 */
/* Reads bytes as what a node of a cluster answers: a map of slots, or an error that may send a command elsewhere. A map
 * that is believed names only nodes it has. */
#include "io/redis_slots.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_map(const redisReply *reply) {
    static struct redis_slots map;
    struct err e;
    if (redis_slots_parse(&map, reply, "127.0.0.1", &e) < 0) {
        if (e.code == 0 || map.nodes) abort();
        return;
    }
    for (int i = 0; i < REDIS_SLOTS; i++) {
        if (map.owner[i] < -1 || map.owner[i] >= map.count) abort();
        if (map.owner[i] >= 0 && !map.nodes[map.owner[i]].has_slots) abort();
    }
    for (int i = 0; i < map.count; i++)
        if (map.nodes[i].port < 1 || map.nodes[i].port > 65535 || strlen(map.nodes[i].host) == 0) abort();
    redis_slots_free(&map);
}

static void check_redirect(const char *error) {
    struct redis_redirect to;
    redis_redirect_parse(&to, error);
    if (to.kind != REDIS_REDIRECT_MOVED && to.kind != REDIS_REDIRECT_ASK) return;
    if (to.slot < 0 || to.slot >= REDIS_SLOTS || to.port < 1 || to.port > 65535) abort();
    if (strlen(to.host) >= sizeof to.host) abort();
}

/* hiredis makes room for an array before it has its elements: not for more than a map can have. */
static bool is_large(const uint8_t *bytes, size_t len) {
    for (size_t i = 0, digits = 0; i < len; i++) {
        digits = bytes[i] >= '0' && bytes[i] <= '9' ? digits + 1 : 0;
        if (digits > 5) return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    if (is_large(bytes, len)) return 0;
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    redisReaderFeed(reader, (const char *)bytes, len);
    while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
        redisReply *r = reply;
        if (r->type == REDIS_REPLY_ERROR) check_redirect(r->str);
        check_map(r);
        freeReplyObject(reply);
    }
    redisReaderFree(reader);
    if (redis_key_slot((const char *)bytes, len) >= REDIS_SLOTS) abort();
    return 0;
}
