/* SPDX-License-Identifier: Apache-2.0 */
/* Legs: the odd paths with an Asterisk that does as it is told, the plain ones with a real one and a real caller (sipp).
 *
 * The real node is made by deploy/asterisk, from PARLEY_ASTERISK or the tree's var/; without sipp or a node these tests are
 * skipped, and say so. */
#include "base/buf.h"
#include "fake_ari.h"
#include "io/redis.h"
#include "metrics/metrics.h"
#include "private_redis.h"
#include "telephony/leg.h"
#include "telephony/slot.h"
#include "until.h"
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

static struct private_redis server;
static uv_loop_t loop;
static struct net *net;
static struct metrics *metrics;
static struct media *media;
static struct fake_ari fake;
static struct redis *redis;
static struct telephony *telephony;
static bool closed;

/* -- the floor above ------------------------------------------------------------------------------------------------------- */

static struct slot *slot; /* the only one */
static char channel[128]; /* the last SIP channel that came */
static json_t *channels, *bridges;
static int sip_ended;

static void on_slot_ready(void *arg, struct slot *s, bool first, const char *predecessor, const json_t *c,
                          const json_t *b) {
    (void)arg, (void)first, (void)predecessor;
    json_decref(channels);
    json_decref(bridges);
    channels = json_deep_copy(c);
    bridges = json_deep_copy(b);
    slot = s;
}
static void on_slot_lost(void *arg, struct slot *s, enum slot_lost why) {
    (void)arg, (void)s, (void)why, slot = NULL;
}
static void on_slot_giving(void *arg, struct slot *s) {
    (void)arg, slot_flushed(s);
}
static void on_slot_event(void *arg, struct slot *s, const json_t *event) {
    (void)arg;
    const char *type = json_string_value(json_object_get(event, "type"));
    if (leg_event(s, event)) return;
    const char *id = json_string_value(json_object_get(json_object_get(event, "channel"), "id"));
    if (strcmp(type, "StasisStart") == 0) snprintf(channel, sizeof channel, "%s", id);
    if (strcmp(type, "StasisEnd") == 0) sip_ended++;
}

static struct party {
    struct leg *leg;
    int ready, code, heard, played;
    char text[256];
} party, second;

static void on_leg_ready(void *arg, const struct err *e) {
    struct party *p = arg;
    p->ready++;
    p->code = e ? e->code : 0;
    if (e) snprintf(p->text, sizeof p->text, "%s", e->text);
}
static void on_leg_media(void *arg, const struct media_event *ev) {
    struct party *p = arg;
    p->heard += ev->type == MEDIA_HEARD;
    p->played += ev->type == MEDIA_PLAYED;
}

/* A test that fails leaves its legs behind. They end before their slot does, which they would else ask in vain. */
static struct leg *up[8];

static struct leg **up_at(const struct leg *leg) {
    size_t i = 0;
    while (i < sizeof up / sizeof *up && up[i] != leg) i++;
    CHECK(i < sizeof up / sizeof *up);
    return &up[i];
}
static void dial(struct party *p, const char *id, const char *sip_channel) {
    struct leg_opts o = {.id = id,
                         .channel = sip_channel,
                         .codec = MEDIA_ULAW,
                         .on_ready = on_leg_ready,
                         .on_media = on_leg_media,
                         .arg = p};
    struct leg **place = up_at(NULL);
    memset(p, 0, sizeof *p);
    *place = p->leg = leg_open(slot, &o);
    CHECK_INT(0, p->ready);
}
static void end_leg(struct party *p, bool keep) {
    *up_at(p->leg) = NULL;
    leg_close(p->leg, keep);
}
static void end_legs(void) {
    for (size_t i = 0; i < sizeof up / sizeof *up; i++) {
        if (up[i]) leg_close(up[i], true);
        up[i] = NULL;
    }
}

/* -- the world ------------------------------------------------------------------------------------------------------------- */

