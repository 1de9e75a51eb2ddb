/* SPDX-License-Identifier: Apache-2.0 */
/* Setting up a leg is three requests, the first two sent together:
 *
 *   POST externalMedia --> its address and port, then StasisStart --+
 *   POST bridges/pb-.. --> who is in it already ---------------------+--> register the stream, addChannel --> ready
 *
 * Everything is made under ids of our own, so a repeat finds what is there. On a take-over the party is in its bridge
 * with a media channel of an older fence: the new one is added, and the older one goes when the new one hears.
 */
#include "telephony/leg.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "telephony/slot.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    START_LIMIT_MS = 2000, /* a StasisStart that is not here by then is looked for by GET */
    OLD_LIMIT_MS = 300,    /* older media channels go by then, heard or not */
    JOIN_AGAIN_MS = 20,    /* doubled each time */
    JOIN_TRIES = 5,
};

struct leg {
    struct slot *slot; /* borrowed */
    struct leg_opts o; /* strings in it are ours */
    char media[96], bridge[72];
    char address[64];
    int port;
    bool bridged, started, joining,
        joined;         /* bridge is there; media channel is in Stasis; addChannel is on its way, done */
    bool party_inside;  /* the party is in the bridge already */
    bool ended, closed; /* on_ready was called with an error; leg_close() was called */
    int tries, refs;    /* refs: leg_open's, the timer's, and one for each unanswered request */
    json_t *old;        /* ids of older media channels in the bridge */
    struct media_stream *stream;
    struct media_event heard; /* came before on_ready */
    bool has_heard;
    uv_timer_t timer;
    char lingers_at[80]; /* its place in telephony's lingering; empty: it does not linger */
};

/* -- ids --------------------------------------------------------------------------------------------------------------- */

/* The leg's id inside "pm-<leg id>-<fence>"; false when it is none of ours. */
static bool media_leg_id(const char *channel, char *out, size_t cap) {
    const char *last = strrchr(channel, '-');
    if (strncmp(channel, "pm-", 3) != 0 || last <= channel + 3 || (size_t)(last - channel - 3) >= cap) return false;
    memcpy(out, channel + 3, (size_t)(last - channel - 3));
    out[last - channel - 3] = '\0';
    return true;
}

