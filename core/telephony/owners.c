/* SPDX-License-Identifier: Apache-2.0 */
#include "telephony/owners.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/redis.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ARGV: owner, lease in ms, "1" when leaving, an owner that is gone or "". A set that nobody beats goes by itself. */
static struct redis_script beat_script = {
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "local key = KEYS[1]\n"
    "if ARGV[4] ~= '' then redis.call('ZREM', key, ARGV[4]) end\n"
    "if ARGV[3] == '1' then redis.call('ZREM', key, ARGV[1])\n"
    "else redis.call('ZADD', key, string.format('%.0f', now), ARGV[1]) end\n"
    "redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - ARGV[2] * 1000))\n"
    "redis.call('EXPIRE', key, 3600)\n"
    "return redis.call('ZRANGE', key, 0, -1)",
    ""};

struct beat_call {
    struct owners *owners;
    struct lease_book *book;
    void (*cb)(void *arg, const struct err *e);
    void *arg;
};

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

static void on_beat(void *arg, const redisReply *reply, const struct err *e) {
    struct beat_call *call = arg;
    struct owners *o = call->owners;
    struct err own;

    call->book->waiting--;
    if (e == NULL && reply->type != REDIS_REPLY_ARRAY) {
        err_set(&own, ERR_PROTOCOL, "Redis answered a heartbeat with something else");
        e = &own;
    }
    if (e == NULL) {
        o->count = 0;
        o->names = mem_realloc(o->names, (reply->elements + 1) * sizeof *o->names);
        for (size_t i = 0; i < reply->elements; i++)
            if (reply->element[i]->type == REDIS_REPLY_STRING &&
                str_copy(o->names[o->count], sizeof o->names[0], reply->element[i]->str))
                o->count++;
        qsort(o->names, (size_t)o->count, sizeof *o->names, by_name);
    }
    call->cb(call->arg, e);
    free(call);
}

void owners_beat(struct owners *o, struct lease_book *b, bool leaving, const char *gone,
                 void (*cb)(void *arg, const struct err *e), void *arg) {
    char key[64], span[16];
    snprintf(key, sizeof key, "%sowners", b->prefix);
    snprintf(span, sizeof span, "%d", b->lease_ms);
    const char *argv[] = {key, b->owner, span, leaving ? "1" : "0", gone};
    size_t lens[5];
    for (int i = 0; i < 5; i++) lens[i] = strlen(argv[i]);

    struct beat_call *call = mem_alloc(sizeof *call);
    *call = (struct beat_call){o, b, cb, arg};
    b->waiting++;
    redis_eval(b->redis, 0, &beat_script, 1, 5, argv, lens, on_beat, call);
}

void owners_deinit(struct owners *o) {
    free(o->names);
    memset(o, 0, sizeof *o);
}

int owners_rank(const struct owners *o, const char *owner) {
    for (int i = 0; i < o->count; i++)
        if (strcmp(o->names[i], owner) == 0) return i;
    return -1;
}

bool owners_has(const struct owners *o, const char *owner) {
    return owners_rank(o, owner) >= 0;
}

int owners_quota(int slots, int living) {
    return living > 0 ? (slots + living - 1) / living : slots;
}
