/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis side of slots: who owns which, by leases.
 *
 * One key per slot, "<prefix>slot:{n1.7}", a hash that is never removed (its fence must only grow):
 *   owner      who has it; "" when it was released
 *   fence      of the last taking
 *   until      Redis time in us; behind it the lease has run out
 *   successor  whom the owner has chosen to give it to
 *   before     the owner before this one
 *   flushed    the owner before has written all it had (planned hand-over)
 * Every change is one Lua script over that one key, so that two workers cannot both win, and Redis's clock is the only one.
 *
 * Ownership  A lease in a callback is borrowed for the call.
 * Threads    Loop thread only.
 * Errors     e is set when Redis did not answer; then nothing is known, the change may have been made.
 */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct redis;
enum { LEASE_OWNER_MAX = 128 }; /* bytes of an owner's name with its NUL */

struct lease_book {
    struct redis *redis; /* borrowed */
    char *prefix, *owner;
    int lease_ms;
    int waiting; /* callbacks that will still come; the book must outlive them */
};

struct lease {
    bool done; /* what was asked for has happened; else the rest says how the lease stands */
    int64_t fence;
    int64_t left_us; /* until it runs out; zero or less: it has */
    const char *owner, *successor, *before;
    bool flushed;
    uint64_t asked_ms; /* clock_mono_ms() before the command was sent: what it confirms is confirmed from then on */
};
typedef void (*lease_cb)(void *arg, const struct lease *l, const struct err *e);

/* prefix and owner are copied. owner: [A-Za-z0-9._:-]{1,127}; prefix: up to 40 bytes without braces and blanks. */
int lease_book_init(struct lease_book *b, struct redis *redis, const char *prefix, const char *owner, int lease_ms,
                    struct err *e);
void lease_book_deinit(struct lease_book *b);

/* All: slot is "n1.7"; cb exactly once, later. */
void lease_read(struct lease_book *b, const char *slot, lease_cb cb, void *arg);
/* Takes a slot that is free or has run out, or (dead not NULL) that is dead's. */
void lease_take(struct lease_book *b, const char *slot, const char *dead, lease_cb cb, void *arg);
/* Takes a slot whose owner has named us its successor. */
void lease_accept(struct lease_book *b, const char *slot, lease_cb cb, void *arg);
/* Confirms ours for another lease. Also writes it again where Redis has lost it: no record, or one with a smaller fence. */
void lease_renew(struct lease_book *b, const char *slot, int64_t fence, lease_cb cb, void *arg);
/* Names a successor ("" takes it back) and tells everybody. */
void lease_give(struct lease_book *b, const char *slot, int64_t fence, const char *successor, lease_cb cb, void *arg);
/* The owner before says that all is written. */
void lease_flush(struct lease_book *b, const char *slot, lease_cb cb, void *arg);
void lease_release(struct lease_book *b, const char *slot, int64_t fence, lease_cb cb, void *arg);

/* What lease_give, lease_flush and lease_release publish on "<prefix>slots": "give n1.7 <successor>", "flushed n1.7", "free n1.7". */
struct lease_news {
    enum { LEASE_GIVE, LEASE_FLUSHED, LEASE_FREE } what;
    char slot[24];
    char successor[LEASE_OWNER_MAX];
};
bool lease_news_read(const char *text, struct lease_news *out);