static void on_closed(void *arg) {
    *(bool *)arg = true;
}

static int start(void **state) {
    (void)state;
    struct err e;
    if (uv_loop_init(&loop) < 0 || !private_redis_start(&server)) return -1;
    if (metrics_open(&metrics, -1, 1, 0, &e) < 0 || net_open(&net, &loop, metrics, &e) < 0) return -1;
    struct media_opts m = {.address = "127.0.0.1", .port_min = 34000, .port_max = 34999, .streams_max = 64};
    if (media_open(&media, &loop, &m, &e) < 0) return -1;
    return 0;
}

static int stop(void **state) {
    (void)state;
    closed = false;
    media_close(media, on_closed, &closed);
    while (!closed) uv_run(&loop, UV_RUN_ONCE);
    closed = false;
    net_close(net, on_closed, &closed);
    while (!closed) uv_run(&loop, UV_RUN_ONCE);
    uv_run(&loop, UV_RUN_DEFAULT);
    metrics_close(metrics);
    private_redis_stop(&server);
    return uv_loop_close(&loop) ? -1 : 0;
}

static void open_telephony(const char *url, const char *user, const char *password, const char *owner) {
    struct err e;
    struct redis_opts r = {.url = server.url};
    struct telephony_node node = {"n1", url, user, password};
    if (redis_open(&redis, &loop, &r, NULL, &e) < 0) fail_msg("%s", e.text);
    UNTIL(redis_connected(redis));
    struct telephony_opts o = {.loop = &loop,
                               .net = net,
                               .redis = redis,
                               .media = media,
                               .metrics = metrics,
                               .owner = owner,
                               .nodes = &node,
                               .node_count = 1,
                               .slots_per_node = 1,
                               .lease_ms = 3000,
                               .prefix = "",
                               .on_slot_ready = on_slot_ready,
                               .on_slot_lost = on_slot_lost,
                               .on_slot_giving = on_slot_giving,
                               .on_event = on_slot_event};
    if (telephony_open(&telephony, &o, &e) < 0) fail_msg("%s", e.text);
    UNTIL(slot != NULL);
}

static void close_telephony(void) {
    end_legs();
    if (telephony) {
        closed = false;
        telephony_close(telephony, on_closed, &closed);
        UNTIL(closed);
    }
    if (redis == NULL) return;
    telephony = NULL;
    slot = NULL;
    closed = false;
    redis_close(redis, on_closed, &closed);
    UNTIL(closed);
    redis = NULL;
    json_decref(channels);
    json_decref(bridges);
    channels = bridges = NULL;
}

/* What the fake answers, by what the request is about. */
static struct {
    int media, bridge, join, party; /* statuses */
    bool start;                     /* whether StasisStart of the media channel comes */
    bool vars;                      /* whether the port is in the answer */
    int port;                       /* of the next media channel */
    const char *inside;             /* a channel that is in the bridge already */
    int joins;
} says;

