/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts: EVALSHA first; where the server does not know the script (new server, restart, SCRIPT FLUSH) EVAL, which
 * makes it known. The server's cache is the only one, so there is nothing of ours to go stale; in a cluster each node has
 * its own, and EVAL goes where EVALSHA went, by the same key. */
#include "base/arena.h"
#include "base/mem.h"
#include "io/redis_own.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAST_TRY_MS = 50 }; /* what must be left for EVAL: no answer in time costs the connection, which others share */

struct eval {
    struct redis *redis;  /* borrowed; it calls back before it goes */
    struct arena copies;  /* of the arguments */
    uint64_t deadline_ms; /* for both together */
    int argc;
    const char **argv;
    size_t *lens;
    redis_cb cb;
    void *arg;
};

static void eval_free(struct eval *v) {
    arena_free(&v->copies);
    free(v);
}

static void on_evaluated(void *arg, const redisReply *reply, const struct err *e) {
    struct eval *v = arg;
    if (v->cb) v->cb(v->arg, reply, e);
    eval_free(v);
}

static void on_tried(void *arg, const redisReply *reply, const struct err *e) {
    struct eval *v = arg;
    uint64_t now = uv_now(v->redis->loop);
    struct err late;

    if (reply == NULL || reply->type != REDIS_REPLY_ERROR || strncmp(reply->str, "NOSCRIPT", 8) != 0)
        on_evaluated(v, reply, e);
    else if (now + LAST_TRY_MS <= v->deadline_ms)
        redis_command(v->redis, (int)(v->deadline_ms - now), v->argc, v->argv, v->lens, on_evaluated, v);
    else /* nothing was done */
        on_evaluated(v, NULL, (err_set(&late, ERR_CLOSED, "redis: the script could not be sent in time"), &late));
}

static void name_script(struct redis_script *s) {
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(s->text, strlen(s->text), sum, &len, EVP_sha1(), NULL) != 1 || len != 20) abort();
    for (unsigned i = 0; i < len; i++) snprintf(s->sha + 2 * i, 3, "%02x", sum[i]);
}

void redis_eval(struct redis *r, int timeout_ms, struct redis_script *s, int keys, int argc, const char **argv,
                const size_t *lens, redis_cb cb, void *arg) {
    struct eval *v = mem_alloc(sizeof *v);
    char count[16];

    if (s->sha[0] == '\0') name_script(s);
    v->redis = r;
    uv_update_time(r->loop); /* a long turn before this is none of its time */
    v->deadline_ms = uv_now(r->loop) + (uint64_t)(timeout_ms > 0 ? timeout_ms : REDIS_TIMEOUT_MS);
    v->cb = cb;
    v->arg = arg;
    v->argc = argc + 3;
    v->argv = arena_alloc(&v->copies, (size_t)v->argc * sizeof *v->argv);
    v->lens = arena_alloc(&v->copies, (size_t)v->argc * sizeof *v->lens);
    snprintf(count, sizeof count, "%d", keys);
    const char *first[] = {"EVALSHA", s->sha, count};
    for (int i = 0; i < v->argc; i++) {
        const char *text = i < 3 ? first[i] : argv[i - 3];
        v->lens[i] = i >= 3 && lens ? lens[i - 3] : strlen(text);
        v->argv[i] = arena_strndup(&v->copies, text, v->lens[i]);
    }
    redis_command(r, timeout_ms, v->argc, v->argv, v->lens, on_tried, v);
    /* As it will be sent again. */
    v->argv[0] = "EVAL";
    v->lens[0] = strlen("EVAL");
    v->argv[1] = arena_strndup(&v->copies, s->text, strlen(s->text));
    v->lens[1] = strlen(s->text);
}
