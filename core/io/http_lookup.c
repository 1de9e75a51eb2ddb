/* SPDX-License-Identifier: Apache-2.0 */
/* Where an origin is: one look-up for all who connect to it, and what it found is kept for some seconds.
 *
 * Each runs on a thread of its own. A name server that does not answer holds it for as long as the system's resolver is
 * patient, half a minute; on libuv's pool, where look-ups have half of four threads, two such held up every other name.
 * So there are many, and names that end alike, which the same name servers answer for, have a few of them and no more: what
 * hangs there holds up its own. An origin has one at a time.
 * No thread is waited for: those who want its answer have limits of their own, and when the pool closes it frees what it
 * made by itself.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "io/http_stream_inside.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { KEPT_MS = 5000, AT_ONCE = 256, OF_ONE_ZONE = 16, STACK = 512 * 1024 };

struct http_lookup {
    struct http_lookup *next;   /* of those that wait for a thread, or have ended */
    struct http_pool *pool;     /* under the lock; NULL: nobody wants it any more */
    struct http_origin *origin; /* the loop's */
    bool begun;
    char *host;
    const char *zone; /* the end of it */
    char port[8];
    struct addrinfo *found;
    int rc;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of every look-up's pool and every pool's looked_up */

static const struct addrinfo by_name = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
static const struct addrinfo by_number = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};

static void lookup_free(struct http_lookup *up) {
    if (up->found) freeaddrinfo(up->found);
    free(up->host);
    free(up);
}

/* -- addresses -------------------------------------------------------------------------------------------------------- */

static struct http_addresses *addresses_new(struct addrinfo *found) {
    struct http_addresses *a = mem_alloc(sizeof *a);
    a->refs = 1;
    a->first = found;
    for (const struct addrinfo *one = found; one; one = one->ai_next) a->count++;
    return a;
}

struct http_addresses *http_addresses_ref(struct http_addresses *a) {
    a->refs++;
    return a;
}

void http_addresses_unref(struct http_addresses *a) {
    if (a == NULL || --a->refs > 0) return;
    freeaddrinfo(a->first);
    free(a);
}

/* Until one is known to answer, connections that are opened together begin with different ones. */
const struct addrinfo *http_addresses_start(struct http_addresses *a) {
    if (a->good) return a->good;
    const struct addrinfo *one = a->first;
    for (int i = a->started++ % a->count; i > 0; i--) one = one->ai_next;
    return one;
}

static void keep(struct http_origin *o, struct addrinfo *found) {
    http_addresses_unref(o->addresses);
    o->addresses = addresses_new(found);
    o->found_ms = clock_mono_ms();
}

void http_lookup_forget(struct http_origin *o) {
    http_addresses_unref(o->addresses);
    o->addresses = NULL;
}

bool http_lookup_is_kept(const struct http_origin *o) {
    return o->addresses && clock_mono_ms() - o->found_ms < KEPT_MS;
}

/* -- who waits for them ----------------------------------------------------------------------------------------------- */

static bool is_waited_for(const struct http_origin *o) {
    const struct http_link *l = o->connecting ? o->links : NULL;
    while (l && l->state != LINK_LOOKUP) l = l->next;
    return l != NULL;
}

/* A connection that cannot be begun may take the origin's addresses away. */
static void go_on(struct http_origin *o) {
    struct http_addresses *a = http_addresses_ref(o->addresses);
    for (struct http_link *l = o->links, *next; l; l = next) {
        next = l->next;
        if (l->state == LINK_LOOKUP) http_link_found(l, a);
    }
    http_addresses_unref(a);
}

static void give_up(struct http_origin *o, const char *reason) {
    char why[256];
    snprintf(why, sizeof why, "its name cannot be looked up: %s", reason);
    for (struct http_link *l = o->links, *next; l; l = next) {
        next = l->next;
        if (l->state == LINK_LOOKUP) http_link_abort(l, why);
    }
    http_origin_refused(o, why, false);
}

void http_lookup_known(struct http_pool *p) {
    if (!p->is_known) return;
    p->is_known = false;
    for (struct http_origin *o = p->first; o; o = o->next) {
        if (o->lookup || !is_waited_for(o)) continue;
        if (o->addresses)
            go_on(o);
        else
            http_lookup_want(o); /* they were forgotten meanwhile */
    }
}

/* -- threads ---------------------------------------------------------------------------------------------------------- */

static void hand_in(struct http_lookup *up) {
    pthread_mutex_lock(&lock);
    struct http_pool *p = up->pool;
    if (p) {
        up->next = p->looked_up;
        p->looked_up = up;
        uv_async_send(&p->lookup_done);
    }
    pthread_mutex_unlock(&lock);
    if (p == NULL) lookup_free(up);
}