static int on_request(struct fake_ari *f, struct fake_session *s, const char *method, const char *uri, json_t **body) {
    char id[128];
    (void)s;
    if (strncmp(uri, "channels/externalMedia", 22) == 0) {
        const char *from = strstr(uri, "channelId=") + 10;
        snprintf(id, sizeof id, "%.*s", (int)strcspn(from, "&"), from);
        if (says.media != 200) return says.media;
        char port[8];
        snprintf(port, sizeof port, "%d", says.port);
        *body = says.vars ? json_pack("{s:s, s:{s:s, s:s}}", "id", id, "channelvars", "UNICASTRTP_LOCAL_ADDRESS",
                                      "127.0.0.1", "UNICASTRTP_LOCAL_PORT", port)
                          : json_pack("{s:s}", "id", id);
        if (says.start) fake_event(f, "parley-1", "StasisStart", id);
        return 200;
    }
    if (strncmp(uri, "channels/pm-", 12) == 0 && strstr(uri, "/variable?")) {
        *body = json_pack("{s:s}", "value", strstr(uri, "_PORT") ? "45678" : "127.0.0.1");
        return 200;
    }
    if (strncmp(uri, "channels/pm-", 12) == 0 && strcmp(method, "GET") == 0) {
        if (says.media != 500) return 404;
        *body = json_pack("{s:s, s:{s:s}}", "id", uri + 9, "dialplan", "app_name", "Stasis");
        return 200;
    }
    if (strncmp(uri, "channels/sip-", 13) == 0 && strcmp(method, "GET") == 0) {
        *body = json_pack("{s:s}", "id", uri + 9);
        return says.party;
    }
    if (strstr(uri, "/addChannel")) {
        says.joins++;
        if (says.join != 204) *body = json_pack("{s:s}", "message", "Channel not found");
        return says.join;
    }
    /* As Asterisk does: a bridge that exists is refused by POST and shown by GET. */
    if (strncmp(uri, "bridges/pb-", 11) == 0 && strcmp(method, "DELETE") != 0) {
        if (says.inside && strcmp(method, "POST") == 0) return 409;
        if (!says.inside && strcmp(method, "GET") == 0) return 404;
        *body =
            says.inside ? json_pack("{s:[s, s]}", "channels", says.inside, "sip-1") : json_pack("{s:[]}", "channels");
        return says.bridge;
    }
    return 204;
}

static int begin(void **state) {
    (void)state;
    fake_start(&fake, net);
    fake.on_request = on_request;
    says.media = says.bridge = says.party = 200;
    says.join = 204;
    says.port = 45678;
    says.start = says.vars = true;
    says.inside = NULL;
    says.joins = 0;
    sip_ended = 0;
    channel[0] = '\0';
    open_telephony(fake.url, "parley", "secret", "host-1-1");
    return 0;
}

static int end(void **state) {
    (void)state;
    char line[128];
    close_telephony();
    fake_free(&fake, &loop);
    snprintf(line, sizeof line, "redis-cli -s %s/redis.sock FLUSHALL >/dev/null", server.dir);
    return system(line);
}

/* -- the odd paths --------------------------------------------------------------------------------------------------------- */

TEST(a_leg_is_three_requests_and_its_end_two) {
    dial(&party, "leg-1", "sip-1");
    UNTIL(party.ready == 1);
    CHECK_INT(0, party.code);
    CHECK(leg_stream(party.leg) != NULL);
    CHECK_INT(3, json_array_size(fake.log));
    CHECK(strstr(json_string_value(json_array_get(fake.log, 0)), "format=ulaw") != NULL);
    CHECK(strstr(json_string_value(json_array_get(fake.log, 2)), "channel=sip-1,pm-leg-1-") != NULL);
    end_leg(&party, false);
    UNTIL(json_array_size(fake.log) == 5);
    CHECK(fake_was_asked(&fake, "DELETE channels/pm-leg-1-"));
    CHECK(fake_was_asked(&fake, "DELETE bridges/pb-leg-1"));
}

TEST(a_kept_leg_leaves_everything_in_asterisk) {
    dial(&party, "leg-1", "sip-1");
    UNTIL(party.ready == 1);
    end_leg(&party, true);
    RUN_FOR(30);
    CHECK(!fake_was_asked(&fake, "DELETE"));
}

TEST(the_port_of_a_call_that_was_given_away_is_free_for_the_next) {
    dial(&party, "leg-1", "sip-1");
    UNTIL(party.ready == 1);
    leg_linger(party.leg);
    leg_linger(party.leg);
    dial(&second, "leg-2", "sip-2"); /* the fake gives all the same port */
    UNTIL(second.ready == 1);
    CHECK_INT(0, second.code);
    CHECK(leg_stream(party.leg) == NULL);
    leg_linger(second.leg);
    end_leg(&party, true);
    end_leg(&second, true);
}

