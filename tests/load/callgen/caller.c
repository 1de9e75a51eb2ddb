/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/str.h"
#include "callgen.h"
#include <stdatomic.h>
#include <stdio.h>

enum call_state { CALL_WAITING, CALL_DIALLING, CALL_UP, CALL_OVER };
struct call {
    struct node *node;
    struct channel *channel; /* NULL when it is over */
    const struct target *to; /* of those that come in */
    enum call_state state;
    bool outbound;
    int step, key;
    uv_timer_t timer, limit;
    uint64_t began_us, answered_us, ended_us, key_us;
    const char *failure; /* NULL: ended as it should */
    bool by_platform;
    struct ear ear;
    char name[40], endpoint[40], exten[40]; /* begun on command */
    struct target own;                      /* of it, when it names one */
    double stay_s;
    int app; /* that is tried first; 0: a random one */
};

static struct {
    uv_loop_t *loop;
    struct node **nodes;
    void (*over)(void);
    struct call **calls;
    int count, cap, started, ended, up, most;
    uv_timer_t pace;
    uint64_t pace_began_us;
} all;

static void follow(uv_timer_t *timer);

struct ear *call_ear(struct call *c) {
    return &c->ear;
}

static struct call *call_new(struct node *n) {
    struct call *c = mem_alloc(sizeof *c);
    if (all.count == all.cap)
        all.calls = mem_realloc(all.calls, (size_t)(all.cap = all.cap ? all.cap * 2 : 256) * sizeof(struct call *));
    all.calls[all.count++] = c;
    c->node = n;
    c->began_us = clock_mono_us();
    uv_timer_init(all.loop, &c->timer);
    uv_timer_init(all.loop, &c->limit);
    c->timer.data = c->limit.data = c;
    return c;
}

static void call_over(struct call *c, const char *failure) {
    if (c->state == CALL_OVER) return;
    if (c->state == CALL_UP) all.up--;
    c->state = CALL_OVER;
    c->channel = NULL;
    c->failure = failure;
    c->ended_us = clock_mono_us();
    uv_timer_stop(&c->timer);
    uv_timer_stop(&c->limit);
    all.ended++;
    if (c->name[0]) {
        printf("over %s %s\n", c->name, failure ? failure : "-");
        fflush(stdout);
    }
    if (options.commands) return;
    if (all.started == options.calls && all.ended == all.count) all.over();
}

static void hang_up(struct call *c, const char *failure) {
    struct channel *channel = c->channel;
    if (channel) node_hang_up(channel, 16);
    call_over(c, failure);
}

static void on_limit(uv_timer_t *timer) {
    struct call *c = timer->data;
    hang_up(c, c->state == CALL_UP ? "not over in time" : "not answered in time");
}

void call_hung_up(struct call *c) {
    c->by_platform = true;
    call_over(c, c->state == CALL_UP ? NULL : "hung up before it was answered");
}

static void on_leaves(uv_timer_t *timer) {
    hang_up(timer->data, NULL);
}

void call_answered(struct call *c) {
    if (c->state != CALL_DIALLING) return;
    c->state = CALL_UP;
    c->answered_us = clock_mono_us();
    if (++all.up > all.most) all.most = all.up;
    uv_timer_start(&c->timer, follow, 0, 0);
    if (c->stay_s > 0) uv_timer_start(&c->limit, on_leaves, (uint64_t)(c->stay_s * 1000), 0);
}

static void say(void *arg, struct stream *s) {
    sound_say(s, *(double *)arg);
}

static void follow(uv_timer_t *timer) {
    struct call *c = timer->data;
    uint64_t wait_ms = 0;
    while (wait_ms == 0 && c->state == CALL_UP && c->step < options.steps) {
        struct step *s = &options.plan[c->step];
        switch (s->kind) {
        case STEP_WAIT:
            wait_ms = (uint64_t)(s->seconds * 1000);
            break;
        case STEP_KEYS:
            node_digit(c->channel, s->keys[c->key]);
            c->key_us = clock_mono_us();
            if (s->keys[++c->key]) {
                uv_timer_start(timer, follow, 250, 0);
                return;
            }
            c->key = 0;
            break;
        case STEP_SAY:
            node_each_stream(c->channel, say, &s->seconds);
            wait_ms = (uint64_t)(s->seconds * 1000);
            break;
        case STEP_HANG_UP:
            hang_up(c, NULL);
            return;
        }
        c->step++;
    }
    if (wait_ms) uv_timer_start(timer, follow, wait_ms, 0);
}

/* -- calls that come in -------------------------------------------------------------------------------------------------- */

static void dial(uv_timer_t *timer) {
    struct call *c = timer->data;
    const char *endpoint = c->to->endpoint ? c->to->endpoint : node_endpoint(c->node);
    char text[128];
    if (c->state != CALL_WAITING) return;
    if (endpoint == NULL) endpoint = "none";
    json_t *args = json_pack("[s, s]", endpoint, c->to->exten);
    snprintf(text, sizeof text, "%s,%s", endpoint, c->to->exten);
    if (node_offer(c->node, c->channel, c->app, text, args))
        c->state = CALL_DIALLING;
    else if (clock_mono_us() - c->began_us > 30000000)
        hang_up(c, "no application within 30 s"); /* the dialplan's Hangup(34) */
    else
        uv_timer_start(timer, dial, 200, 0);
    json_decref(args);
}

