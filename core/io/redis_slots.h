/* SPDX-License-Identifier: Apache-2.0 */
/* What a Redis cluster's words mean: which slot a key lies in, which key a command is about, who has which slots
 * (CLUSTER SLOTS), and where an error sends a command. No I/O: bytes in, an answer out.
 *
 * Replies come from outside and may be nonsense: nothing is believed unchecked, and what is kept is bounded.
 */
#pragma once
#include "base/err.h"
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REDIS_SLOTS = 16384, REDIS_NODES_MAX = 512, REDIS_HOST_MAX = 256 };

uint16_t redis_crc16(const char *data, size_t len); /* XMODEM */
/* Of a key: of what stands between its first { and the next }, where that is not empty. */
int redis_key_slot(const char *key, size_t len);

/* Which argument of a command is its first key. */
enum {
    REDIS_KEY_NONE = -1,    /* it has none: any node can do it */
    REDIS_KEY_REFUSED = -2, /* it is about a whole database, or about one connection */
};
int redis_key_of(int argc, const char **argv, const size_t *lens);

struct redis_slots {
    struct redis_slots_node {
        char host[REDIS_HOST_MAX];
        int port;
        bool has_slots;
    } * nodes;
    int count;
    int16_t owner[REDIS_SLOTS]; /* index of a node; -1: nobody */
};
/* Reads the reply of CLUSTER SLOTS. asked: the host it came from, which an empty host in it stands for. */
int redis_slots_parse(struct redis_slots *out, const redisReply *reply, const char *asked, struct err *e);
void redis_slots_free(struct redis_slots *s);

enum redis_redirect_kind {
    REDIS_REDIRECT_NONE = 0, /* the error is the command's own */
    REDIS_REDIRECT_MOVED,
    REDIS_REDIRECT_ASK,
    REDIS_REDIRECT_AGAIN, /* the cluster is changing: nothing was done, the same later may be */
};
struct redis_redirect {
    enum redis_redirect_kind kind;
    int slot, port;
    char host[REDIS_HOST_MAX]; /* "": the one that said it */
};
/* Reads an error. A MOVED or ASK that makes no sense is the command's own. */
void redis_redirect_parse(struct redis_redirect *out, const char *error);
