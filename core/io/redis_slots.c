/* SPDX-License-Identifier: Apache-2.0 */
#include "io/redis_slots.h"
#include "base/mem.h"
#include "base/str.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NAMED_MAX = 4 * REDIS_SLOTS }; /* how often nodes may be named in one reply, replicas included */

/* -- keys ----------------------------------------------------------------------------------------------------- */

uint16_t redis_crc16(const char *data, size_t len) {
    /* x^16 + x^12 + x^5 + 1, four bits at a time. */
    static const uint16_t step[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
                                      0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    unsigned crc = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned byte = (unsigned char)data[i];
        crc = (crc << 4 ^ step[(crc >> 12 ^ byte >> 4) & 15]) & 0xffff;
        crc = (crc << 4 ^ step[(crc >> 12 ^ byte) & 15]) & 0xffff;
    }
    return (uint16_t)crc;
}

int redis_key_slot(const char *key, size_t len) {
    const char *open = memchr(key, '{', len);
    if (open) {
        const char *tag = open + 1;
        const char *close = memchr(tag, '}', len - (size_t)(tag - key));
        if (close && close > tag) return redis_crc16(tag, (size_t)(close - tag)) % REDIS_SLOTS;
    }
    return redis_crc16(key, len) % REDIS_SLOTS;
}

static bool is_word(const char *text, size_t len, const char *word) {
    return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

int redis_key_of(int argc, const char **argv, const size_t *lens) {
    enum { COUNTED = 100, STREAMS = 101 }; /* COUNTED + n: argument n says how many keys follow it */
    static const struct {
        const char *word;
        int at;
    } others[] = {
        {"ping", REDIS_KEY_NONE},
        {"echo", REDIS_KEY_NONE},
        {"time", REDIS_KEY_NONE},
        {"info", REDIS_KEY_NONE},
        {"script", REDIS_KEY_NONE},
        {"function", REDIS_KEY_NONE},
        {"config", REDIS_KEY_NONE},
        {"client", REDIS_KEY_NONE},
        {"cluster", REDIS_KEY_NONE},
        {"command", REDIS_KEY_NONE},
        {"pubsub", REDIS_KEY_NONE},
        {"acl", REDIS_KEY_NONE},
        {"debug", REDIS_KEY_NONE},
        {"latency", REDIS_KEY_NONE},
        {"slowlog", REDIS_KEY_NONE},
        {"role", REDIS_KEY_NONE},
        {"lastsave", REDIS_KEY_NONE},
        {"publish", 1}, /* any node can, but one connection for each channel keeps its messages in order */
        {"eval", COUNTED + 2},
        {"evalsha", COUNTED + 2},
        {"eval_ro", COUNTED + 2},
        {"evalsha_ro", COUNTED + 2},
        {"fcall", COUNTED + 2},
        {"fcall_ro", COUNTED + 2},
        {"zunion", COUNTED + 1},
        {"zinter", COUNTED + 1},
        {"zdiff", COUNTED + 1},
        {"zintercard", COUNTED + 1},
        {"sintercard", COUNTED + 1},
        {"lmpop", COUNTED + 1},
        {"zmpop", COUNTED + 1},
        {"bitop", 2},
        {"object", 2},
        {"xgroup", 2},
        {"xinfo", 2},
        {"memory", 2},
        {"xread", STREAMS},
        {"xreadgroup", STREAMS},
        /* One node's part of the answer would look like the whole of it. */
        {"keys", REDIS_KEY_REFUSED},
        {"scan", REDIS_KEY_REFUSED},
        {"dbsize", REDIS_KEY_REFUSED},
        {"randomkey", REDIS_KEY_REFUSED},
        {"flushall", REDIS_KEY_REFUSED},
        {"flushdb", REDIS_KEY_REFUSED},
        {"multi", REDIS_KEY_REFUSED},
        {"exec", REDIS_KEY_REFUSED},
        {"discard", REDIS_KEY_REFUSED},
        {"asking", REDIS_KEY_REFUSED},
        {"readonly", REDIS_KEY_REFUSED},
        {"readwrite", REDIS_KEY_REFUSED},
        {"migrate", REDIS_KEY_REFUSED},
    };
    int at = 1;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (is_word(argv[0], lens[0], others[i].word)) {
            at = others[i].at;
            break;
        }
    if (at == STREAMS) {
        for (at = 1; at < argc && !is_word(argv[at], lens[at], "streams");) at++;
        at++;
    } else if (at > COUNTED) {
        int count = at - COUNTED;
        at = count < argc && !(lens[count] == 1 && argv[count][0] == '0') ? count + 1 : REDIS_KEY_NONE;
    }
    return at < argc ? at : REDIS_KEY_NONE; /* too few arguments: the server says it better */
}

/* -- CLUSTER SLOTS -------------------------------------------------------------------------------------------- */

static bool is_host(const char *text, size_t len) {
    if (len == 0 || len >= REDIS_HOST_MAX) return false;
    for (size_t i = 0; i < len; i++)
        if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
              (text[i] >= '0' && text[i] <= '9') || memchr(".:-_%", text[i], 5)))
            return false;
    return true;
}

