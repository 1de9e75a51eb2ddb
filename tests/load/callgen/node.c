/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "callgen.h"
#include "io/http_server.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct session {
    struct node *node;
    int slot; /* 1 to SLOTS */
    struct ws *ws;
};
struct bridge {
    char id[80], name[32];
    struct channel **inside;
    int count;
};
struct node {
    int index;
    char boot[40], authorization[256], endpoint[128];
    struct http_server *server;
    struct session *apps[SLOTS + 1]; /* who has parley-K now */
    struct map channels, bridges;
    uint64_t requests, failed;
};

/* A request, taken apart: "channels/ID/answer?x=y" */
struct request {
    struct node *node;
    char path[512], query[512], *part[8];
    int parts;
    json_t *body;
};
struct answer {
    int status;
    json_t *body;
};

/* -- text ---------------------------------------------------------------------------------------------------------------- */

static void percent_decode(char *text) {
    char *out = text, hex[3] = {0};
    for (; *text; text++) {
        if (text[0] == '%' && text[1] && text[2]) {
            hex[0] = text[1], hex[1] = text[2];
            *out++ = (char)strtol(hex, NULL, 16);
            text += 2;
        } else {
            *out++ = *text;
        }
    }
    *out = '\0';
}

static const char *query(const struct request *r, const char *name, char *out, size_t cap) {
    size_t len = strlen(name);
    for (const char *at = r->query; at && *at; at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL) {
        if (strncmp(at, name, len) != 0 || at[len] != '=') continue;
        snprintf(out, cap, "%.*s", (int)strcspn(at + len + 1, "&"), at + len + 1);
        percent_decode(out);
        return out;
    }
    out[0] = '\0';
    return out;
}

static const char *field(const struct request *r, const char *name, char *out, size_t cap) {
    const char *text = json_string_value(json_object_get(r->body, name));
    if (text == NULL) return query(r, name, out, cap);
    snprintf(out, cap, "%s", text);
    return out;
}

static void stamp(char out[40]) {
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t len = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + len, 40 - len, ".%03ld+0000", now.tv_nsec / 1000000);
}

/* -- what Asterisk tells --------------------------------------------------------------------------------------------------- */

static json_t *channel_json(const struct channel *c) {
    char name[300];
    snprintf(name, sizeof name, "%s/%s-%s", c->media ? "UnicastRTP" : "PJSIP", c->media ? c->own : c->node->endpoint,
             c->id);
    json_t *out = json_pack(
        "{s:s, s:s, s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s}, s:s, s:{s:s, s:s, s:i, s:s, s:s}, s:s, s:s}", "id", c->id,
        "name", name, "state", c->up ? "Up" : "Ring", "protocol_id", c->id, "caller", "name", "", "number",
        c->media ? "" : "+12025550100", "connected", "name", "", "number", "", "accountcode", "", "dialplan", "context",
        c->media ? "default" : "parley-in", "exten", c->exten ? c->exten : "s", "priority", 1, "app_name",
        c->in_stasis ? "Stasis" : "", "app_data", c->app_data, "creationtime", c->node->boot, "language", "en");
    if (c->media) {
        char port[8];
        snprintf(port, sizeof port, "%d", c->own_port);
        json_object_set_new(out, "channelvars",
                            json_pack("{s:s, s:s}", "UNICASTRTP_LOCAL_ADDRESS", c->own, "UNICASTRTP_LOCAL_PORT", port));
    }
    return out;
}

static json_t *bridge_json(const struct bridge *b) {
    json_t *inside = json_array();
    for (int i = 0; i < b->count; i++) json_array_append_new(inside, json_string(b->inside[i]->id));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "id", b->id, "technology", "simple_bridge", "bridge_type",
                     "mixing", "bridge_class", "stasis", "creator", "Stasis", "name", b->name, "channels", inside);
}

static void session_send(struct session *s, json_t *message) {
    char *text = json_dumps(message, JSON_COMPACT);
    if (s->ws) ws_send(s->ws, text, strlen(text), NULL);
    free(text);
    json_decref(message);
}

static int slot_of(const char *app) {
    int slot = strncmp(app, "parley-", 7) == 0 ? atoi(app + 7) : 0;
    return slot >= 1 && slot <= SLOTS ? slot : 0;
}

