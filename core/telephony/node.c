/* SPDX-License-Identifier: Apache-2.0 */
/* A node's listing: who it is since when, its channels and its bridges, asked for once for all slots that want it.
 *
 * What belongs to a slot. A channel: in Stasis with this application ("app_data": "parley-7,..."), or listed by
 * GET /applications/parley-7, which also has channels that were originated for it and are still ringing. Our own
 * media channels are in Stasis with the slot's application, so the first rule finds them. A bridge: it has the application's
 * name as its name (legs make theirs so), or the application lists it; a bridge does not tell its application otherwise,
 * and one that never had a channel is listed by no application.
 */
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "telephony/slot.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTING_EVERY_MS = 30000 };

struct listing_entry {
    struct slot *slot; /* NULL: gone or asks again */
    unsigned dials;
    struct listing *listing;
    json_t *app;
    struct listing_part *part;
    struct err e;
};
struct listing {
    struct node *node;
    int waiting; /* answers still to come */
    struct slot *asker;
    json_t *info, *channels, *bridges;
    struct err e;               /* why the node's own part failed */
    struct listing_part *parts; /* of the entries, in their order; NULL until all has been listed */
    int count;
    struct listing_entry entries[];
};

/* -- what belongs to an application ------------------------------------------------------------------------------------ */

/* The application a channel is in Stasis with: "parley-7" of "parley-7,..."; false when it is in none. */
static bool app_of(const json_t *channel, char *out, size_t cap) {
    const json_t *dialplan = json_object_get(channel, "dialplan");
    const char *name = json_string_value(json_object_get(dialplan, "app_name"));
    const char *data = json_string_value(json_object_get(dialplan, "app_data"));
    if (name == NULL || data == NULL || strcmp(name, "Stasis") != 0) return false;
    size_t len = strcspn(data, ",");
    if (len >= cap) return false;
    memcpy(out, data, len);
    out[len] = '\0';
    return true;
}

struct share {
    struct map apps;   /* name -> struct listing_part */
    struct map listed; /* id of a channel or bridge -> the part whose application lists it */
};

static void list_ids(struct share *by, const json_t *of_app, const char *kind, struct listing_part *part) {
    size_t i;
    json_t *id;
    json_array_foreach(json_object_get(of_app, kind), i, id) if (json_is_string(id))
        map_put(&by->listed, json_string_value(id), part);
}

void listing_share(const json_t *channels, const json_t *bridges, struct listing_part *parts, int count) {
    struct share by = {0};
    char app[16];
    struct listing_part *part;
    json_t *item;
    size_t i;

    for (int n = 0; n < count; n++) {
        parts[n].channels = json_array();
        parts[n].bridges = json_array();
        map_put(&by.apps, parts[n].app, &parts[n]);
        list_ids(&by, parts[n].of_app, "channel_ids", &parts[n]);
        list_ids(&by, parts[n].of_app, "bridge_ids", &parts[n]);
    }
    json_array_foreach(channels, i, item) {
        const char *id = json_string_value(json_object_get(item, "id"));
        if (id == NULL) continue;
        part = app_of(item, app, sizeof app) ? map_get(&by.apps, app) : map_get(&by.listed, id);
        if (part) json_array_append(part->channels, item);
    }
    json_array_foreach(bridges, i, item) {
        const char *id = json_string_value(json_object_get(item, "id"));
        const char *name = json_string_value(json_object_get(item, "name"));
        if (id == NULL) continue;
        part = name ? map_get(&by.apps, name) : NULL;
        if (part == NULL) part = map_get(&by.listed, id);
        if (part) json_array_append(part->bridges, item);
    }
    map_free(&by.apps);
    map_free(&by.listed);
}

/* -- the listing ------------------------------------------------------------------------------------------------------- */

static void listing_start(struct node *n);

static void node_learn_boot(struct node *n, const json_t *info) {
    char boot[sizeof n->boot];
    const char *entity = json_string_value(json_object_get(json_object_get(info, "system"), "entity_id"));
    const char *since = json_string_value(json_object_get(json_object_get(info, "status"), "startup_time"));
    if (since == NULL) return;
    snprintf(boot, sizeof boot, "%s %s", entity ? entity : "-", since);
    if (n->boot[0] && strcmp(n->boot, boot) != 0)
        log_warn("node.rebooted", "node %s runs since %s; its calls before are gone", n->name, since);
    str_copy(n->boot, sizeof n->boot, boot);
}