/* The index of a node; -1 when its host is not known, which happens while nodes are still getting acquainted. */
static int node_named(struct redis_slots *s, const redisReply *named, const char *asked, struct err *e) {
    if (named->type != REDIS_REPLY_ARRAY || named->elements < 2 || named->element[1]->type != REDIS_REPLY_INTEGER)
        return err_set(e, ERR_PROTOCOL, "redis: CLUSTER SLOTS names a node without a port");
    const redisReply *host = named->element[0];
    long long port = named->element[1]->integer;
    if (port < 1 || port > 65535)
        return err_set(e, ERR_PROTOCOL, "redis: CLUSTER SLOTS names a node with a port that is none");
    const char *text = host->str;
    size_t len = host->len;
    if (host->type == REDIS_REPLY_NIL || (host->type == REDIS_REPLY_STRING && len == 0)) {
        text = asked;
        len = strlen(asked);
    } else if (host->type == REDIS_REPLY_STRING && len == 1 && text[0] == '?') {
        return -1;
    }
    if ((host->type != REDIS_REPLY_STRING && host->type != REDIS_REPLY_NIL) || !is_host(text, len))
        return err_set(e, ERR_PROTOCOL, "redis: CLUSTER SLOTS names a node with a host that is none");
    for (int i = s->count - 1; i >= 0; i--)
        if (s->nodes[i].port == port && strlen(s->nodes[i].host) == len && memcmp(s->nodes[i].host, text, len) == 0)
            return i;
    if (s->count == REDIS_NODES_MAX)
        return err_set(e, ERR_LIMIT, "redis: the cluster has more than %d nodes", REDIS_NODES_MAX);
    struct redis_slots_node *n = &s->nodes[s->count];
    memcpy(n->host, text, len);
    n->host[len] = '\0';
    n->port = (int)port;
    return s->count++;
}

static int parse_range(struct redis_slots *s, const redisReply *range, const char *asked, size_t *named,
                       struct err *e) {
    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 || range->element[0]->type != REDIS_REPLY_INTEGER ||
        range->element[1]->type != REDIS_REPLY_INTEGER)
        return err_set(e, ERR_PROTOCOL, "redis: CLUSTER SLOTS has something that is no range of slots");
    long long first = range->element[0]->integer, last = range->element[1]->integer;
    if (first < 0 || last >= REDIS_SLOTS || first > last)
        return err_set(e, ERR_PROTOCOL, "redis: CLUSTER SLOTS has a range that is none");
    *named += range->elements - 2;
    if (*named > NAMED_MAX) return err_set(e, ERR_LIMIT, "redis: CLUSTER SLOTS names too many nodes");
    for (size_t i = 2; i < range->elements; i++) {
        int node = node_named(s, range->element[i], asked, e);
        if (node < -1) return node;
        if (i > 2 || node < 0) continue; /* replicas are known, and own nothing */
        s->nodes[node].has_slots = true;
        for (long long slot = first; slot <= last; slot++) {
            if (s->owner[slot] >= 0)
                return err_set(e, ERR_PROTOCOL, "redis: CLUSTER SLOTS gives slot %lld twice", slot);
            s->owner[slot] = (int16_t)node;
        }
    }
    return 0;
}

int redis_slots_parse(struct redis_slots *out, const redisReply *reply, const char *asked, struct err *e) {
    size_t named = 0;
    out->count = 0;
    out->nodes = NULL;
    if (reply->type == REDIS_REPLY_ERROR) return err_set(e, ERR_INVALID, "redis: %s", reply->str);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements > REDIS_SLOTS)
        return err_set(e, ERR_PROTOCOL, "redis: CLUSTER SLOTS answered with something else");
    out->nodes = mem_alloc(REDIS_NODES_MAX * sizeof *out->nodes);
    for (int i = 0; i < REDIS_SLOTS; i++) out->owner[i] = -1;
    for (size_t i = 0; i < reply->elements; i++) {
        int rc = parse_range(out, reply->element[i], asked, &named, e);
        if (rc < 0) {
            redis_slots_free(out);
            return rc;
        }
    }
    return 0;
}

void redis_slots_free(struct redis_slots *s) {
    free(s->nodes);
    s->nodes = NULL;
    s->count = 0;
}

/* -- redirects ------------------------------------------------------------------------------------------------ */

/* "3999 127.0.0.1:6381"; the host may be empty, or IPv6 with colons of its own. */
static bool read_place(struct redis_redirect *to, const char *text) {
    char slot[8];
    long long n;
    const char *space = strchr(text, ' ');
    const char *colon = strrchr(text, ':');
    if (space == NULL || colon == NULL || colon < space || (size_t)(space - text) >= sizeof slot) return false;
    memcpy(slot, text, (size_t)(space - text));
    slot[space - text] = '\0';
    if (!str_to_int(slot, &n) || n < 0 || n >= REDIS_SLOTS) return false;
    to->slot = (int)n;
    if (!str_to_int(colon + 1, &n) || n < 1 || n > 65535) return false;
    to->port = (int)n;
    size_t len = (size_t)(colon - space - 1);
    if (len > 0 && !is_host(space + 1, len)) return false;
    memcpy(to->host, space + 1, len);
    to->host[len] = '\0';
    return true;
}

void redis_redirect_parse(struct redis_redirect *out, const char *error) {
    static const char *const again[] = {"TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN"};
    out->kind = REDIS_REDIRECT_NONE;
    if (str_starts(error, "MOVED ") && read_place(out, error + 6)) out->kind = REDIS_REDIRECT_MOVED;
    if (str_starts(error, "ASK ") && read_place(out, error + 4)) out->kind = REDIS_REDIRECT_ASK;
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        if (str_starts(error, again[i])) out->kind = REDIS_REDIRECT_AGAIN;
}