/* Takes body. Nobody there: the event is lost, as in Asterisk. */
static void event(struct node *n, const char *app, const char *type, json_t *body) {
    struct session *s = n->apps[slot_of(app)];
    char when[40];
    if (s == NULL) {
        json_decref(body);
        return;
    }
    stamp(when);
    json_object_set_new(body, "type", json_string(type));
    json_object_set_new(body, "application", json_string(app));
    json_object_set_new(body, "timestamp", json_string(when));
    json_object_set_new(body, "asterisk_id", json_sprintf("02:00:00:00:00:%02x", n->index));
    session_send(s, body);
}

static void channel_event(struct channel *c, const char *type) {
    event(c->node, c->app, type, json_pack("{s:o}", "channel", channel_json(c)));
}

/* -- channels and bridges -------------------------------------------------------------------------------------------------- */

struct channel *node_channel(struct node *n, const char *id, struct call *call) {
    struct channel *c = mem_alloc(sizeof *c);
    snprintf(c->id, sizeof c->id, "%s", id);
    c->node = n;
    c->call = call;
    map_put(&n->channels, c->id, c);
    return c;
}

static void leave_bridge(struct channel *c) {
    struct bridge *b = c->bridge;
    if (b == NULL) return;
    for (int i = 0; i < b->count; i++)
        if (b->inside[i] == c) b->inside[i] = b->inside[--b->count];
    c->bridge = NULL;
}

static void channel_gone(struct channel *c) {
    if (c->in_stasis) channel_event(c, "StasisEnd");
    leave_bridge(c);
    if (c->stream) sound_stop(c->stream);
    map_drop(&c->node->channels, c->id, c);
    free(c);
}

void node_hang_up(struct channel *c, int cause) {
    if (c->in_stasis)
        event(c->node, c->app, "ChannelHangupRequest",
              json_pack("{s:o, s:i}", "channel", channel_json(c), "cause", cause));
    /* One that was dialled out and not answered was never in Stasis; its end is told by ChannelDestroyed. */
    if (!c->in_stasis && c->app[0])
        event(c->node, c->app, "ChannelDestroyed",
              json_pack("{s:o, s:i, s:s}", "channel", channel_json(c), "cause", cause, "cause_txt", ""));
    channel_gone(c);
}

void node_start_dialled(struct channel *c) {
    const char *args = strchr(c->app_data, ',');
    json_t *list_of = json_array();
    for (const char *at = args; at; at = strchr(at + 1, ','))
        json_array_append_new(list_of, json_stringn(at + 1, strcspn(at + 1, ",")));
    channel_event(c, "ChannelStateChange");
    event(c->node, c->app, "StasisStart", json_pack("{s:o, s:o}", "args", list_of, "channel", channel_json(c)));
}

void node_digit(struct channel *c, char digit) {
    event(c->node, c->app, "ChannelDtmfReceived",
          json_pack("{s:o, s:s#, s:i}", "channel", channel_json(c), "digit", &digit, 1, "duration_ms", 100));
}

void node_each_stream(struct channel *c, void (*each)(void *arg, struct stream *s), void *arg) {
    for (int i = 0; c->bridge && i < c->bridge->count; i++)
        if (c->bridge->inside[i]->stream) each(arg, c->bridge->inside[i]->stream);
}

bool node_offer(struct node *n, struct channel *c, int app, const char *args_text, json_t *args) {
    int first = app > 0 ? app - 1 : rand() % SLOTS;
    for (int i = 0; i < SLOTS; i++) {
        int slot = (first + i) % SLOTS + 1;
        if (n->apps[slot] == NULL) continue;
        snprintf(c->app, sizeof c->app, "parley-%d", slot);
        snprintf(c->app_data, sizeof c->app_data, "%s,%s", c->app, args_text);
        c->in_stasis = true;
        event(n, c->app, "StasisStart", json_pack("{s:O, s:o}", "args", args, "channel", channel_json(c)));
        return true;
    }
    return false;
}

const char *node_endpoint(const struct node *n) {
    return n->endpoint[0] ? n->endpoint : NULL;
}