static struct call *begin(void) {
    struct node *n = all.nodes[all.started % options.nodes];
    struct call *c = call_new(n);
    char id[64];
    c->to = &options.targets[options.target_count ? all.started % options.target_count : 0];
    snprintf(id, sizeof id, "%ld.%d", (long)(clock_wall_us() / 1000000), ++all.started);
    c->channel = node_channel(n, id, c);
    c->channel->exten = c->to->exten;
    uv_timer_start(&c->limit, on_limit, (uint64_t)(options.limit_s * 1000), 0);
    return c;
}

void call_begin(const char *name, double stay_s, const char *endpoint, const char *exten, int app) {
    struct call *c = begin();
    str_copy(c->name, sizeof c->name, name);
    if (exten[0]) {
        str_copy(c->endpoint, sizeof c->endpoint, endpoint);
        str_copy(c->exten, sizeof c->exten, exten);
        c->own = (struct target){.endpoint = c->endpoint, .exten = c->exten};
        c->to = &c->own;
        c->channel->exten = c->exten;
    }
    c->stay_s = stay_s;
    c->app = app;
    dial(&c->timer);
}

static void on_pace(uv_timer_t *timer) {
    double due = options.rate * (double)(clock_mono_us() - all.pace_began_us) / 1e6;
    while (all.started < options.calls && all.started < due) {
        dial(&begin()->timer);
    }
    if (all.started == options.calls) uv_timer_stop(timer);
}

void calls_start(uv_loop_t *loop, struct node **nodes, void (*over)(void)) {
    all.loop = loop;
    all.nodes = nodes;
    all.over = over;
    all.pace_began_us = clock_mono_us();
    uv_timer_init(loop, &all.pace);
    uv_timer_start(&all.pace, on_pace, 0, 5);
    if (options.calls == 0 && !options.commands) over();
}

/* -- calls the platform dials -------------------------------------------------------------------------------------------- */

static void pick_up(uv_timer_t *timer) {
    struct call *c = timer->data;
    struct channel *channel = c->channel;
    if (c->state != CALL_DIALLING) return;
    channel->up = channel->in_stasis = true;
    node_start_dialled(channel);
    call_answered(c);
}

void call_dialled(struct node *n, struct channel *channel, const char *app, const char *args) {
    struct call *c = call_new(n);
    (void)app, (void)args;
    c->outbound = true;
    c->channel = channel;
    channel->call = c;
    c->state = CALL_DIALLING;
    all.started++, options.calls++;
    uv_timer_start(&c->limit, on_limit, (uint64_t)(options.limit_s * 1000), 0);
    uv_timer_start(&c->timer, pick_up, (uint64_t)(options.answer_s * 1000), 0);
}

/* -- what was seen --------------------------------------------------------------------------------------------------------- */

void calls_progress(FILE *out, double seconds) {
    int failed = 0;
    for (int i = 0; i < all.count; i++) failed += all.calls[i]->failure != NULL;
    fprintf(out, "%6.1f s  %d started, %d up, %d ended, %d failed\n", seconds, all.started, all.up, all.ended, failed);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static json_t *percentiles(double *values, int n) {
    if (n == 0) return json_null();
    qsort(values, (size_t)n, sizeof *values, by_size);
    return json_pack("{s:i, s:f, s:f, s:f, s:f}", "n", n, "p50", values[n / 2], "p90", values[n * 9 / 10], "p99",
                     values[n * 99 / 100], "max", values[n - 1]);
}

json_t *calls_report(void) {
    int n = all.count, answered = 0, deaf = 0, by_platform = 0, failed = 0, sets = 0, sounds = 0, keys = 0, gaps = 0,
        breaks = 0;
    double *set = mem_alloc(sizeof *set * (size_t)(n + 1)), *sound = mem_alloc(sizeof *set * (size_t)(n + 1));
    double *key = mem_alloc(sizeof *set * (size_t)(n + 1)), *gap = mem_alloc(sizeof *set * (size_t)(n + 1));
    double *broken = mem_alloc(sizeof *set * (size_t)(n + 1));
    json_t *failures = json_object();
    for (int i = 0; i < n; i++) {
        struct call *c = all.calls[i];
        answered += c->answered_us != 0;
        deaf += c->answered_us != 0 && node_has_sound(c->node) && atomic_load(&c->ear.packets) == 0;
        by_platform += c->by_platform;
        if (c->failure) {
            failed++;
            json_object_set_new(failures, c->failure,
                                json_integer(json_integer_value(json_object_get(failures, c->failure)) + 1));
        }
        if (c->answered_us && !c->outbound) set[sets++] = (double)(c->answered_us - c->began_us) / 1000;
        uint64_t first = atomic_load(&c->ear.first_sound_us), longest = atomic_load(&c->ear.longest_us);
        if (first && !c->outbound) sound[sounds++] = (double)(first - c->began_us) / 1000;
        if (longest) gap[gaps++] = (double)longest / 1000;
        uint64_t in_sound = atomic_load(&c->ear.longest_in_sound_us);
        if (in_sound) broken[breaks++] = (double)in_sound / 1000;
        if (c->by_platform && c->key_us && c->step >= options.steps)
            key[keys++] = (double)(c->ended_us - c->key_us) / 1000;
    }
    json_t *out =
        json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "heard_nothing", deaf, "calls", n,
                  "answered", answered, "ended_by_platform", by_platform, "failed", failed, "most_at_once", all.most,
                  "failures", failures, "answer_ms", percentiles(set, sets), "first_sound_ms",
                  percentiles(sound, sounds), "last_key_to_hangup_ms", percentiles(key, keys), "longest_gap_ms",
                  percentiles(gap, gaps), "longest_gap_in_sound_ms", percentiles(broken, breaks));
    free(set), free(sound), free(key), free(gap), free(broken);
    return out;
}
