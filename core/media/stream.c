/* SPDX-License-Identifier: Apache-2.0 */
/* Streams as the loop sees them: it checks and counts, so that the thread never has to refuse a command. */
#include "base/clock.h"
#include "base/mem.h"
#include "media/audio.h"
#include "media/feed.h"
#include "media/hub.h"
#include "media/quality.h"
#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void unlink_stream(struct media_stream *s) {
    if (s->prev != NULL) s->prev->next = s->next;
    if (s->next != NULL) s->next->prev = s->prev;
    if (s->media->streams == s) s->media->streams = s->next;
    s->prev = s->next = NULL;
    map_drop(&s->media->peers, s->peer, s);
}

int media_stream_open(struct media_stream **out, struct media *m, const struct media_stream_opts *o, struct err *e) {
    struct sockaddr_in peer = {.sin_family = AF_INET};
    if (o->peer_address == NULL || inet_pton(AF_INET, o->peer_address, &peer.sin_addr) != 1)
        return err_set(e, ERR_INVALID, "media: %s is no IPv4 address", o->peer_address ? o->peer_address : "(none)");
    if (o->peer_port < 1 || o->peer_port > 65535) return err_set(e, ERR_INVALID, "media: no port: %d", o->peer_port);
    if (o->codec != MEDIA_ULAW && o->codec != MEDIA_ALAW)
        return err_set(e, ERR_INVALID, "media: unknown payload type %d", (int)o->codec);
    peer.sin_port = htons((uint16_t)o->peer_port);
    if (m->closing) return err_set(e, ERR_CLOSED, "media is closing");
    char name[sizeof((struct media_stream *)0)->peer];
    snprintf(name, sizeof name, "%s:%d", o->peer_address, o->peer_port);
    if (map_get(&m->peers, name)) return err_set(e, ERR_EXISTS, "a media stream with %s is open already", name);
    if (m->stream_count >= m->streams_max)
        return err_set(e, ERR_LIMIT, "all %d media streams are in use", m->streams_max);

    struct media_stream *s = mem_alloc(sizeof *s);
    session_init(&s->session, &peer, o->codec);
    s->session.stream = s;
    s->media = m;
    s->on_event = o->on_event;
    s->arg = o->arg;
    s->next = m->streams;
    if (s->next != NULL) s->next->prev = s;
    m->streams = s;
    memcpy(s->peer, name, sizeof s->peer);
    map_put(&m->peers, s->peer, s);
    m->stream_count++;
    media_send(m, &(struct command){.type = COMMAND_OPEN, .a = &s->session});
    *out = s;
    return 0;
}

static int find_joined(const struct media_stream *s, const struct media_stream *other) {
    for (int i = 0; i < s->joined_count; i++)
        if (s->joined[i] == other) return i;
    return -1;
}

static void forget_joined(struct media_stream *s, const struct media_stream *other) {
    int i = find_joined(s, other);
    if (i >= 0) s->joined[i] = s->joined[--s->joined_count];
}

void media_stream_close(struct media_stream *s) {
    if (s->closed) return;
    listeners_end(s); /* first: the thread looks at s for them */
    s->closed = true;
    for (int i = 0; i < s->joined_count; i++) forget_joined(s->joined[i], s);
    unlink_stream(s);
    media_send(s->media, &(struct command){.type = COMMAND_CLOSE, .a = &s->session});
}

void stream_free(struct media_stream *s) {
    for (int i = 0; i < s->session.player.count; i++) media_audio_unref(s->session.player.queue[i].audio);
    while (s->listeners != NULL) listener_free(s->listeners); /* only where all of it ends at once */
    for (struct feed *f = s->feeds, *next; f != NULL; f = next) {
        next = f->next;
        feed_free(f);
    }
    unlink_stream(s);
    s->media->stream_count--;
    free(s);
}

static void drop_feed(struct media_stream *s, struct feed *gone) {
    struct feed **at = &s->feeds;
    while (*at != gone) at = &(*at)->next;
    *at = gone->next;
    feed_free(gone);
}

void stream_on_event(struct media_stream *s, const struct report *r) {
    if (r->audio != NULL || r->feed != NULL) s->plays--;
    media_audio_unref(r->audio);
    if (r->feed != NULL) drop_feed(s, r->feed);
    if (s->closed || s->media->closing || s->on_event == NULL) return;
    struct media_event event = r->event;
    if (event.type == MEDIA_BEGUN || event.type == MEDIA_SPEECH)
        event.position = (uint32_t)((clock_mono_us() - r->sent_us) / 1000);
    s->on_event(s->arg, &event);
}

int media_play(struct media_stream *s, uint64_t id, struct media_audio *a, bool loop, struct err *e) {
    if (loop && a->samples == 0) return err_set(e, ERR_INVALID, "there is nothing to play again and again");
    if (s->plays >= PLAYER_MAX) return err_set(e, ERR_LIMIT, "%d plays are waiting already", PLAYER_WAITING_MAX);
    s->plays++;
    media_send(s->media, &(struct command){.type = COMMAND_PLAY,
                                           .a = &s->session,
                                           .play = {.id = id, .audio = media_audio_ref(a), .loop = loop}});
    return 0;
}

static struct feed *find_feed(const struct media_stream *s, uint64_t id) {
    struct feed *f = s->feeds;
    while (f != NULL && f->id != id) f = f->next;
    return f;
}