bool node_has_sound(const struct node *n) {
    return options.sound && n->index < options.sound_nodes;
}

int node_apps(const struct node *n) {
    int count = 0;
    for (int i = 1; i <= SLOTS; i++) count += n->apps[i] != NULL;
    return count;
}

void node_counts(const struct node *n, uint64_t *channels, uint64_t *bridges, uint64_t *requests, uint64_t *failed) {
    *channels += n->channels.count, *bridges += n->bridges.count, *requests += n->requests, *failed += n->failed;
}

/* -- requests -------------------------------------------------------------------------------------------------------------- */

static struct answer refuse(int status, const char *why) {
    return (struct answer){status, json_pack("{s:s}", "message", why)};
}

struct listed {
    json_t *out;
    const char *app; /* NULL: whole, of all; else the ids of this one's */
};

static void list_channel(void *arg, void *value) {
    struct listed *l = arg;
    struct channel *c = value;
    if (l->app == NULL)
        json_array_append_new(l->out, channel_json(c));
    else if (strcmp(c->app, l->app) == 0)
        json_array_append_new(l->out, json_string(c->id));
}

static void list_bridge(void *arg, void *value) {
    struct listed *l = arg;
    struct bridge *b = value;
    if (l->app == NULL)
        json_array_append_new(l->out, bridge_json(b));
    else if (strcmp(b->name, l->app) == 0)
        json_array_append_new(l->out, json_string(b->id));
}

static json_t *list(const struct map *m, void (*each)(void *arg, void *value), const char *app) {
    struct listed l = {json_array(), app};
    map_each(m, each, &l);
    return l.out;
}

static struct answer external_media(struct request *r) {
    char id[112], app[32], host[64], format[16], *colon;
    query(r, "channelId", id, sizeof id), query(r, "app", app, sizeof app);
    query(r, "external_host", host, sizeof host), query(r, "format", format, sizeof format);
    if (id[0] == '\0' || (colon = strrchr(host, ':')) == NULL || slot_of(app) == 0)
        return refuse(400, "external_host or channelId is missing");
    if (map_get(&r->node->channels, id)) return refuse(500, "Channel with given unique ID already exists");
    struct channel *c = node_channel(r->node, id, NULL);
    *colon = '\0';
    c->media = c->up = c->in_stasis = true;
    str_copy(c->app, sizeof c->app, app);
    snprintf(c->app_data, sizeof c->app_data, "%s,media", app);
    /* Without sound nobody listens, but each media channel has an address of its own all the same. */
    static uint32_t last = 0x7F400000;
    struct in_addr own = {htonl(++last)};
    inet_ntop(AF_INET, &own, c->own, sizeof c->own);
    c->own_port = sound_sink();
    /* Which caller hears it is known when both are in the bridge; until then nobody does. */
    static struct ear nobody;
    if (node_has_sound(r->node))
        c->stream = sound_start(host, atoi(colon + 1), strcmp(format, "alaw") == 0, &nobody, c->own, &c->own_port);
    struct answer made = {200, channel_json(c)};
    return made;
}

static void hear_in_bridge(struct bridge *b);

static struct answer bridge_request(struct request *r, const char *method) {
    struct node *n = r->node;
    struct bridge *b = map_get(&n->bridges, r->part[1]);
    if (r->parts == 2 && strcmp(method, "POST") == 0) {
        if (b) return refuse(409, "Bridge with id already exists");
        b = mem_alloc(sizeof *b);
        snprintf(b->id, sizeof b->id, "%s", r->part[1]);
        query(r, "name", b->name, sizeof b->name);
        map_put(&n->bridges, b->id, b);
        return (struct answer){200, bridge_json(b)};
    }
    if (b == NULL) return refuse(404, "Bridge not found");
    if (r->parts == 2 && strcmp(method, "GET") == 0) return (struct answer){200, bridge_json(b)};
    if (r->parts == 2 && strcmp(method, "DELETE") == 0) {
        while (b->count) leave_bridge(b->inside[0]);
        map_drop(&n->bridges, b->id, b);
        free(b->inside);
        free(b);
        return (struct answer){204, NULL};
    }
    if (r->parts == 3 && (strcmp(r->part[2], "addChannel") == 0 || strcmp(r->part[2], "removeChannel") == 0)) {
        char ids[512], *rest = ids;
        query(r, "channel", ids, sizeof ids);
        for (char *id; (id = strsep(&rest, ",")) != NULL;) {
            struct channel *c = map_get(&n->channels, id);
            if (c == NULL) return refuse(400, "Channel not found");
            if (!c->in_stasis) return refuse(422, "Channel not in Stasis application");
        }
        query(r, "channel", ids, sizeof ids), rest = ids;
        for (char *id; (id = strsep(&rest, ",")) != NULL;) {
            struct channel *c = map_get(&n->channels, id);
            leave_bridge(c);
            if (r->part[2][0] == 'r') continue;
            b->inside = mem_realloc(b->inside, (size_t)(b->count + 1) * sizeof(struct channel *));
            b->inside[b->count++] = c;
            c->bridge = b;
        }
        hear_in_bridge(b);
        return (struct answer){204, NULL};
    }
    return refuse(404, "Resource not found");
}