static bool is_leg_id(const char *id) {
    size_t len = strlen(id);
    return len >= 1 && len <= 64 &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static const char *text_at(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* -- lingering --------------------------------------------------------------------------------------------------------- */

/* The port of its media channel: the media thread has one stream for each. */
static void place_of(const struct leg *l, char *out, size_t cap) {
    snprintf(out, cap, "%s:%d", l->address, l->port);
}

void leg_linger(struct leg *l) {
    if (l->lingers_at[0] || l->stream == NULL) return;
    place_of(l, l->lingers_at, sizeof l->lingers_at);
    map_put(&l->slot->telephony->lingering, l->lingers_at, l);
}

static void linger_end(struct leg *l) {
    if (l->lingers_at[0] == '\0') return;
    map_drop(&l->slot->telephony->lingering, l->lingers_at, l);
    l->lingers_at[0] = '\0';
}

/* Ends the sound of one that was given away when Asterisk has given its port to another already. */
static bool lingering_gives_way(const struct leg *to) {
    char place[sizeof to->lingers_at];
    struct leg *l;

    place_of(to, place, sizeof place);
    l = map_get(&to->slot->telephony->lingering, place);
    if (l == NULL) return false;
    linger_end(l);
    media_stream_close(l->stream);
    l->stream = NULL;
    return true;
}

/* -- requests ---------------------------------------------------------------------------------------------------------- */

static void leg_unref(struct leg *l) {
    if (--l->refs > 0) return;
    json_decref(l->old);
    free((char *)l->o.id);
    free((char *)l->o.channel);
    free(l);
}

/* path is freed. The answer comes with a reference to the leg, which its callback drops. */
static void leg_ask(struct leg *l, const char *method, struct buf *path, ari_cb cb) {
    l->refs++;
    slot_request(l->slot, method, path->data, NULL, cb, l);
    buf_free(path);
}

/* Nobody waits for it: what is left is found by the next sweep. */
static void forget(struct slot *s, const char *kind, const char *id) {
    struct buf path = {0};
    buf_printf(&path, "/%s/", kind);
    ari_encode(&path, id);
    slot_request(s, "DELETE", path.data, NULL, NULL, NULL);
    buf_free(&path);
}

static bool leg_over(const struct leg *l) {
    return l->closed || l->ended;
}

static void leg_fail(struct leg *l, const struct err *e) {
    if (leg_over(l)) return;
    l->ended = true;
    uv_timer_stop(&l->timer);
    linger_end(l);
    if (l->stream) media_stream_close(l->stream);
    l->stream = NULL;
    forget(l->slot, "channels", l->media);
    /* Its party may still be heard through an older media channel there. */
    if (e->code == ERR_NOT_FOUND) forget(l->slot, "bridges", l->bridge);
    l->o.on_ready(l->o.arg, e);
}

/* True when there is no answer to go on with. */
static bool leg_no_answer(struct leg *l, const struct err *e) {
    if (leg_over(l)) return true;
    if (e == NULL) return false;
    leg_fail(l, e);
    return true;
}

static void leg_refused(struct leg *l, const char *what, int status, const json_t *body) {
    struct err e;
    err_set(&e, ERR_PROTOCOL, "leg %s: Asterisk refused %s with %d: %.120s", l->o.id, what, status,
            text_at(body, "message"));
    leg_fail(l, &e);
}

/* -- ready ------------------------------------------------------------------------------------------------------------- */

static void drop_old(struct leg *l) {
    size_t i;
    json_t *id;
    json_array_foreach(l->old, i, id) forget(l->slot, "channels", json_string_value(id));
    json_decref(l->old);
    l->old = NULL;
}

static void on_stream(void *arg, const struct media_event *ev) {
    struct leg *l = arg;
    if (ev->type == MEDIA_HEARD && !l->joined) { /* audio was faster than the answer */
        l->heard = *ev;
        l->has_heard = true;
        return;
    }
    if (ev->type == MEDIA_HEARD) drop_old(l);
    if (l->o.on_media) l->o.on_media(l->o.arg, ev);
}

static void on_timer(uv_timer_t *timer);
static void leg_step(struct leg *l);

static void on_party_looked(void *arg, int status, const json_t *body, const struct err *e) {
    struct leg *l = arg;
    struct err gone;
    if (leg_no_answer(l, e)) {
        /* told */
    } else if (status == 404) {
        err_set(&gone, ERR_NOT_FOUND, "leg %s: its channel is gone", l->o.id);
        leg_fail(l, &gone);
    } else if (status == 200 && ++l->tries < JOIN_TRIES) {
        uv_timer_start(&l->timer, on_timer, JOIN_AGAIN_MS << l->tries, 0);
    } else {
        leg_refused(l, "to join the party and its media", status, body);
    }
    leg_unref(l);
}

static void on_joined(void *arg, int status, const json_t *body, const struct err *e) {
    struct leg *l = arg;
    (void)body;
    l->joining = false;
    if (leg_no_answer(l, e)) {
        /* told */
    } else if (status == 204 || status == 200) {
        l->joined = true;
        FAULT_POINT("leg.joined");
        if (l->old)
            uv_timer_start(&l->timer, on_timer, OLD_LIMIT_MS, 0);
        else
            uv_timer_stop(&l->timer);
        l->refs++;
        l->o.on_ready(l->o.arg, NULL);
        if (l->has_heard && !leg_over(l)) on_stream(l, &l->heard);
        leg_unref(l);
    } else { /* it does not say which of the two is at fault */
        struct buf path = {0};
        buf_add_str(&path, "/channels/");
        ari_encode(&path, l->o.channel);
        leg_ask(l, "GET", &path, on_party_looked);
    }
    leg_unref(l);
}

static void leg_step(struct leg *l) {
    struct err e;
    struct buf path = {0};
    if (leg_over(l) || l->joining || l->joined || !l->bridged || !l->started || l->port == 0) return;
    if (l->stream == NULL) {
        struct media_stream_opts o = {
            .peer_address = l->address, .peer_port = l->port, .codec = l->o.codec, .on_event = on_stream, .arg = l};
        struct media *media = l->slot->telephony->opts.media;
        int rc = media_stream_open(&l->stream, media, &o, &e);
        if (rc == ERR_EXISTS && lingering_gives_way(l)) rc = media_stream_open(&l->stream, media, &o, &e);
        if (rc < 0) {
            l->stream = NULL;
            /* Asterisk gives a port again at once; the end of the call that had it may not be known here yet. */
            if (e.code == ERR_EXISTS && ++l->tries < JOIN_TRIES)
                uv_timer_start(&l->timer, on_timer, JOIN_AGAIN_MS << l->tries, 0);
            else
                leg_fail(l, &e);
            return;
        }
    }
    l->joining = true;
    buf_printf(&path, "/bridges/%s/addChannel?channel=", l->bridge);
    if (!l->party_inside) {
        ari_encode(&path, l->o.channel);
        buf_add_str(&path, ",");
    }
    buf_add_str(&path, l->media);
    leg_ask(l, "POST", &path, on_joined);
}

/* -- the media channel ------------------------------------------------------------------------------------------------- */

static void learn(struct leg *l, const char *address, const char *port) {
    long long number;
    if (address && str_copy(l->address, sizeof l->address, address)) { /* kept */
    }
    if (port && str_to_int(port, &number) && number > 0 && number < 65536) l->port = (int)number;
}

static void on_port(void *arg, int status, const json_t *body, const struct err *e) {
    struct leg *l = arg;
    if (!leg_no_answer(l, e)) {
        learn(l, NULL, text_at(body, "value"));
        if (l->port == 0 || l->address[0] == '\0')
            leg_refused(l, "the media channel's port", status, body);
        else
            leg_step(l);
    }
    leg_unref(l);
}

static void on_address(void *arg, int status, const json_t *body, const struct err *e) {
    struct leg *l = arg;
    if (!leg_no_answer(l, e)) {
        if (status == 200) learn(l, text_at(body, "value"), NULL);
    }
    leg_unref(l);
}

static void media_is_there(struct leg *l, const json_t *channel) {
    const json_t *vars = json_object_get(channel, "channelvars");
    struct buf path = {0};
    learn(l, text_at(vars, "UNICASTRTP_LOCAL_ADDRESS"), text_at(vars, "UNICASTRTP_LOCAL_PORT"));
    if (strcmp(text_at(json_object_get(channel, "dialplan"), "app_name"), "Stasis") == 0) l->started = true;
    if (l->port && l->address[0]) {
        leg_step(l);
        return;
    }
    buf_printf(&path, "/channels/%s/variable?variable=UNICASTRTP_LOCAL_ADDRESS", l->media);
    leg_ask(l, "GET", &path, on_address);
    buf_printf(&path, "/channels/%s/variable?variable=UNICASTRTP_LOCAL_PORT", l->media);
    leg_ask(l, "GET", &path, on_port);
}

static void on_media_looked(void *arg, int status, const json_t *body, const struct err *e) {
    struct leg *l = arg;
    if (!leg_no_answer(l, e)) {
        if (status == 200)
            media_is_there(l, body);
        else
            leg_refused(l, "the media channel", status, body);
    }
    leg_unref(l);
}

static void look_for_media(struct leg *l, ari_cb cb) {
    struct buf path = {0};
    buf_printf(&path, "/channels/%s", l->media);
    leg_ask(l, "GET", &path, cb);
}

static void on_media_made(void *arg, int status, const json_t *body, const struct err *e) {
    struct leg *l = arg;
    FAULT_POINT("leg.media_made");
    if (!leg_no_answer(l, e)) {
        if (status == 200)
            media_is_there(l, body);
        else
            look_for_media(l, on_media_looked); /* 500 also says that it exists already */
    }
    leg_unref(l);
}

static void on_start_looked(void *arg, int status, const json_t *body, const struct err *e) {
    struct leg *l = arg;
    struct err late;
    if (!leg_no_answer(l, e)) {
        if (status == 200) media_is_there(l, body);
        if (!leg_over(l) && !l->started) {
            err_set(&late, ERR_TIMEOUT, "leg %s: its media channel did not start within %d ms", l->o.id,
                    START_LIMIT_MS);
            leg_fail(l, &late);
        }
    }
    leg_unref(l);
}

static void on_timer(uv_timer_t *timer) {
    struct leg *l = timer->data;
    if (l->joined)
        drop_old(l);
    else if (l->tries)
        leg_step(l);
    else if (!l->started)
        look_for_media(l, on_start_looked);
}

/* -- the bridge -------------------------------------------------------------------------------------------------------- */

static void bridge_is_there(struct leg *l, const json_t *bridge) {
    char id[80];
    size_t i;
    json_t *inside;

    json_array_foreach(json_object_get(bridge, "channels"), i, inside) {
        const char *name = json_string_value(inside);
        if (name == NULL) continue;
        if (strcmp(name, l->o.channel) == 0) l->party_inside = true;
        if (strcmp(name, l->media) == 0 || !media_leg_id(name, id, sizeof id) || strcmp(id, l->o.id) != 0) continue;
        if (l->old == NULL) l->old = json_array();
        json_array_append(l->old, inside);
    }
    FAULT_POINT("leg.bridge_made");
    l->bridged = true;
    leg_step(l);
}

static void on_bridge_looked(void *arg, int status, const json_t *body, const struct err *e) {
    struct leg *l = arg;
    if (!leg_no_answer(l, e)) {
        if (status == 200)
            bridge_is_there(l, body);
        else
            leg_refused(l, "the bridge", status, body);
    }
    leg_unref(l);
}

static void on_bridge_made(void *arg, int status, const json_t *body, const struct err *e) {
    struct leg *l = arg;
    struct buf path = {0};
    if (!leg_no_answer(l, e)) {
        if (status == 200) {
            bridge_is_there(l, body);
        } else { /* 409: one with this name is there already, as after a take-over */
            buf_printf(&path, "/bridges/%s", l->bridge);
            leg_ask(l, "GET", &path, on_bridge_looked);
        }
    }
    leg_unref(l);
}

/* -- the outside ------------------------------------------------------------------------------------------------------- */

struct leg *leg_open(struct slot *s, const struct leg_opts *o) {
    struct media *media = s->telephony->opts.media;
    struct leg *l = mem_alloc(sizeof *l);
    struct buf path = {0};

    assert(is_leg_id(o->id) && o->channel[0]);
    l->slot = s;
    l->o = *o;
    l->o.id = mem_strdup(o->id);
    l->o.channel = mem_strdup(o->channel);
    l->refs = 2;
    snprintf(l->bridge, sizeof l->bridge, "pb-%s", o->id);
    snprintf(l->media, sizeof l->media, "pm-%s-%llx", o->id, (unsigned long long)s->fence);
    map_put(&s->legs, l->o.id, l);
    if (s->telephony->legs_gauge) metric_add(s->telephony->legs_gauge, 1);
    uv_timer_init(s->telephony->loop, &l->timer);
    l->timer.data = l;
    uv_timer_start(&l->timer, on_timer, START_LIMIT_MS, 0);

    buf_printf(
        &path,
        "/channels/externalMedia?channelId=%s&app=%s&external_host=%s:%d&format=%s&encapsulation=rtp&transport=udp"
        "&connection_type=client&direction=both&data=media",
        l->media, s->app, media_address(media), media_port(media), o->codec == MEDIA_ALAW ? "alaw" : "ulaw");
    leg_ask(l, "POST", &path, on_media_made);
    buf_printf(&path, "/bridges/%s?type=mixing&name=%s", l->bridge, s->app);
    leg_ask(l, "POST", &path, on_bridge_made);
    return l;
}

struct media_stream *leg_stream(struct leg *l) {
    return l->joined ? l->stream : NULL;
}

bool leg_event(struct slot *s, const json_t *event) {
    const char *type = text_at(event, "type");
    const json_t *channel = json_object_get(event, "channel");
    char leg_id[80];
    struct leg *l;
    const char *id;

    if (channel == NULL) channel = json_object_get(event, "peer"); /* Dial */
    if (channel == NULL) return strncmp(text_at(json_object_get(event, "bridge"), "id"), "pb-", 3) == 0;
    id = text_at(channel, "id");
    if (strncmp(id, "pm-", 3) != 0) return false;
    l = media_leg_id(id, leg_id, sizeof leg_id) ? map_get(&s->legs, leg_id) : NULL;
    if (l == NULL || strcmp(l->media, id) != 0) return true; /* of an older fence */
    if (strcmp(type, "StasisStart") == 0) {
        l->started = true;
        leg_step(l);
    } else if (strcmp(type, "StasisEnd") == 0 && !leg_over(l)) {
        log_warn("leg.media_lost", "leg %s: Asterisk ended its media channel", l->o.id);
    }
    return true;
}

static void on_timer_closed(uv_handle_t *handle) {
    leg_unref(handle->data);
}

void leg_close(struct leg *l, bool keep) {
    struct slot *s = l->slot;

    map_drop(&s->legs, l->o.id, l);
    l->closed = true;
    linger_end(l);
    if (l->stream) media_stream_close(l->stream);
    l->stream = NULL;
    if (!keep && !l->ended) {
        drop_old(l);
        forget(s, "channels", l->media);
        forget(s, "bridges", l->bridge);
    }
    if (s->telephony->legs_gauge) metric_add(s->telephony->legs_gauge, -1);
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
    leg_unref(l);
}

static bool is_living(const struct slot *s, const char *leg_id, const struct map *living) {
    return map_get(living, leg_id) || map_get(&s->legs, leg_id);
}

int leg_sweep(struct slot *s, const json_t *channels, const json_t *bridges, const char *const *living) {
    char leg_id[80];
    const char *id;
    json_t *item;
    size_t i;
    int count = 0;
    struct map named = {0};

    for (; *living; living++) map_put(&named, *living, (void *)*living);
    json_array_foreach(channels, i, item) {
        id = text_at(item, "id");
        if (!media_leg_id(id, leg_id, sizeof leg_id) || is_living(s, leg_id, &named)) continue;
        forget(s, "channels", id);
        count++;
    }
    json_array_foreach(bridges, i, item) {
        id = text_at(item, "id");
        if (strncmp(id, "pb-", 3) != 0 || is_living(s, id + 3, &named)) continue;
        forget(s, "bridges", id);
        count++;
    }
    map_free(&named);
    return count;
}