TEST(those_that_linger_end_in_any_order) {
    struct party three[3];
    for (int i = 0; i < 3; i++) {
        char id[16], sip[16];
        snprintf(id, sizeof id, "leg-%d", i);
        snprintf(sip, sizeof sip, "sip-%d", i);
        says.port = 45000 + 2 * i;
        dial(&three[i], id, sip);
        UNTIL(three[i].ready == 1);
        leg_linger(three[i].leg);
    }
    end_leg(&three[1], true);
    says.port = 45000;
    dial(&second, "leg-9", "sip-9");
    UNTIL(second.ready == 1);
    CHECK_INT(0, second.code);
    CHECK(leg_stream(three[0].leg) == NULL);
    CHECK(leg_stream(three[2].leg) != NULL);
    end_leg(&three[2], true);
    end_leg(&three[0], true);
    end_leg(&second, true);
}

TEST(two_legs_do_not_share_a_port) {
    dial(&party, "leg-1", "sip-1");
    UNTIL(party.ready == 1);
    dial(&second, "leg-2", "sip-2");
    UNTIL(second.ready == 1);
    CHECK_INT(ERR_EXISTS, second.code);
    CHECK(leg_stream(party.leg) != NULL);
    end_leg(&party, true);
    end_leg(&second, true);
}

TEST(a_leg_whose_channel_is_gone_says_so_and_cleans_up) {
    says.join = 400;
    says.party = 404;
    dial(&party, "leg-1", "sip-1");
    UNTIL(party.ready == 1);
    CHECK_INT(ERR_NOT_FOUND, party.code);
    CHECK(leg_stream(party.leg) == NULL);
    UNTIL(fake_was_asked(&fake, "DELETE bridges/pb-leg-1"));
    CHECK(fake_was_asked(&fake, "DELETE channels/pm-leg-1-"));
    end_leg(&party, false);
}

TEST(a_join_that_is_refused_is_tried_a_few_times) {
    says.join = 422;
    dial(&party, "leg-1", "sip-1");
    UNTIL(party.ready == 1);
    CHECK_INT(ERR_PROTOCOL, party.code);
    CHECK_INT(5, says.joins);
    CHECK(strstr(party.text, "leg-1") != NULL);
    end_leg(&party, false);
}

TEST(a_media_channel_that_exists_is_used_with_its_port_from_variables) {
    says.media = 500;
    says.start = says.vars = false;
    dial(&party, "leg-1", "sip-1");
    UNTIL(party.ready == 1);
    CHECK_INT(0, party.code);
    end_leg(&party, false);
}

TEST(a_media_channel_that_cannot_be_made_is_an_error) {
    says.media = 503;
    dial(&party, "leg-1", "sip-1");
    UNTIL(party.ready == 1);
    CHECK_INT(ERR_PROTOCOL, party.code);
    end_leg(&party, false);
}

TEST(a_bridge_that_cannot_be_made_is_an_error) {
    says.bridge = 500;
    dial(&party, "leg-1", "sip-1");
    UNTIL(party.ready == 1);
    CHECK_INT(ERR_PROTOCOL, party.code);
    end_leg(&party, false);
}

TEST(a_start_that_is_never_told_is_looked_for_and_then_given_up) {
    says.start = false;
    uint64_t since = clock_mono_ms();
    dial(&party, "leg-1", "sip-1");
    UNTIL(party.ready == 1);
    CHECK_INT(ERR_TIMEOUT, party.code);
    CHECK(clock_mono_ms() - since >= 1900);
    CHECK(fake_was_asked(&fake, "GET channels/pm-leg-1-"));
    end_leg(&party, false);
}