/* The media channels of a bridge speak to the caller in it. */
static void hear_in_bridge(struct bridge *b) {
    struct call *call = NULL;
    for (int i = 0; i < b->count; i++)
        if (!b->inside[i]->media) call = b->inside[i]->call;
    for (int i = 0; call && i < b->count; i++) {
        struct channel *c = b->inside[i];
        if (!c->media || c->call == call || c->stream == NULL) continue;
        c->call = call;
        sound_heard_by(c->stream, call_ear(call));
    }
}

static struct answer channel_request(struct request *r, const char *method) {
    struct channel *c = map_get(&r->node->channels, r->part[1]);
    char name[64], app[32], args[160];
    if (r->parts == 2 && strcmp(method, "POST") == 0) {
        if (c) return refuse(409, "Channel with given unique ID already exists");
        field(r, "app", app, sizeof app), field(r, "appArgs", args, sizeof args);
        c = node_channel(r->node, r->part[1], NULL);
        str_copy(c->app, sizeof c->app, app);
        struct buf data = {0};
        buf_printf(&data, "%s,%s", app, args);
        str_copy(c->app_data, sizeof c->app_data, data.data);
        buf_free(&data);
        struct answer made = {200, channel_json(c)};
        call_dialled(r->node, c, app, args);
        return made;
    }
    if (c == NULL) return refuse(404, "Channel not found");
    if (r->parts == 2 && strcmp(method, "GET") == 0) return (struct answer){200, channel_json(c)};
    if (r->parts == 2 && strcmp(method, "DELETE") == 0) {
        struct call *call = c->media ? NULL : c->call;
        channel_gone(c);
        if (call) call_hung_up(call);
        return (struct answer){204, NULL};
    }
    if (r->parts != 3) return refuse(404, "Resource not found");
    if (strcmp(r->part[2], "variable") == 0) {
        char port[8];
        query(r, "variable", name, sizeof name);
        snprintf(port, sizeof port, "%d", c->own_port);
        if (c->media && strcmp(name, "UNICASTRTP_LOCAL_ADDRESS") == 0)
            return (struct answer){200, json_pack("{s:s}", "value", c->own)};
        if (c->media && strcmp(name, "UNICASTRTP_LOCAL_PORT") == 0)
            return (struct answer){200, json_pack("{s:s}", "value", port)};
        return refuse(404, "Provided variable was not found");
    }
    if (strcmp(r->part[2], "answer") == 0) {
        c->up = true;
        channel_event(c, "ChannelStateChange");
        if (c->call) call_answered(c->call);
    }
    return (struct answer){204, NULL};
}

static struct answer answer_to(struct request *r, const char *method) {
    struct node *n = r->node;
    const char *what = r->parts ? r->part[0] : "";
    bool get = strcmp(method, "GET") == 0;
    char name[64];

