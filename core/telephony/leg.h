/* SPDX-License-Identifier: Apache-2.0 */
/* A leg is one party of a call: a SIP channel, its own bridge and its own external media channel, all in one slot.
 *
 * Ids: bridge "pb-<leg id>", media channel "pm-<leg id>-<fence in hex>": made by us, so everything can be looked up and repeated.
 * leg_open() is idempotent: what exists already is used, media channels of older fences are removed after the new one is heard
 * of (make before break). The SIP channel is never created, answered or hung up by it.
 * Ownership  leg_new() to leg_close(); after leg_close() no callback comes.
 * Threads    Loop thread only.
 */
#pragma once
#include "media/media.h"
#include "telephony/telephony.h"

struct leg;
struct leg_opts {
    const char *id;      /* [A-Za-z0-9._-]{1,64} */
    const char *channel; /* the SIP channel's id */
    enum media_codec codec;
    void (*on_ready)(void *arg,
                     const struct err *e); /* once: e NULL when audio can flow. e ERR_NOT_FOUND: the channel is gone */
    void (*on_media)(void *arg, const struct media_event *ev);
    void *arg;
};
struct leg *leg_open(struct slot *s, const struct leg_opts *o);
struct media_stream *leg_stream(struct leg *l); /* NULL until ready */
/* The floor above hands events of media channels to the legs: true when it was one of ours and is dealt with. */
bool leg_event(struct slot *s, const json_t *event);
/* Its call was given to another worker and its sound goes on until that one's is there, or until Asterisk gives the port of its
 * media channel to another leg of ours. leg_close() ends it. */
void leg_linger(struct leg *l);
/* keep: leaves bridge and media channel in Asterisk (hand-over); else they are deleted. Registration with the media thread ends first. */
void leg_close(struct leg *l, bool keep);
/* Deletes our bridges and media channels in this listing whose leg id is not in living (ends with NULL). Returns how many. */
int leg_sweep(struct slot *s, const json_t *channels, const json_t *bridges, const char *const *living);