TEST(a_take_over_adds_only_the_new_media_channel_and_then_removes_the_old_one) {
    says.inside = "pm-leg-1-1a";
    dial(&party, "leg-1", "sip-1");
    UNTIL(party.ready == 1);
    CHECK_INT(0, party.code);
    CHECK(strstr(json_string_value(json_array_get(fake.log, 3)), "channel=pm-leg-1-") != NULL);
    UNTIL(fake_was_asked(&fake, "DELETE channels/pm-leg-1-1a"));
    end_leg(&party, true);
}

TEST(a_leg_closed_while_it_is_set_up_is_silent_and_leaves_nothing) {
    dial(&party, "leg-1", "sip-1");
    end_leg(&party, false);
    UNTIL(fake_was_asked(&fake, "DELETE bridges/pb-leg-1"));
    RUN_FOR(20);
    CHECK_INT(0, party.ready);
}

TEST(a_leg_in_a_slot_that_loses_its_connection_fails_once) {
    says.start = false;
    dial(&party, "leg-1", "sip-1");
    UNTIL(json_array_size(fake.log) == 2);
    ws_close(fake.sessions->ws, 1001, "bye");
    slot = NULL;
    UNTIL(slot != NULL);
    end_leg(&party, true);
    RUN_FOR(20);
    CHECK(party.ready <= 1);
}

TEST(a_sweep_deletes_only_our_own_that_nobody_owns) {
    json_t *c = json_pack("[{s:s},{s:s},{s:s},{s:s},{s:s},{s:i}]", "id", "pm-dead-leg-1f", "id", "pm-live-1f", "id",
                          "n1-1.7", "id", "pm-", "id", "pm-open-2", "id", 7);
    json_t *b =
        json_pack("[{s:s},{s:s},{s:s},{s:s}]", "id", "pb-dead-leg", "id", "pb-live", "id", "other", "id", "pb-open");
    const char *living[] = {"live", NULL};
    says.start = false;
    dial(&party, "open", "sip-1");
    CHECK_INT(2, leg_sweep(slot, c, b, living));
    UNTIL(fake_was_asked(&fake, "DELETE bridges/pb-dead-leg"));
    CHECK(fake_was_asked(&fake, "DELETE channels/pm-dead-leg-1f"));
    end_leg(&party, true);
    json_decref(c);
    json_decref(b);
}

/* -- a real node and a real caller ------------------------------------------------------------------------------------------- */

static char node_dir[64], node_url[128], node_user[64], node_password[160], node_sip[64];
static bool node_up;

static void node_read(const char *key, char *out, size_t cap) {
    char line[256];
    snprintf(line, sizeof line, ". %s/run/node && printf %%s \"$%s\"", node_dir, key);
    FILE *f = popen(line, "r");
    size_t len = fread(out, 1, cap - 1, f);
    out[len] = '\0';
    pclose(f);
}

static int node_start(void **state) {
    (void)state;
    char line[1024];
    int port = 21000 + getpid() % 8000;
    snprintf(node_dir, sizeof node_dir, "/tmp/parley-leg-XXXXXX");
    if (system("command -v sipp >/dev/null && command -v curl >/dev/null") != 0 || mkdtemp(node_dir) == NULL) {
        print_message("no sipp or curl here: legs are not tried against a real Asterisk\n");
        return 0;
    }
    snprintf(
        line, sizeof line,
        "d=deploy/asterisk; r=${PARLEY_ASTERISK:-%s/ast}; [ -n \"$PARLEY_ASTERISK\" ] || [ -s "
        "var/cache/asterisk/packages.sha256 ] || exit 1; "
        "{ $d/get %s/ast && $d/conf n1 %s/run --ari-port %d --sip-port %d --rtp-start %d --rtp-end %d --root %s/ast && "
        "$d/start %s/run; } >%s/log 2>&1 || { cat %s/log; exit 1; }",
        node_dir, node_dir, node_dir, port, port + 1, 44000, 45999, node_dir, node_dir, node_dir, node_dir);
    node_up = system(line) == 0;
    if (!node_up) {
        print_message("no Asterisk here: legs are not tried against a real one\n");
        return 0;
    }
    node_read("ari_url", node_url, sizeof node_url);
    node_read("ari_user", node_user, sizeof node_user);
    node_read("ari_password", node_password, sizeof node_password);
    node_read("sip", node_sip, sizeof node_sip);
    snprintf(line, sizeof line,
             "put() { curl -sf -o /dev/null -X PUT -u '%s:%s' -H 'Content-Type: application/json' -d \"$2\" "
             "%s/asterisk/config/dynamic/res_pjsip/$1; }; "
             "put endpoint/tr "
             "'{\"fields\":[{\"attribute\":\"context\",\"value\":\"parley-in\"},{\"attribute\":\"transport\",\"value\":"
             "\"transport-udp\"},"
             "{\"attribute\":\"allow\",\"value\":\"ulaw\"}]}' && "
             "put identify/tr "
             "'{\"fields\":[{\"attribute\":\"endpoint\",\"value\":\"tr\"},{\"attribute\":\"match\",\"value\":\"127.0.0."
             "1\"}]}'",
             node_user, node_password, node_url);
    return system(line);
}