int media_play_begin(struct media_stream *s, uint64_t id, const struct media_play_opts *o, struct err *e) {
    struct feed *f;
    if (find_feed(s, id) != NULL) return err_set(e, ERR_EXISTS, "play %llu has begun already", (unsigned long long)id);
    if (s->plays >= PLAYER_MAX) return err_set(e, ERR_LIMIT, "%d plays are waiting already", PLAYER_WAITING_MAX);
    int rc = feed_new(&f, id, o->rate == 0 ? 8000 : o->rate, o->prebuffer_ms, e);
    if (rc < 0) return rc;
    f->next = s->feeds;
    s->feeds = f;
    s->plays++;
    media_send(s->media, &(struct command){.type = COMMAND_PLAY, .a = &s->session, .play = {.id = id, .feed = f}});
    return 0;
}

static int no_feed(uint64_t id, struct err *e) {
    return err_set(e, ERR_NOT_FOUND, "play %llu has ended or never began", (unsigned long long)id);
}

int media_play_append(struct media_stream *s, uint64_t id, const void *pcm, size_t len, struct err *e) {
    struct feed *f = find_feed(s, id);
    return f == NULL ? no_feed(id, e) : feed_append(f, pcm, len, e);
}

int media_play_end(struct media_stream *s, uint64_t id, struct err *e) {
    struct feed *f = find_feed(s, id);
    if (f == NULL) return no_feed(id, e);
    feed_end(f);
    return 0;
}

int media_play_state(const struct media_stream *s, uint64_t id, struct media_play_state *out, struct err *e) {
    const struct feed *f = find_feed(s, id);
    if (f == NULL) return no_feed(id, e);
    uint64_t sent = atomic_load_explicit(&f->sent, memory_order_relaxed);
    *out = (struct media_play_state){
        .sent_ms = (uint32_t)(sent / SAMPLES_PER_MS),
        .waiting_ms = (uint32_t)((atomic_load_explicit(&f->appended, memory_order_relaxed) - sent) / SAMPLES_PER_MS),
        .starved_ms = (uint32_t)(atomic_load_explicit(&f->starved, memory_order_relaxed) / SAMPLES_PER_MS),
        .underruns = atomic_load_explicit(&f->underruns, memory_order_relaxed),
    };
    return 0;
}

void media_duck(struct media_stream *s, int db, int ramp_ms) {
    int down = db < -60 ? -60 : db > 0 ? 0 : db, ramp = ramp_ms < 5 ? 5 : ramp_ms > 5000 ? 5000 : ramp_ms;
    media_send(s->media, &(struct command){.type = COMMAND_DUCK,
                                           .a = &s->session,
                                           .cut_to = 65536 - (int)lround(65536 * pow(10, down / 20.0)),
                                           .samples = ramp * SAMPLES_PER_MS});
}

void media_stop(struct media_stream *s, uint64_t id) {
    media_send(s->media, &(struct command){.type = COMMAND_STOP, .a = &s->session, .play = {.id = id}});
}

int media_join(struct media_stream *a, struct media_stream *b, struct err *e) {
    if (a == b) return err_set(e, ERR_INVALID, "a media stream cannot be joined with itself");
    if (find_joined(a, b) >= 0) return 0;
    if (a->joined_count == SESSION_JOINED_MAX || b->joined_count == SESSION_JOINED_MAX)
        return err_set(e, ERR_LIMIT, "a media stream is joined with %d others already", SESSION_JOINED_MAX);
    a->joined[a->joined_count++] = b;
    b->joined[b->joined_count++] = a;
    media_send(a->media, &(struct command){.type = COMMAND_JOIN, .a = &a->session, .b = &b->session});
    return 0;
}

void media_unjoin(struct media_stream *a, struct media_stream *b) {
    if (find_joined(a, b) < 0) return;
    forget_joined(a, b);
    forget_joined(b, a);
    media_send(a->media, &(struct command){.type = COMMAND_UNJOIN, .a = &a->session, .b = &b->session});
}

void media_key(struct media_stream *s) {
    media_send(s->media, &(struct command){.type = COMMAND_KEY, .a = &s->session});
}

void media_mute(struct media_stream *s, bool muted) {
    media_send(s->media, &(struct command){.type = COMMAND_MUTE, .a = &s->session, .flag = muted});
}

#define GET(counter) atomic_load_explicit(&(counter), memory_order_relaxed)

void media_stream_stats(const struct media_stream *s, struct media_stats *out) {
    const struct session *x = &s->session;
    *out = (struct media_stats){
        .received = GET(x->received),
        .sent = GET(x->sent),
        .lost = GET(x->lost),
        .late = GET(x->late),
        .duplicated = GET(x->duplicated),
        .reordered = GET(x->reordered),
        .dropped_unknown = GET(s->media->thread->unknown_total),
        .concealed_ms = (uint32_t)(GET(x->concealed) / SAMPLES_PER_MS),
        .jitter_us = GET(x->jitter_x16) / 16 * 125,
        .delay_ms = FRAME_MS + GET(x->early_x16) / 16 / SAMPLES_PER_MS,
    };
    uint64_t sent_to_us = out->received + out->lost;
    out->mos = quality_mos(sent_to_us == 0 ? 0 : (double)(out->lost + out->late) / (double)sent_to_us, out->delay_ms);
}
