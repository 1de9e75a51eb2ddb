/* SPDX-License-Identifier: Apache-2.0 */
#include "telephony/lease.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/redis.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Microseconds since 1970 fit a Lua number exactly until 2255; %.0f because tostring() would round them. */
#define LEASE_LUA(body)                                                                                               \
    "local t = redis.call('TIME')\n"                                                                                  \
    "local now = t[1] * 1000000 + t[2]\n"                                                                             \
    "local key, me = KEYS[1], ARGV[1]\n"                                                                              \
    "local span, fence, text = ARGV[2] * 1000, tonumber(ARGV[3]), ARGV[4]\n"                                          \
    "local function text_of(n) return string.format('%.0f', n) end\n"                                                 \
    "local function read()\n"                                                                                         \
    "  local h = redis.call('HMGET', key, 'owner', 'fence', 'until', 'successor', 'before', 'flushed')\n"             \
    "  return { owner = h[1] or '', fence = tonumber(h[2] or 0), till = tonumber(h[3] or 0),\n"                       \
    "    successor = h[4] or '', before = h[5] or '', flushed = h[6] or '' }\n"                                       \
    "end\n"                                                                                                           \
    "local function answer(done)\n"                                                                                   \
    "  local l = read()\n"                                                                                            \
    "  return { done and 1 or 0, l.owner, text_of(l.fence), text_of(l.till - now), l.successor, l.before, l.flushed " \
    "}\n"                                                                                                             \
    "end\n"                                                                                                           \
    "local l = read()\n"                                                                                              \
    "local function take()\n"                                                                                         \
    "  local before = l.owner ~= '' and l.owner or l.before\n"                                                        \
    "  redis.call('HSET', key, 'owner', me, 'fence', text_of(math.max(l.fence + 1, now)), 'until', text_of(now + "    \
    "span),\n"                                                                                                        \
    "    'successor', '', 'before', before, 'flushed', '')\n"                                                         \
    "  return answer(true)\n"                                                                                         \
    "end\n"                                                                                                           \
    "local mine = l.owner == me and l.fence == fence\n" body

/* ARGV: owner, lease in ms, fence, and a text that is the script's own: a dead owner, a successor, or news to publish. */
static struct redis_script read_script = {LEASE_LUA("return answer(true)"), ""};
static struct redis_script take_script = {LEASE_LUA("if text ~= '' then\n"
                                                    "  if l.owner == text then return take() end\n"
                                                    "elseif l.owner == '' or l.till <= now then return take() end\n"
                                                    "return answer(false)"),
                                          ""};
static struct redis_script accept_script = {
    LEASE_LUA("if l.owner ~= '' and l.owner ~= me and l.successor == me then return take() end\n"
              "return answer(false)"),
    ""};
/* A smaller fence than ours can only be there when Redis itself went back in time: a record is never written backwards. */
static struct redis_script renew_script = {
    LEASE_LUA("if mine then redis.call('HSET', key, 'until', text_of(now + span)) return answer(true) end\n"
              "if l.fence < fence then\n"
              "  redis.call('HSET', key, 'owner', me, 'fence', text_of(fence), 'until', text_of(now + span),\n"
              "    'successor', '', 'before', l.before, 'flushed', '')\n"
              "  return answer(true)\n"
              "end\n"
              "return answer(false)"),
    ""};
static struct redis_script give_script = {
    LEASE_LUA("if not mine then return answer(false) end\n"
              "redis.call('HSET', key, 'successor', text)\n"
              "if text ~= '' then redis.call('PUBLISH', ARGV[5], 'give ' .. ARGV[6] .. ' ' .. text) end\n"
              "return answer(true)"),
    ""};
static struct redis_script flush_script = {
    LEASE_LUA("if l.owner == me or l.before ~= me then return answer(false) end\n"
              "redis.call('HSET', key, 'flushed', '1')\n"
              "redis.call('PUBLISH', ARGV[5], 'flushed ' .. ARGV[6])\n"
              "return answer(true)"),
    ""};
static struct redis_script release_script = {
    LEASE_LUA("if not mine then return answer(false) end\n"
              "redis.call('HSET', key, 'owner', '', 'until', '0', 'successor', '', 'before', me, 'flushed', '1')\n"
              "redis.call('PUBLISH', ARGV[5], 'free ' .. ARGV[6])\n"
              "return answer(true)"),
    ""};

static bool is_owner_name(const char *text) {
    size_t len = strlen(text);
    return len > 0 && len < LEASE_OWNER_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-") == len;
}