static void share_out(struct listing *l) {
    l->parts = mem_alloc((size_t)l->count * sizeof *l->parts);
    for (int i = 0; i < l->count; i++) {
        struct slot *s = l->entries[i].slot;
        l->parts[i] = (struct listing_part){.app = s ? s->app : "", .of_app = l->entries[i].app};
        l->entries[i].part = &l->parts[i];
    }
    listing_share(l->channels, l->bridges, l->parts, l->count);
}

static void listing_end(struct listing *l) {
    struct node *n = l->node;
    bool whole = l->info && json_is_array(l->channels) && json_is_array(l->bridges);

    n->listing = NULL;
    if (whole)
        node_learn_boot(n, l->info);
    else if (l->e.code == 0)
        err_set(&l->e, ERR_PROTOCOL, "node %s listed nothing usable", n->name);
    if (whole) share_out(l);
    for (int i = 0; i < l->count && !n->telephony->closing; i++) {
        struct listing_entry *entry = &l->entries[i];
        struct slot *s = entry->slot;
        if (s == NULL || s->dials != entry->dials || s->ari == NULL) continue;
        if (entry->e.code) {
            slot_list_failed(s, &entry->e);
        } else if (!whole && s != l->asker) {
            s->listing_wanted = true; /* the slot whose socket was used is at fault; another one asks next */
        } else if (!whole) {
            slot_list_failed(s, &l->e);
        } else {
            slot_listed(s, entry->part->channels, entry->part->bridges);
        }
    }
    for (int i = 0; i < l->count; i++) {
        json_decref(l->entries[i].app);
        if (l->parts == NULL) continue;
        json_decref(l->parts[i].channels);
        json_decref(l->parts[i].bridges);
    }
    free(l->parts);
    json_decref(l->info);
    json_decref(l->channels);
    json_decref(l->bridges);
    free(l);
    if (!n->telephony->closing) listing_start(n);
}

static void listing_answered(struct listing *l) {
    if (--l->waiting == 0) listing_end(l);
}

static void keep_answer(json_t **out, struct err *why, int status, const json_t *body, const struct err *e) {
    if (e)
        *why = *e;
    else if (status != 200 || body == NULL)
        err_set(why, ERR_PROTOCOL, "Asterisk answered %d to a listing", status);
    else
        *out = json_incref((json_t *)body);
}

static void on_info(void *arg, int status, const json_t *body, const struct err *e) {
    struct listing *l = arg;
    keep_answer(&l->info, &l->e, status, body, e);
    listing_answered(l);
}
static void on_channels(void *arg, int status, const json_t *body, const struct err *e) {
    struct listing *l = arg;
    keep_answer(&l->channels, &l->e, status, body, e);
    listing_answered(l);
}
static void on_bridges(void *arg, int status, const json_t *body, const struct err *e) {
    struct listing *l = arg;
    keep_answer(&l->bridges, &l->e, status, body, e);
    listing_answered(l);
}
static void on_app(void *arg, int status, const json_t *body, const struct err *e) {
    struct listing_entry *entry = arg;
    keep_answer(&entry->app, &entry->e, status, body, e);
    listing_answered(entry->listing);
}

/* An unconfirmed slot keeps its wish: it is asked again when its lease is confirmed. */
static bool may_list(const struct slot *s) {
    return s->listing_wanted && s->ari && slot_confirmed(s);
}

static void listing_start(struct node *n) {
    int count = 0, k = n->telephony->opts.slots_per_node;
    for (int i = 0; i < k; i++) count += may_list(&n->slots[i]);
    if (n->listing || count == 0) return;

    struct listing *l = mem_alloc(sizeof *l + (size_t)count * sizeof l->entries[0]);
    l->node = n;
    n->listing = l;
    for (int i = 0; i < k; i++) {
        struct slot *s = &n->slots[i];
        if (l->count == count || !may_list(s)) continue;
        s->listing_wanted = false;
        if (l->asker == NULL) l->asker = s;
        l->entries[l->count++] = (struct listing_entry){.slot = s, .dials = s->dials, .listing = l};
    }
    if (l->count == 0) { /* the loop paused just now */
        n->listing = NULL;
        free(l);
        return;
    }
    l->waiting = 3 + l->count; /* nothing below answers before the loop turns */
    slot_ask(l->asker, "GET", "/asterisk/info", on_info, l);
    slot_ask(l->asker, "GET", "/channels", on_channels, l);
    slot_ask(l->asker, "GET", "/bridges", on_bridges, l);
    for (int i = 0; i < l->count; i++) {
        char path[40];
        snprintf(path, sizeof path, "/applications/%s", l->entries[i].slot->app);
        slot_ask(l->entries[i].slot, "GET", path, on_app, &l->entries[i]);
    }
}