static void *look_up(void *arg) {
    struct http_lookup *up = arg;
    up->rc = getaddrinfo(up->host, up->port, &by_name, &up->found);
    hand_in(up);
    return NULL;
}

/* Signals are for the threads that know what to do with them. */
static int thread_start(struct http_lookup *up) {
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, &attr, look_up, up);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rc;
}

/* What the name ends with, of two words: api.one.example and two.one.example are in one.example. */
static const char *zone_of(const char *host) {
    const char *at = host + strlen(host);
    if (at > host && at[-1] == '.') at--;
    for (int dots = 0; at > host; at--)
        if (at[-1] == '.' && ++dots == 2) break;
    return at;
}

static bool has_room(const struct http_pool *p, const struct http_lookup *up) {
    int running = 0;
    for (const struct http_origin *o = p->first; o && running < OF_ONE_ZONE; o = o->next)
        running += o->lookup && o->lookup->begun && strcasecmp(o->lookup->zone, up->zone) == 0;
    return running < OF_ONE_ZONE;
}

/* The first that waits and may begin, or NULL. */
static struct http_lookup *take_next(struct http_pool *p) {
    struct http_lookup **at = &p->to_look_up;
    while (*at && !has_room(p, *at)) at = &(*at)->next;
    struct http_lookup *up = *at;
    if (up == NULL) return NULL;
    *at = up->next;
    if (*at == NULL) p->last_to_look_up = at;
    return up;
}

static void begin(struct http_pool *p) {
    struct http_lookup *up;
    while (p->lookups_running < AT_ONCE && (up = take_next(p))) {
        p->lookups_running++;
        up->begun = true;
        if (thread_start(up) == 0) continue;
        up->rc = EAI_AGAIN;
        hand_in(up);
    }
    if (p->lookups_running)
        uv_ref((uv_handle_t *)&p->lookup_done);
    else
        uv_unref((uv_handle_t *)&p->lookup_done);
}

static void on_done(uv_async_t *async) {
    struct http_pool *p = async->data;
    pthread_mutex_lock(&lock);
    struct http_lookup *up = p->looked_up;
    p->looked_up = NULL;
    pthread_mutex_unlock(&lock);
    p->inside = true;
    for (struct http_lookup *next; up; up = next) {
        struct http_origin *o = up->origin;
        next = up->next;
        p->lookups_running--;
        o->lookup = NULL;
        if (up->rc == 0 && up->found) {
            keep(o, up->found);
            up->found = NULL;
            go_on(o);
        } else {
            give_up(o, gai_strerror(up->rc));
        }
        lookup_free(up);
    }
    begin(p);
    http_pool_tell(p);
}

void http_lookup_want(struct http_origin *o) {
    struct http_pool *p = o->pool;
    struct addrinfo *found = NULL;
    char port[8];

    if (o->lookup) return;
    snprintf(port, sizeof port, "%d", o->url.port);
    if (!http_lookup_is_kept(o) && getaddrinfo(o->url.host, port, &by_number, &found) == 0) keep(o, found);
    if (http_lookup_is_kept(o)) {
        p->is_known = true;
        http_pool_kick(p);
        return;
    }
    struct http_lookup *up = o->lookup = mem_alloc(sizeof *up);
    up->pool = p;
    up->origin = o;
    up->host = mem_strdup(o->url.host);
    up->zone = zone_of(up->host);
    memcpy(up->port, port, sizeof port);
    *p->last_to_look_up = up;
    p->last_to_look_up = &up->next;
    begin(p);
}

/* -- of the pool ------------------------------------------------------------------------------------------------------ */

void http_lookup_open(struct http_pool *p) {
    p->last_to_look_up = &p->to_look_up;
    uv_async_init(p->loop, &p->lookup_done, on_done);
    p->lookup_done.data = p;
    uv_unref((uv_handle_t *)&p->lookup_done);
}

static void free_all(struct http_lookup *up) {
    for (struct http_lookup *next; up; up = next) {
        next = up->next;
        lookup_free(up);
    }
}

void http_lookup_close(struct http_pool *p) {
    pthread_mutex_lock(&lock);
    for (struct http_origin *o = p->first; o; o = o->next) {
        if (o->lookup) o->lookup->pool = NULL;
        o->lookup = NULL;
    }
    struct http_lookup *ended = p->looked_up, *waiting = p->to_look_up;
    p->looked_up = p->to_look_up = NULL;
    p->last_to_look_up = &p->to_look_up;
    pthread_mutex_unlock(&lock);
    free_all(ended);
    free_all(waiting);
}