int lease_book_init(struct lease_book *b, struct redis *redis, const char *prefix, const char *owner, int lease_ms,
                    struct err *e) {
    memset(b, 0, sizeof *b);
    if (!is_owner_name(owner)) return err_set(e, ERR_INVALID, "'%.140s' is no owner's name", owner);
    if (strlen(prefix) > 40 || strpbrk(prefix, "{} \t\r\n"))
        return err_set(e, ERR_INVALID, "the Redis prefix '%.60s' is too long or has braces or blanks", prefix);
    if (lease_ms < 100) return err_set(e, ERR_INVALID, "a lease of %d ms is too short", lease_ms);
    b->redis = redis;
    b->prefix = mem_strdup(prefix);
    b->owner = mem_strdup(owner);
    b->lease_ms = lease_ms;
    return 0;
}

void lease_book_deinit(struct lease_book *b) {
    free(b->prefix);
    free(b->owner);
    memset(b, 0, sizeof *b);
}

struct lease_call {
    struct lease_book *book;
    lease_cb cb;
    void *arg;
    uint64_t asked_ms;
};

static int64_t element_int(const redisReply *r) {
    return r->str ? strtoll(r->str, NULL, 10) : 0;
}

static int lease_from_reply(const redisReply *r, struct lease *l, struct err *e) {
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 7 || r->element[0]->type != REDIS_REPLY_INTEGER)
        return err_set(e, ERR_PROTOCOL, "Redis answered a lease script with something else");
    for (size_t i = 1; i < 7; i++)
        if (r->element[i]->type != REDIS_REPLY_STRING)
            return err_set(e, ERR_PROTOCOL, "Redis answered a lease script with something else");
    l->done = r->element[0]->integer == 1;
    l->owner = r->element[1]->str;
    l->fence = element_int(r->element[2]);
    l->left_us = element_int(r->element[3]);
    l->successor = r->element[4]->str;
    l->before = r->element[5]->str;
    l->flushed = r->element[6]->len > 0;
    return 0;
}

static void on_lease_reply(void *arg, const redisReply *reply, const struct err *e) {
    struct lease_call *call = arg;
    struct lease l = {.asked_ms = call->asked_ms};
    struct err own = {0};

    call->book->waiting--;
    if (e == NULL && lease_from_reply(reply, &l, &own) < 0) e = &own;
    call->cb(call->arg, e ? NULL : &l, e);
    free(call);
}

static void lease_ask(struct lease_book *b, struct redis_script *script, const char *slot, int64_t fence,
                      const char *text, lease_cb cb, void *arg) {
    char key[96], channel[64], fence_text[24], span[16];
    snprintf(key, sizeof key, "%sslot:{%s}", b->prefix, slot);
    snprintf(channel, sizeof channel, "%sslots", b->prefix);
    snprintf(fence_text, sizeof fence_text, "%lld", (long long)fence);
    snprintf(span, sizeof span, "%d", b->lease_ms);
    const char *argv[] = {key, b->owner, span, fence_text, text, channel, slot};
    size_t lens[7];
    for (int i = 0; i < 7; i++) lens[i] = strlen(argv[i]);

    struct lease_call *call = mem_alloc(sizeof *call);
    *call = (struct lease_call){b, cb, arg, clock_mono_ms()};
    b->waiting++;
    redis_eval(b->redis, 0, script, 1, 7, argv, lens, on_lease_reply, call);
}

void lease_read(struct lease_book *b, const char *slot, lease_cb cb, void *arg) {
    lease_ask(b, &read_script, slot, 0, "", cb, arg);
}

void lease_take(struct lease_book *b, const char *slot, const char *dead, lease_cb cb, void *arg) {
    lease_ask(b, &take_script, slot, 0, dead ? dead : "", cb, arg);
}

void lease_accept(struct lease_book *b, const char *slot, lease_cb cb, void *arg) {
    lease_ask(b, &accept_script, slot, 0, "", cb, arg);
}

void lease_renew(struct lease_book *b, const char *slot, int64_t fence, lease_cb cb, void *arg) {
    lease_ask(b, &renew_script, slot, fence, "", cb, arg);
}

void lease_give(struct lease_book *b, const char *slot, int64_t fence, const char *successor, lease_cb cb, void *arg) {
    lease_ask(b, &give_script, slot, fence, successor, cb, arg);
}

void lease_flush(struct lease_book *b, const char *slot, lease_cb cb, void *arg) {
    lease_ask(b, &flush_script, slot, 0, "", cb, arg);
}

void lease_release(struct lease_book *b, const char *slot, int64_t fence, lease_cb cb, void *arg) {
    lease_ask(b, &release_script, slot, fence, "", cb, arg);
}

bool lease_news_read(const char *text, struct lease_news *out) {
    char what[8] = "";
    memset(out, 0, sizeof *out);
    int parts = sscanf(text, "%7s %23s %127s", what, out->slot, out->successor);
    if (parts == 3 && strcmp(what, "give") == 0)
        out->what = LEASE_GIVE;
    else if (parts == 2 && strcmp(what, "flushed") == 0)
        out->what = LEASE_FLUSHED;
    else if (parts == 2 && strcmp(what, "free") == 0)
        out->what = LEASE_FREE;
    else
        return false;
    return true;
}