/* A caller that sends back what it hears until it is hung up. */
static pid_t caller;

static void caller_start(void) {
    char sip_port[16], media_port[16];
    snprintf(sip_port, sizeof sip_port, "%d", 30000 + getpid() % 2000);
    snprintf(media_port, sizeof media_port, "%d", 46000 + getpid() % 2000 / 2 * 2);
    caller = fork();
    if (caller == 0) {
        int null = open("/dev/null", O_RDWR);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, 0), dup2(null, 1), dup2(null, 2);
        if (chdir(node_dir) < 0) _exit(126);
        execlp("sipp", "sipp", "-sn", "uac", "-s", "1001", "-m", "1", "-i", "127.0.0.1", "-p", sip_port, "-mp",
               media_port, "-d", "60000", "-rtp_echo", "-nostdin", node_sip, NULL);
        _exit(127);
    }
}

/* At once: nothing is asked of its end. */
static void caller_stop(void) {
    if (caller <= 0) return;
    kill(caller, SIGKILL);
    waitpid(caller, NULL, 0);
    caller = 0;
}

static int node_stop(void **state) {
    char line[256];
    (void)state;
    caller_stop();
    close_telephony();
    snprintf(line, sizeof line, "[ ! -d %s/run ] || deploy/asterisk/stop %s/run >/dev/null; rm -rf %s", node_dir,
             node_dir, node_dir);
    return system(line);
}

static int answered;
static void on_answered(void *arg, int status, const json_t *body, const struct err *e) {
    (void)arg, (void)body;
    answered = e ? e->code : status;
}
static void ask(const char *method, const char *path) {
    answered = 0;
    slot_request(slot, method, path, NULL, on_answered, NULL);
    UNTIL(answered != 0);
}

static json_t *listed;
static int listed_done;
static void on_listed(void *arg, int status, const json_t *body, const struct err *e) {
    (void)arg;
    CHECK(e == NULL && status == 200);
    json_decref(listed);
    listed = json_deep_copy(body);
    listed_done = 1;
}
static size_t count_of(const char *path) {
    listed_done = 0;
    slot_request(slot, "GET", path, NULL, on_listed, NULL);
    UNTIL(listed_done);
    size_t count = json_array_size(listed);
    json_decref(listed);
    listed = NULL;
    return count;
}

static struct media_audio *tone(void) {
    static int16_t pcm[8000];
    for (int i = 0; i < 8000; i++) pcm[i] = (int16_t)(8000 * sin(i * 2 * 3.14159265 * 440 / 8000));
    return media_audio_new(pcm, 8000);
}