    if (strcmp(what, "asterisk") == 0 && r->parts == 2 && get)
        return (struct answer){200, json_pack("{s:{s:s, s:s}, s:{s:s, s:s}, s:{s:s}}", "system", "version",
                                              "22.0.0 (callgen)", "entity_id", n->endpoint, "status", "startup_time",
                                              n->boot, "last_reload_time", n->boot, "config", "name", "callgen")};
    if (strcmp(what, "asterisk") == 0 && r->parts == 6 &&
        strcmp(method, "PUT") == 0) { /* asterisk/config/dynamic/res_pjsip/KIND/ID */
        if (strcmp(r->part[4], "endpoint") == 0 && n->endpoint[0] == '\0')
            snprintf(n->endpoint, sizeof n->endpoint, "%s", r->part[5]);
        return (struct answer){200, json_array()};
    }
    if (strcmp(what, "asterisk") == 0 && r->parts == 6) return (struct answer){get ? 404 : 204, NULL};
    if (strcmp(what, "applications") == 0 && r->parts == 2 && get)
        return (struct answer){200,
                               json_pack("{s:s, s:o, s:o, s:[], s:[]}", "name", r->part[1], "channel_ids",
                                         list(&n->channels, list_channel, r->part[1]), "bridge_ids",
                                         list(&n->bridges, list_bridge, r->part[1]), "endpoint_ids", "device_names")};
    if (strcmp(what, "events") == 0 && r->parts == 3) {
        event(n, query(r, "application", name, sizeof name), "ChannelUserevent",
              json_pack("{s:s, s:{}}", "eventname", r->part[2], "userevent"));
        return (struct answer){204, NULL};
    }
    if (strcmp(what, "channels") == 0 && r->parts == 1 && get)
        return (struct answer){200, list(&n->channels, list_channel, NULL)};
    if (strcmp(what, "bridges") == 0 && r->parts == 1 && get)
        return (struct answer){200, list(&n->bridges, list_bridge, NULL)};
    if (strcmp(what, "channels") == 0 && r->parts == 2 && strcmp(r->part[1], "externalMedia") == 0)
        return external_media(r);
    if (strcmp(what, "channels") == 0 && r->parts >= 2) return channel_request(r, method);
    if (strcmp(what, "bridges") == 0 && r->parts >= 2) return bridge_request(r, method);
    return refuse(404, "Invalid URI path");
}

static uint64_t stale;
uint64_t node_stale(void) {
    return stale;
}

static void on_message(void *session, struct ws *ws, const char *data, size_t len, bool binary) {
    struct session *s = session;
    json_t *m = json_loadb(data, len, 0, NULL);
    const char *id = json_string_value(json_object_get(m, "request_id")),
               *method = json_string_value(json_object_get(m, "method"));
    const char *uri = json_string_value(json_object_get(m, "uri")),
               *body = json_string_value(json_object_get(m, "message_body"));
    struct request r = {.node = s->node};
    (void)ws, (void)binary;
    if (id == NULL || method == NULL || uri == NULL) {
        json_decref(m);
        return;
    }
    s->node->requests++;
    if (s->node->apps[s->slot] != s && strcmp(method, "GET") != 0 &&
        (strncmp(uri, "channels", 8) == 0 || strncmp(uri, "bridges", 7) == 0)) {
        stale++;
        fprintf(stderr, "callgen: stale: %s %s over %s's old socket\n", method, uri,
                s->node->apps[s->slot] ? "an application" : "a lost one");
    }
    size_t path = strcspn(uri, "?");
    snprintf(r.path, sizeof r.path, "%.*s", (int)path, uri);
    snprintf(r.query, sizeof r.query, "%s", uri[path] ? uri + path + 1 : "");
    char *rest = r.path;
    for (char *part; r.parts < 8 && (part = strsep(&rest, "/")) != NULL;) {
        percent_decode(part);
        r.part[r.parts++] = part;
    }
    r.body = body ? json_loads(body, 0, NULL) : NULL;
    struct answer a = answer_to(&r, method);
    if (a.status >= 400 && a.status != 404 && a.status != 409) s->node->failed++;
    json_t *out = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "type", "RESTResponse", "transaction_id", "",
                            "request_id", id, "status_code", a.status, "reason_phrase", "", "uri", uri);
    if (a.body) {
        char *text = json_dumps(a.body, JSON_COMPACT | JSON_ENCODE_ANY);
        json_object_set_new(out, "content_type", json_string("application/json"));
        json_object_set_new(out, "message_body", json_string(text));
        free(text);
    }
    session_send(s, out);
    /* Its start in Stasis comes behind the answer. */
    if (a.status == 200 && r.parts == 2 && strcmp(r.part[1], "externalMedia") == 0) {
        struct channel *c = map_get(&s->node->channels, json_string_value(json_object_get(a.body, "id")));
        event(s->node, c->app, "StasisStart", json_pack("{s:[s], s:o}", "args", "media", "channel", channel_json(c)));
    }
    json_decref(a.body);
    json_decref(r.body);
    json_decref(m);
}

