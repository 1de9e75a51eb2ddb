/* SPDX-License-Identifier: Apache-2.0 */
/* Where origins are: names are looked up by a getaddrinfo() of our own, in which some name servers never answer; and
 * the limits that the pool is given. */
#include "http_world.h"
#include "io/http_stream.h"
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>

enum { MANY = 40 };

/* -- names ------------------------------------------------------------------------------------------------------------ */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answers; /* the name server of dead*.test */
    int asked, inside;
} names = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

typedef int look_up(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int real(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    look_up *fn;
    *(void **)&fn = dlsym(RTLD_NEXT, "getaddrinfo");
    return fn(host, port, hints, found);
}

static int answer(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    int rc;
    if (strcmp(host, "gone.test") == 0) return EAI_NONAME;
    if (strcmp(host, "two.test") != 0) return real("127.0.0.1", port, hints, found);
    if ((rc = real("127.0.0.2", port, hints, found)) != 0) return rc;
    return real("127.0.0.1", port, hints, &(*found)->ai_next);
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    if (hints && hints->ai_flags & AI_NUMERICHOST) return real(host, port, hints, found);
    pthread_mutex_lock(&names.lock);
    names.asked++;
    names.inside++;
    while (strncmp(host, "dead", 4) == 0 && !names.answers) pthread_cond_wait(&names.changed, &names.lock);
    pthread_mutex_unlock(&names.lock);
    usleep(20000);
    int rc = answer(host, port, hints, found);
    pthread_mutex_lock(&names.lock);
    names.inside--;
    pthread_mutex_unlock(&names.lock);
    return rc;
}

static int asked(void) {
    pthread_mutex_lock(&names.lock);
    int n = names.asked;
    pthread_mutex_unlock(&names.lock);
    return n;
}

static void name_server_answers(void) {
    bool busy = true;
    pthread_mutex_lock(&names.lock);
    names.answers = true;
    pthread_cond_broadcast(&names.changed);
    pthread_mutex_unlock(&names.lock);
    for (int i = 0; i < 1000 && busy; i++) {
        usleep(5000);
        pthread_mutex_lock(&names.lock);
        busy = names.inside > 0;
        pthread_mutex_unlock(&names.lock);
    }
    usleep(50000); /* the threads have something to free */
}

/* -- the place -------------------------------------------------------------------------------------------------------- */

static struct {
    struct world w;
    struct http_pool *p;
    struct http_request *held[MANY];
    int requests;
    char cert[64], key[64];
    bool tls, closed;
} place;

static void on_request(void *arg, struct http_request *r) {
    (void)arg;
    place.requests++;
    if (strcmp(http_path(r), "/hold") == 0)
        place.held[place.requests - 1] = r;
    else
        http_reply(r, 200, NULL, "hello", 5);
}

static void place_open(bool tls, const struct http_pool_limits *limits) {
    struct http_server_opts o = {.on_request = on_request, .body_limit = 1000};
    struct err e;
    memset(&place, 0, sizeof place);
    names.asked = 0;
    names.answers = false;
    if (tls) {
        make_certificate(place.cert, place.key);
        o.cert_file = place.cert;
        o.key_file = place.key;
    }
    place.tls = tls;
    world_open(&place.w, &o);
    if (http_pool_open(&place.p, &place.w.loop, limits, NULL, &e) < 0) fail_msg("%s", e.text);
}

static void place_close(void) {
    http_pool_close(place.p, set_flag, &place.closed);
    assert_true(world_turn(&place.w, &place.closed, 3000));
    for (int i = 0; i < MANY; i++)
        if (place.held[i]) http_reply_abort(place.held[i]);
    name_server_answers();
    world_close(&place.w);
    if (place.tls) remove_certificate(place.cert, place.key);
}

struct reader {
    struct http_stream *s;
    int code;
    bool over;
    struct err why;
};

static void on_change(void *arg) {
    struct reader *r = arg;
    const char *name, *data;
    size_t len;
    int rc;
    while ((rc = http_stream_next(r->s, &name, &data, &len, &r->why)) == HTTP_NEXT_EVENT) {
    }
    r->over = rc != HTTP_NEXT_NONE;
    r->code = r->over && rc != HTTP_NEXT_END ? rc : 0;
}

static void ask(struct reader *r, const char *host, const char *path, int connect_ms) {
    struct http_stream_opts o = {.on_change = on_change, .arg = r, .connect_ms = connect_ms};
    char url[256];
    memset(r, 0, sizeof *r);
    snprintf(url, sizeof url, "%s://%s:%d%s", place.tls ? "https" : "http", host, place.w.port, path);
    o.url = url;
    o.ca_file = place.tls ? place.cert : NULL;
    r->s = http_stream_open(place.p, &o);
    assert_false(r->over);
}

static void turns(int ms) {
    bool never = false;
    world_turn(&place.w, &never, ms);
}

#define UNTIL(condition)                                            \
    do {                                                            \
        for (int i_ = 0; i_ < 1600 && !(condition); i_++) turns(5); \
        if (!(condition)) fail_msg("never: %s", #condition);        \
    } while (0)

static void is_answered(struct reader *r) {
    assert_true(world_turn(&place.w, &r->over, 3000));
    if (r->code) fail_msg("%s", r->why.text);
    http_stream_free(r->s);
}

static void copy_figures(void *arg, const struct http_pool_figures *f) {
    *(struct http_pool_figures *)arg = *f;
}

/* -- look-ups --------------------------------------------------------------------------------------------------------- */

static void each_connection_to_an_origin_looked_its_name_up_again(void **state) {
    static struct reader r[MANY];
    struct reader later;
    (void)state;
    place_open(false, NULL);
    for (int i = 0; i < MANY; i++) ask(&r[i], "one.test", "/hold", 0);
    UNTIL(place.requests == MANY);
    assert_int_equal(asked(), 1);
    ask(&later, "one.test", "/", 0); /* on a connection of its own, some moments later */
    is_answered(&later);
    assert_int_equal(asked(), 1);
    for (int i = 0; i < MANY; i++) http_stream_free(r[i].s);
    place_close();
}

static void name_servers_that_did_not_answer_held_up_the_names_of_others(void **state) {
    struct reader dead[8], r;
    char host[32];
    (void)state;
    place_open(false, NULL);
    for (int i = 0; i < 8; i++) {
        snprintf(host, sizeof host, "dead%d.test", i);
        ask(&dead[i], host, "/", 0);
    }
    turns(50);
    ask(&r, "one.test", "/", 0);
    is_answered(&r);
    ask(&r, "127.0.0.1", "/", 0); /* and a number is nobody's to look up */
    is_answered(&r);
    assert_int_equal(asked(), 9);
    for (int i = 0; i < 8; i++) http_stream_free(dead[i].s);
    place_close();
}

static void names_that_hung_by_the_dozen_held_up_all_that_came_after_them(void **state) {
    static struct reader dead[240], r;
    char host[32];
    (void)state;
    place_open(false, NULL);
    for (int i = 0; i < 240; i++) { /* each in a zone of its own */
        snprintf(host, sizeof host, "dead%d.test", i);
        ask(&dead[i], host, "/", 0);
    }
    turns(50);
    ask(&r, "one.test", "/", 0);
    is_answered(&r);
    for (int i = 0; i < 240; i++) http_stream_free(dead[i].s);
    place_close();
}

static void one_zone_that_hung_held_up_the_names_of_all_others(void **state) {
    static struct reader dead[300], r;
    char host[64];
    (void)state;
    place_open(false, NULL);
    for (int i = 0; i < 300; i++) {
        snprintf(host, sizeof host, "dead%d.%s.test%s", i, i % 2 ? "hung" : "HUNG", i % 2 ? "" : ".");
        ask(&dead[i], host, "/", 0);
    }
    turns(50);
    assert_true(asked() <= 32);
    ask(&r, "one.test", "/", 0);
    is_answered(&r);
    name_server_answers(); /* and all of that zone have their turn */
    for (int i = 0; i < 300; i++) is_answered(&dead[i]);
    assert_int_equal(asked(), 301);
    place_close();
}

static void who_waits_for_a_look_up_without_end_has_his_own_time(void **state) {
    struct reader a, b, c;
    (void)state;
    place_open(false, NULL);
    ask(&a, "dead.test", "/", 100);
    ask(&b, "dead.test", "/", 300);
    assert_true(world_turn(&place.w, &a.over, 1000));
    assert_int_equal(a.code, ERR_TIMEOUT);
    assert_string_equal(a.why.text, "no connection in 100 ms");
    assert_string_equal(http_stream_stage(a.s), "connect");
    assert_false(b.over);
    assert_true(world_turn(&place.w, &b.over, 1000));
    assert_int_equal(b.code, ERR_TIMEOUT);
    ask(&c, "dead.test", "/", 0);
    turns(1500);
    assert_int_equal(asked(), 1);
    name_server_answers();
    is_answered(&c); /* that same look-up was his */
    assert_int_equal(asked(), 1);
    http_stream_free(a.s);
    http_stream_free(b.s);
    place_close();
}

static void closing_waited_for_a_name_server_that_does_not_answer(void **state) {
    struct reader r;
    (void)state;
    place_open(false, NULL);
    ask(&r, "dead.test", "/", 0);
    turns(20);
    http_stream_free(r.s);
    uint64_t at_ms = clock_mono_ms();
    place_close(); /* in which the name server answers when all has closed */
    assert_true(clock_mono_ms() - at_ms < 3000);
}

static void an_origin_of_several_addresses_is_reached_by_the_one_that_answers(void **state) {
    struct reader r[3];
    struct http_pool_figures f = {0};
    (void)state;
    place_open(false, NULL);
    for (int i = 0; i < 3; i++) ask(&r[i], "two.test", "/hold", 0);
    UNTIL(place.requests == 3);
    assert_int_equal(asked(), 1);
    http_pool_each(place.p, copy_figures, &f);
    assert_int_equal(f.opened, 3);
    assert_int_equal(f.failed, 0);
    for (int i = 0; i < 3; i++) http_stream_free(r[i].s);
    place_close();
}

static void a_name_that_is_none_is_told_to_all_who_wait(void **state) {
    struct reader r[3];
    (void)state;
    place_open(false, NULL);
    for (int i = 0; i < 3; i++) ask(&r[i], "gone.test", "/", 0);
    for (int i = 0; i < 3; i++) {
        assert_true(world_turn(&place.w, &r[i].over, 3000));
        assert_int_equal(r[i].code, ERR_IO);
        if (!strstr(r[i].why.text, "cannot be looked up")) fail_msg("%s", r[i].why.text);
        http_stream_free(r[i].s);
    }
    assert_int_equal(asked(), 1);
    ask(&r[0], "gone.test", "/", 0); /* it may be there by now */
    assert_true(world_turn(&place.w, &r[0].over, 3000));
    assert_int_equal(asked(), 2);
    http_stream_free(r[0].s);
    place_close();
}

/* -- limits ----------------------------------------------------------------------------------------------------------- */

static void limits_of_the_pool_are_those_it_was_given(void **state) {
    const struct http_pool_limits limits = {.connections = 2, .waiting = 3, .idle_ms = 1};
    struct http_pool_figures f = {0};
    struct reader r[6], *last = &r[5];
    (void)state;
    place_open(false, &limits);
    for (int i = 0; i < 3; i++) ask(&r[i], "one.test", "/hold", 0);
    UNTIL(place.requests == 2);
    for (int i = 3; i < 6; i++) ask(&r[i], "one.test", "/hold", 0);
    assert_true(world_turn(&place.w, &last->over, 1000));
    assert_int_equal(last->code, ERR_BUSY);
    assert_string_equal(http_stream_stage(last->s), "connect");
    http_pool_each(place.p, copy_figures, &f);
    assert_int_equal(f.connections, 2);
    assert_int_equal(f.waiting, 3);
    for (int i = 0; i < 6; i++) http_stream_free(r[i].s);
    ask(&r[0], "one.test", "/", 0);
    is_answered(&r[0]);
    UNTIL((http_pool_each(place.p, copy_figures, &f), f.connections == 0)); /* at rest for longer than a moment */
    place_close();
}

static void a_connection_in_http2_carries_as_many_requests_as_it_was_told(void **state) {
    const struct http_pool_limits limits = {.streams = 2};
    struct http_pool_figures f = {0};
    struct reader r[4];
    (void)state;
    place_open(true, &limits);
    for (int i = 0; i < 4; i++) ask(&r[i], "localhost", "/hold", 0);
    UNTIL(place.requests == 4);
    http_pool_each(place.p, copy_figures, &f);
    assert_string_equal(f.speaks, "h2");
    assert_int_equal(f.connections, 2);
    for (int i = 0; i < 4; i++) http_stream_free(r[i].s);
    place_close();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_connection_to_an_origin_looked_its_name_up_again),
        cmocka_unit_test(name_servers_that_did_not_answer_held_up_the_names_of_others),
        cmocka_unit_test(names_that_hung_by_the_dozen_held_up_all_that_came_after_them),
        cmocka_unit_test(one_zone_that_hung_held_up_the_names_of_all_others),
        cmocka_unit_test(who_waits_for_a_look_up_without_end_has_his_own_time),
        cmocka_unit_test(closing_waited_for_a_name_server_that_does_not_answer),
        cmocka_unit_test(an_origin_of_several_addresses_is_reached_by_the_one_that_answers),
        cmocka_unit_test(a_name_that_is_none_is_told_to_all_who_wait),
        cmocka_unit_test(limits_of_the_pool_are_those_it_was_given),
        cmocka_unit_test(a_connection_in_http2_carries_as_many_requests_as_it_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