TEST(a_real_caller_is_set_up_in_milliseconds_and_hears_itself) {
    struct err e;
    char path[256];
    if (!node_up) skip();
    open_telephony(node_url, node_user, node_password, "host-1-1");
    CHECK(slot_boot(slot)[0] != '\0');
    channel[0] = '\0';
    caller_start();
    UNTIL(channel[0] != '\0');

    uint64_t since = clock_mono_us();
    dial(&party, "leg-1", channel);
    UNTIL(party.ready == 1);
    print_message("leg ready after %.1f ms\n", (double)(clock_mono_us() - since) / 1000);
    if (party.code) fail_msg("%s", party.text);
    snprintf(path, sizeof path, "/channels/%s/answer", channel);
    ask("POST", path);
    CHECK_INT(204, answered);

    struct media_audio *audio = tone();
    CHECK_INT(0, media_play(leg_stream(party.leg), 1, audio, false, &e));
    UNTIL(party.heard == 1 && party.played == 1);
    struct media_stats stats;
    media_stream_stats(leg_stream(party.leg), &stats);
    CHECK(stats.received > 10);
    CHECK_INT(2, count_of("/channels"));

    /* The worker dies, another takes over: the same leg id, a new fence, a new media channel, then the old one goes. */
    end_leg(&party, true);
    close_telephony();
    char line[160];
    snprintf(line, sizeof line, "redis-cli -s %s/redis.sock HSET 'slot:{n1.1}' until 1 >/dev/null", server.dir);
    CHECK_INT(0, system(line));
    open_telephony(node_url, node_user, node_password, "host-2-1");
    CHECK_INT(2, json_array_size(channels)); /* the caller and the dead worker's media channel */
    CHECK_INT(1, json_array_size(bridges));
    dial(&second, "leg-1", channel);
    UNTIL(second.ready == 1);
    if (second.code) fail_msg("%s", second.text);
    CHECK_INT(0, media_play(leg_stream(second.leg), 2, audio, false, &e));
    UNTIL(second.heard == 1);
    UNTIL(count_of("/channels") == 2);

    /* A leg for a channel that does not exist. */
    struct party nobody;
    dial(&nobody, "leg-2", "n1-1.999999");
    UNTIL(nobody.ready == 1);
    CHECK_INT(ERR_NOT_FOUND, nobody.code);
    end_leg(&nobody, false);

    end_leg(&second, false);
    UNTIL(count_of("/bridges") == 0);
    snprintf(path, sizeof path, "/channels/%s", channel);
    sip_ended = 0;
    ask("DELETE", path);
    CHECK_INT(204, answered);
    UNTIL(sip_ended == 1);
    UNTIL(count_of("/channels") == 0);
    media_audio_unref(audio);
    caller_stop();
}

int main(void) {
#define FRESH(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        FRESH(a_leg_is_three_requests_and_its_end_two),
        FRESH(a_kept_leg_leaves_everything_in_asterisk),
        FRESH(the_port_of_a_call_that_was_given_away_is_free_for_the_next),
        FRESH(those_that_linger_end_in_any_order),
        FRESH(two_legs_do_not_share_a_port),
        FRESH(a_leg_whose_channel_is_gone_says_so_and_cleans_up),
        FRESH(a_join_that_is_refused_is_tried_a_few_times),
        FRESH(a_media_channel_that_exists_is_used_with_its_port_from_variables),
        FRESH(a_media_channel_that_cannot_be_made_is_an_error),
        FRESH(a_bridge_that_cannot_be_made_is_an_error),
        FRESH(a_start_that_is_never_told_is_looked_for_and_then_given_up),
        FRESH(a_take_over_adds_only_the_new_media_channel_and_then_removes_the_old_one),
        FRESH(a_leg_closed_while_it_is_set_up_is_silent_and_leaves_nothing),
        FRESH(a_leg_in_a_slot_that_loses_its_connection_fails_once),
        FRESH(a_sweep_deletes_only_our_own_that_nobody_owns),
        cmocka_unit_test_setup_teardown(a_real_caller_is_set_up_in_milliseconds_and_hears_itself, node_start,
                                        node_stop),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