void node_list(struct slot *s) {
    s->listing_wanted = true;
    listing_start(s->node);
}

static void on_listing_due(uv_timer_t *timer) {
    struct node *n = timer->data;
    for (int i = 0; i < n->telephony->opts.slots_per_node; i++)
        if (slot_ready(&n->slots[i])) n->slots[i].listing_wanted = true;
    listing_start(n);
}

/* -- the node ---------------------------------------------------------------------------------------------------------- */

static bool is_node_name(const char *name) {
    size_t len = strlen(name);
    return len >= 1 && len <= 12 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == len;
}

/* "http://host:port" or ".../ari" -> the WebSocket's address, ours; NULL with e. */
static char *events_url(const struct telephony_node *o, struct err *e) {
    const char *rest;
    if (o->ari_url && str_starts(o->ari_url, "http://"))
        rest = o->ari_url + 7;
    else if (o->ari_url && str_starts(o->ari_url, "https://"))
        rest = o->ari_url + 8;
    else {
        err_set(e, ERR_INVALID, "node %s: the ARI address must begin with http:// or https://", o->name);
        return NULL;
    }
    if (o->user == NULL || o->password == NULL) {
        err_set(e, ERR_INVALID, "node %s: ARI user and password are missing", o->name);
        return NULL;
    }
    size_t len = strlen(rest);
    while (len && rest[len - 1] == '/') len--;
    if (len > 4 && strncmp(rest + len - 4, "/ari", 4) == 0) len -= 4;
    return mem_printf("%s://%.*s/ari/events", str_starts(o->ari_url, "https") ? "wss" : "ws", (int)len, rest);
}

int node_come_back(struct node *n, const struct telephony_node *o, struct err *e) {
    char *url = events_url(o, e);
    if (url == NULL) return ERR_INVALID;
    bool moved = strcmp(url, n->url) != 0;
    free(n->url);
    free(n->user);
    free(n->password);
    n->url = url;
    n->user = mem_strdup(o->user);
    n->password = mem_strdup(o->password);
    n->leaving = false;
    for (int i = 0; moved && i < n->telephony->opts.slots_per_node; i++) slot_redial(&n->slots[i]);
    return 0;
}

int node_open(struct node **out, struct telephony *t, const struct telephony_node *o, struct err *e) {
    if (o->name == NULL || !is_node_name(o->name))
        return err_set(e, ERR_INVALID, "a node's name is 1 to 12 of a-z and 0-9, not '%.40s'", o->name ? o->name : "");
    for (struct node *n = t->nodes; n; n = n->next)
        if (strcmp(n->name, o->name) == 0) return err_set(e, ERR_EXISTS, "node %s is there already", o->name);
    char *url = events_url(o, e);
    if (url == NULL) return ERR_INVALID;
    struct node *n = mem_alloc(sizeof *n);
    n->telephony = t;
    n->name = mem_strdup(o->name);
    n->url = url;
    n->user = mem_strdup(o->user);
    n->password = mem_strdup(o->password);
    n->slots = mem_alloc((size_t)t->opts.slots_per_node * sizeof *n->slots);
    uv_timer_init(t->loop, &n->timer);
    n->timer.data = n;
    t->handles++;
    uv_timer_start(&n->timer, on_listing_due, LISTING_EVERY_MS, LISTING_EVERY_MS);
    for (int i = 0; i < t->opts.slots_per_node; i++) slot_init(&n->slots[i], n, i + 1);
    n->next = t->nodes;
    t->nodes = n;
    *out = n;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle) {
    struct node *n = handle->data;
    telephony_handle_gone(n->telephony);
}

void node_close(struct node *n) {
    uv_close((uv_handle_t *)&n->timer, on_timer_closed);
    for (int i = 0; i < n->telephony->opts.slots_per_node; i++) slot_shut(&n->slots[i]);
}

void node_free(struct node *n) {
    free(n->name);
    free(n->url);
    free(n->user);
    free(n->password);
    for (int i = 0; i < n->telephony->opts.slots_per_node; i++) map_free(&n->slots[i].legs);
    free(n->slots);
    free(n);
}