/* -- sockets --------------------------------------------------------------------------------------------------------------- */

static int on_upgrade(void *arg, struct http_request *r, void **session, char **reply_body) {
    struct node *n = arg;
    const char *app = strstr(http_query(r), "app="), *given = http_header(r, "authorization");
    char name[32];
    (void)reply_body;
    if (given == NULL || strcmp(given, n->authorization) != 0) return 401;
    if (strcmp(http_path(r), "/ari/events") != 0 || app == NULL) return 404;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(app + 4, "&"), app + 4);
    if (slot_of(name) == 0) return 404;
    struct session *s = mem_alloc(sizeof *s);
    s->node = n;
    s->slot = slot_of(name);
    *session = s;
    return 101;
}

static void on_open(void *session, struct ws *ws) {
    struct session *s = session, *before = s->node->apps[s->slot];
    char app[16];
    snprintf(app, sizeof app, "parley-%d", s->slot);
    s->ws = ws;
    if (before) session_send(before, json_pack("{s:s, s:s}", "type", "ApplicationReplaced", "application", app));
    s->node->apps[s->slot] = s;
    session_send(s, json_pack("{s:s, s:s}", "type", "ApplicationRegistered", "application", app));
}

static void on_close(void *session, int code) {
    struct session *s = session;
    (void)code;
    if (s->node->apps[s->slot] == s) s->node->apps[s->slot] = NULL;
    free(s);
}

static void on_http(void *arg, struct http_request *r) {
    (void)arg;
    http_reply(r, 404, NULL, NULL, 0);
}

static void basic(char *out, size_t cap, const char *user, const char *password) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char plain[128];
    size_t len = (size_t)snprintf(plain, sizeof plain, "%s:%s", user, password),
           at = (size_t)snprintf(out, cap, "Basic ");
    for (size_t i = 0; i < len && at + 5 < cap; i += 3) {
        uint32_t three = (uint32_t)(unsigned char)plain[i] << 16;
        if (i + 1 < len) three |= (uint32_t)(unsigned char)plain[i + 1] << 8;
        if (i + 2 < len) three |= (unsigned char)plain[i + 2];
        out[at++] = digits[three >> 18], out[at++] = digits[three >> 12 & 63];
        out[at++] = i + 1 < len ? digits[three >> 6 & 63] : '=', out[at++] = i + 2 < len ? digits[three & 63] : '=';
    }
    out[at] = '\0';
}

struct node *node_open(int index, struct net *net) {
    struct node *n = mem_alloc(sizeof *n);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(options.port + index))};
    struct err e;
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, options.address, &at.sin_addr) != 1) {
        fprintf(stderr, "callgen: --address %s is no IPv4 address\n", options.address);
        exit(2);
    }
    n->index = index;
    stamp(n->boot);
    basic(n->authorization, sizeof n->authorization, options.user, options.password);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 128) < 0) {
        fprintf(stderr, "callgen: %s:%d: %m\n", options.address, options.port + index);
        exit(2);
    }
    struct http_server_opts o = {.listen_fd = fd,
                                 .on_request = on_http,
                                 .on_upgrade = on_upgrade,
                                 .on_ws_open = on_open,
                                 .on_ws_message = on_message,
                                 .on_ws_close = on_close,
                                 .arg = n,
                                 .ws_message_limit = 1 << 20,
                                 .ws_queue_limit = 64 << 20,
                                 .ws_frames_a_second = -1};
    if (http_server_open(&n->server, net, &o, &e) < 0) {
        fprintf(stderr, "callgen: %s\n", e.text);
        exit(2);
    }
    return n;
}
