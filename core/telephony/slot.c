/* SPDX-License-Identifier: Apache-2.0 */
/* One slot from taking to losing.
 *
 *   FREE -> TAKING -> LEASED -> DIALLING -> [WAITING] -> LISTING -> READY -> GIVING -> FREE
 *                       ^                                  |          |
 *                       +------ connection lost, theft ----+----------+
 *
 * The application is dialled in only in the callback that has confirmed the lease, so that a worker that slept through
 * its lease cannot take the slot back from its new owner. Whoever is replaced stops first and asks Redis then.
 */
#include "telephony/slot.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RETRY_MIN_MS = 100,
    RETRY_MAX_MS = 1000,
    /* A slot may hold hundreds of calls: what a successor reads before the giver has written them is old. It hears of a
     * giver's death at once, so the wait costs nothing then. */
    FLUSH_LIMIT_MS = 2000,  /* a giver waits no longer for the floor above */
    FLUSH_WAIT_MS = 2500,   /* a successor waits no longer for the giver's mark */
    OFFER_LIMIT_MS = 2000,  /* a successor that has not accepted by then is not coming */
    REPLACED_WAIT_MS = 500, /* it has accepted: how long its dialling in may take */
    READ_AGAIN_MS = 200,
    THEFT_FORGOTTEN_MS = 30000,
    PROOF_MS = 400,     /* an event to ourselves takes a few milliseconds */
    PROOF_LAG_MS = 200, /* after the answer, which comes down the same socket */
    EARLY_MAX = 20000,  /* events before on_slot_ready */
};

static void on_timer(uv_timer_t *timer);

static void timer_set(struct slot *s, uint64_t ms) {
    if (!s->telephony->closing) uv_timer_start(&s->timer, on_timer, ms, 0);
}

/* What a late answer of Redis is compared with. */
struct slot_call {
    struct slot *slot;
    unsigned life;
    bool in_poll;
};

static struct slot_call *call_new(struct slot *s, bool in_poll) {
    struct slot_call *call = mem_alloc(sizeof *call);
    *call = (struct slot_call){s, s->life, in_poll};
    return call;
}

/* The slot, or NULL when it has moved on since. */
static struct slot *call_end(struct slot_call *call) {
    struct slot *s = call->slot;
    bool current = call->life == s->life && !s->telephony->closing;
    free(call);
    return current ? s : NULL;
}

/* -- facts ------------------------------------------------------------------------------------------------------------- */

const char *slot_name(const struct slot *s) {
    return s->name;
}
const char *slot_node(const struct slot *s) {
    return s->node->name;
}
const char *slot_app(const struct slot *s) {
    return s->app;
}
int64_t slot_fence(const struct slot *s) {
    return s->fence;
}
const char *slot_boot(const struct slot *s) {
    return s->node->boot;
}
bool slot_is_ours(const struct slot *s) {
    return s->state > SLOT_TAKING;
}

bool slot_confirmed(const struct slot *s) {
    telephony_notice_pause(s->telephony);
    return slot_is_ours(s) && s->confirmed_ms >= s->telephony->paused_ms;
}

bool slot_ready(const struct slot *s) {
    return s->state == SLOT_READY && s->ari && slot_confirmed(s);
}

void slot_set_calls(struct slot *s, int calls) {
    if (calls > 0 || s->calls > 0) s->busy_ms = clock_mono_ms();
    s->calls = calls;
}

/* -- losing ------------------------------------------------------------------------------------------------------------ */

static void drop_socket(struct slot *s) {
    if (s->ari) ari_close(s->ari);
    s->ari = NULL;
    if (!uv_is_closing((uv_handle_t *)&s->proof)) uv_timer_stop(&s->proof);
    s->listing_wanted = false;
    json_decref(s->early);
    s->early = NULL;
}

/* The end of our ownership, whatever the reason. */
static void slot_drop(struct slot *s, enum slot_lost why) {
    static const char *const names[] = {"given", "stolen", "expired", "disconnected"};
    struct telephony *t = s->telephony;
    bool known = s->known;

    if (s->ari && (why == SLOT_STOLEN || why == SLOT_EXPIRED)) ari_drop(s->ari);
    drop_socket(s);
    uv_timer_stop(&s->timer);
    s->state = SLOT_FREE;
    s->life++;
    s->known = s->up = s->dial_due = s->successor_has_it = s->expired = false;
    s->successor[0] = s->offered[0] = '\0';
    log_info("slot.lost", "slot %s, fence %lld: %s", s->name, (long long)s->fence, names[why]);
    if (known) t->opts.on_slot_lost(t->opts.arg, s, why);
    telephony_owned_changed(t);
}

static void retry_later(struct slot *s, int tries) {
    int ms = RETRY_MIN_MS << (tries < 4 ? tries : 4);
    if (ms > RETRY_MAX_MS) ms = RETRY_MAX_MS;
    s->state = SLOT_LEASED;
    s->dial_due = false;
    /* Not all slots of a node at the same moment. */
    timer_set(s, (uint64_t)(ms - ms / 5 + (int)(clock_mono_us() % (unsigned)(ms / 5))));
}

/* The connection is no good any more, the lease is. */
static void slot_disconnect(struct slot *s, int tries) {
    struct telephony *t = s->telephony;
    bool up = s->up;

    drop_socket(s);
    s->up = false;
    s->wait_flush = false;
    retry_later(s, tries);
    if (up) t->opts.on_slot_lost(t->opts.arg, s, SLOT_DISCONNECTED);
}

void slot_redial(struct slot *s) {
    if (s->ari && slot_is_ours(s) && s->state != SLOT_GIVING && s->state != SLOT_RELEASING && s->state != SLOT_REPLACED)
        slot_disconnect(s, 0);
}

/* -- giving ------------------------------------------------------------------------------------------------------------ */

static void on_told(void *arg, const struct lease *l, const struct err *e) {
    struct slot_call *call = arg;
    if (e) log_warn("slot.unwritten", "slot %s: Redis does not know that it was given: %s", call->slot->name, e->text);
    (void)l;
    free(call);
}

static void giving_end(struct slot *s) {
    struct telephony *t = s->telephony;
    if (s->state == SLOT_RELEASING)
        lease_release(&t->book, s->name, s->fence, on_told, call_new(s, false));
    else
        lease_flush(&t->book, s->name, on_told, call_new(s, false));
    slot_drop(s, SLOT_GIVEN);
}

static void giving_begin(struct slot *s, enum slot_state state) {
    struct telephony *t = s->telephony;
    s->state = state;
    if (!s->known) {
        giving_end(s);
        return;
    }
    timer_set(s, FLUSH_LIMIT_MS);
    t->opts.on_slot_giving(t->opts.arg, s);
}

void slot_flushed(struct slot *s) {
    if (s->state == SLOT_GIVING || s->state == SLOT_RELEASING) giving_end(s);
}

void slot_release(struct slot *s) {
    if (s->state != SLOT_GIVING && s->state != SLOT_RELEASING) giving_begin(s, SLOT_RELEASING);
}

/* The lease is the successor's. While our socket still has the application we go on until it is replaced. */
static void successor_accepted(struct slot *s) {
    if (s->successor_has_it && s->state == SLOT_READY) return;
    s->successor_has_it = true;
    if (s->state == SLOT_READY)
        timer_set(s, REPLACED_WAIT_MS);
    else if (slot_is_ours(s) && s->state != SLOT_GIVING && s->state != SLOT_RELEASING)
        giving_begin(s, SLOT_GIVING);
}

static void on_offered(void *arg, const struct lease *l, const struct err *e) {
    struct slot *s = call_end(arg);
    if (s == NULL || e || l->done) return;
    if (s->successor[0] && strcmp(l->owner, s->successor) == 0) successor_accepted(s);
}

void slot_offer(struct slot *s, const char *successor) {
    struct telephony *t = s->telephony;
    str_copy(s->successor, sizeof s->successor, successor);
    s->successor_has_it = false;
    log_info("slot.offered", "slot %s with %d calls to %s", s->name, s->calls, successor);
    timer_set(s, OFFER_LIMIT_MS);
    lease_give(&t->book, s->name, s->fence, successor, on_offered, call_new(s, false));
}

static void on_taken_back(void *arg, const struct lease *l, const struct err *e) {
    struct slot *s = call_end(arg);
    if (s == NULL) return;
    if (e) { /* it may still accept: ask again */
        if (s->state == SLOT_READY) timer_set(s, OFFER_LIMIT_MS);
    } else if (l->done) {
        s->successor[0] = '\0';
        s->offers++;
    } else if (s->successor[0] && strcmp(l->owner, s->successor) == 0) {
        successor_accepted(s);
    }
}

void slot_take_back(struct slot *s) {
    lease_give(&s->telephony->book, s->name, s->fence, "", on_taken_back, call_new(s, false));
}

/* -- the connection ---------------------------------------------------------------------------------------------------- */

static void list(struct slot *s) {
    s->state = SLOT_LISTING;
    uv_timer_stop(&s->timer);
    node_list(s);
}

static void on_flush_read(void *arg, const struct lease *l, const struct err *e) {
    struct slot *s = call_end(arg);
    if (s && s->state == SLOT_WAITING && e == NULL && l->flushed) list(s);
}

void slot_on_flushed(struct slot *s) {
    if (s->state == SLOT_WAITING) list(s);
}

/* -- proof --------------------------------------------------------------------------------------------------------------
 *
 * Who dials in while Asterisk clears away the socket of an owner that has just died may be switched off with it: the socket
 * stays up, requests are answered, and no event ever comes (tests/e2e/takeover/README.md). Only an event shows that it hears.
 */

/* An event to ourselves takes a few milliseconds; on a network that is slow just now, more. */
static int proof_ms(const struct slot *s) {
    int quarter = s->telephony->opts.lease_ms / 4;
    return quarter > PROOF_MS ? quarter : PROOF_MS;
}

static void on_deaf(uv_timer_t *timer) {
    struct slot *s = timer->data;

    if (s->ari == NULL || (s->state != SLOT_WAITING && s->state != SLOT_LISTING && s->state != SLOT_READY)) return;
    if (!s->proof_due) { /* timers come before sockets: what lies there unread is read first */
        s->proof_due = true;
        uv_timer_start(timer, on_deaf, 1, 0);
        return;
    }
    s->deafs++;
    log_warn("slot.deaf", "slot %s: no event comes over its socket; dialling in again", s->name);
    ari_drop(s->ari);
    if (s->telephony->deaf) metric_add(s->telephony->deaf, 1);
    slot_disconnect(s, s->deafs - 1);
}

/* The answer does not say that events come. But where it has come, an event is not far behind; on a node that has been taken for
 * deaf before, it may be further. */
static void on_proof_asked(void *arg, int status, const json_t *body, const struct err *e) {
    struct slot *s = arg;
    uint64_t lag = (uint64_t)PROOF_LAG_MS << (s->deafs < 4 ? s->deafs : 4);
    (void)body;

    if (e || status >= 300 || s->ari == NULL || s->proof_due || !uv_is_active((uv_handle_t *)&s->proof)) return;
    uv_update_time(s->telephony->loop);
    if (uv_timer_get_due_in(&s->proof) > lag) uv_timer_start(&s->proof, on_deaf, lag, 0);
}

void slot_prove(struct slot *s) {
    char path[80];

    if (s->ari == NULL || !slot_confirmed(s)) return;
    snprintf(path, sizeof path, "/events/user/parley.proof?application=%s", s->app);
    s->proof_due = false;
    uv_timer_start(&s->proof, on_deaf, (uint64_t)proof_ms(s), 0);
    ari_request(s->ari, "POST", path, NULL, on_proof_asked, s);
}

/* Without Redis an owner goes on while its socket lives. When both are gone it is the one that is cut off: its lease runs
 * out, another takes the slot, and what our socket still held would reach Asterisk when the network is back. So while a
 * lease stays unconfirmed the socket is proved, and dropped before the lease can have run out. */
void slot_doubt(struct slot *s) {
    uint64_t now = clock_mono_ms(), lease = (uint64_t)s->telephony->opts.lease_ms;

    if (s->ari == NULL || (s->state != SLOT_WAITING && s->state != SLOT_LISTING && s->state != SLOT_READY)) return;
    if (now - s->confirmed_ms <= lease * 2 / 5 || now - s->doubted_ms < lease / 4 ||
        uv_is_active((uv_handle_t *)&s->proof))
        return;
    s->doubted_ms = now;
    slot_prove(s);
}

static void on_open(void *arg) {
    struct slot *s = arg;
    FAULT_POINT("slot.dialled_in");
    slot_prove(s);
    if (!s->wait_flush) {
        list(s);
        return;
    }
    s->state = SLOT_WAITING;
    timer_set(s, FLUSH_WAIT_MS);
    lease_read(&s->telephony->book, s->name, on_flush_read, call_new(s, false));
}

static void on_close(void *arg, const struct err *e) {
    struct slot *s = arg;
    struct ari *ari = s->ari;

    s->ari = NULL;
    ari_close(ari);
    switch (s->state) {
    case SLOT_DIALLING:
        if (s->tries == 0) log_warn("slot.unreachable", "slot %s: %s", s->name, e->text);
        slot_disconnect(s, s->tries++);
        break;
    case SLOT_WAITING:
    case SLOT_LISTING:
    case SLOT_READY:
        log_warn("slot.disconnected", "slot %s: %s", s->name, e->text);
        slot_disconnect(s, s->tries++);
        break;
    default: /* replaced or giving: what follows does not need the socket */
        break;
    }
}

static void read_lease(struct slot *s);

static void slot_replaced(struct slot *s) {
    if (s->state == SLOT_GIVING || s->state == SLOT_RELEASING || s->state == SLOT_REPLACED) return;
    s->state = SLOT_REPLACED;
    read_lease(s);
}

static void on_event(void *arg, const json_t *event) {
    struct slot *s = arg;
    struct telephony *t = s->telephony;
    const char *type = json_string_value(json_object_get(event, "type"));

    uv_timer_stop(&s->proof); /* it hears */
    s->deafs = 0;
    if (strcmp(type, "ApplicationReplaced") == 0) {
        slot_replaced(s);
    } else if (strcmp(type, "ChannelUserevent") == 0) { /* our own */
    } else if (s->state == SLOT_READY) {
        t->opts.on_event(t->opts.arg, s, event);
    } else if (s->state == SLOT_WAITING || s->state == SLOT_LISTING) {
        if (s->early == NULL) s->early = json_array();
        json_array_append(s->early, (json_t *)event);
        if (json_array_size(s->early) > EARLY_MAX) {
            log_warn("slot.flooded", "slot %s: %d events before its listing", s->name, EARLY_MAX);
            slot_disconnect(s, s->tries++);
        }
    }
}

/* Only from the callback that has just confirmed the lease. */
static void slot_dial(struct slot *s) {
    struct telephony *t = s->telephony;
    char *url = mem_printf("%s?app=%s", s->node->url, s->app);

    uv_timer_stop(&s->timer);
    s->dial_due = false;
    s->state = SLOT_DIALLING;
    s->first = true;
    s->dials++;
    struct ari_opts o = {
        .url = url,
        .user = s->node->user,
        .password = s->node->password,
        .connect_timeout_ms = t->opts.lease_ms / 3, /* the lease is renewed or lost by then */
        .on_open = on_open,
        .on_event = on_event,
        .on_close = on_close,
        .arg = s,
    };
    s->ari = ari_open(&t->hub, &o);
    free(url);
}

/* -- the lease --------------------------------------------------------------------------------------------------------- */

static void slot_taken(struct slot *s, const struct lease *l, bool wait_flush) {
    struct telephony *t = s->telephony;
    s->life++;
    s->fence = l->fence;
    s->confirmed_ms = l->asked_ms;
    s->wait_flush = wait_flush;
    s->state = SLOT_LEASED;
    s->calls = s->tries = s->offers = 0;
    s->successor_has_it = false;
    s->successor[0] = s->offered[0] = '\0';
    str_copy(s->predecessor, sizeof s->predecessor, l->before);
    str_copy(s->owner, sizeof s->owner, l->owner);
    log_info("slot.taken", "slot %s, fence %lld, after %s", s->name, (long long)s->fence,
             l->before[0] ? l->before : "nobody");
    telephony_owned_changed(t);
    FAULT_POINT("slot.taken");
    /* An answer that lay about while the loop stood still confirms nothing. */
    if (slot_confirmed(s) && clock_mono_ms() - l->asked_ms < (uint64_t)t->opts.lease_ms / 3)
        slot_dial(s);
    else
        retry_later(s, 0);
}

static void on_taken(struct slot *s, const struct lease *l, const struct err *e, bool accepted) {
    if (s == NULL) return;
    s->state = SLOT_FREE;
    if (e) return; /* whether it was ours after all shows at the next look */
    str_copy(s->owner, sizeof s->owner, l->owner);
    str_copy(s->offered, sizeof s->offered, l->successor);
    s->expired = l->owner[0] == '\0' || l->left_us <= 0;
    s->seen = l->fence;
    if (l->done)
        slot_taken(s, l, accepted);
    else
        telephony_poll(s->telephony); /* another was faster: what else is there */
}

static void on_take(void *arg, const struct lease *l, const struct err *e) {
    on_taken(call_end(arg), l, e, false);
}
static void on_accept(void *arg, const struct lease *l, const struct err *e) {
    on_taken(call_end(arg), l, e, true);
}

void slot_take(struct slot *s, const char *dead) {
    s->state = SLOT_TAKING;
    lease_take(&s->telephony->book, s->name, dead, on_take, call_new(s, false));
}

void slot_accept(struct slot *s) {
    s->state = SLOT_TAKING;
    lease_accept(&s->telephony->book, s->name, on_accept, call_new(s, false));
}

static void on_renewed(void *arg, const struct lease *l, const struct err *e) {
    struct slot_call *call = arg;
    struct telephony *t = call->slot->telephony;
    bool in_poll = call->in_poll;
    struct slot *s = call_end(call);

    if (s && slot_is_ours(s) && s->state != SLOT_GIVING && s->state != SLOT_RELEASING) {
        if (e) {
            if (s->state == SLOT_LEASED && s->dial_due) retry_later(s, s->tries);
        } else if (l->done) {
            if (l->asked_ms > s->confirmed_ms) s->confirmed_ms = l->asked_ms;
            bool fresh = slot_confirmed(s) && clock_mono_ms() - l->asked_ms < (uint64_t)t->opts.lease_ms / 3;
            if (s->state == SLOT_LEASED && s->dial_due && fresh)
                slot_dial(s);
            else if (s->state == SLOT_LEASED && s->dial_due)
                retry_later(s, s->tries);
            else if (s->listing_wanted && s->ari)
                node_list(s);
        } else {
            str_copy(s->owner, sizeof s->owner, l->owner);
            if (s->successor[0] && strcmp(l->owner, s->successor) == 0)
                successor_accepted(s);
            else
                slot_drop(s, s->state == SLOT_REPLACED ? SLOT_STOLEN : SLOT_EXPIRED);
        }
    }
    if (in_poll) telephony_polled(t, e == NULL);
}

void slot_renew(struct slot *s, bool in_poll) {
    lease_renew(&s->telephony->book, s->name, s->fence, on_renewed, call_new(s, in_poll));
}

static void on_looked(void *arg, const struct lease *l, const struct err *e) {
    struct slot_call *call = arg;
    struct telephony *t = call->slot->telephony;
    struct slot *s = call_end(call);

    if (s && s->state == SLOT_FREE && e == NULL) {
        str_copy(s->owner, sizeof s->owner, l->owner);
        str_copy(s->offered, sizeof s->offered, l->successor);
        s->expired = l->owner[0] == '\0' || l->left_us <= 0;
        if (l->fence < s->seen) telephony_forgotten(t);
        s->seen = l->fence;
        if (strcmp(l->owner, t->book.owner) == 0) {
            /* Taken or not released by a command whose answer was lost: released now, or taken with a new fence. */
            if (t->draining)
                lease_release(&t->book, s->name, l->fence, on_told, call_new(s, false));
            else
                slot_take(s, t->book.owner);
        }
    }
    telephony_polled(t, e == NULL);
}

void slot_look(struct slot *s) {
    lease_read(&s->telephony->book, s->name, on_looked, call_new(s, true));
}

static void on_replaced_read(void *arg, const struct lease *l, const struct err *e) {
    struct slot *s = call_end(arg);
    if (s == NULL || s->state != SLOT_REPLACED) return;
    struct telephony *t = s->telephony;
    if (e) {
        timer_set(s, READ_AGAIN_MS);
        return;
    }
    str_copy(s->owner, sizeof s->owner, l->owner);
    if (strcmp(l->owner, t->book.owner) == 0 && l->fence == s->fence) {
        uint64_t now = clock_mono_ms();
        s->thefts = s->stolen_ms && now - s->stolen_ms < THEFT_FORGOTTEN_MS ? s->thefts + 1 : 0;
        s->stolen_ms = now;
        if (t->stolen) metric_add(t->stolen, 1);
        log_warn("slot.stolen", "slot %s: somebody without its lease dialled in", s->name);
        slot_disconnect(s, s->thefts);
    } else if (s->successor[0] && strcmp(l->owner, s->successor) == 0) {
        s->successor_has_it = true;
        giving_begin(s, SLOT_GIVING);
    } else {
        slot_drop(s, SLOT_STOLEN);
    }
}

static void read_lease(struct slot *s) {
    lease_read(&s->telephony->book, s->name, on_replaced_read, call_new(s, false));
}

static void on_timer(uv_timer_t *timer) {
    struct slot *s = timer->data;
    switch (s->state) {
    case SLOT_LEASED:
        s->dial_due = true;
        slot_renew(s, false);
        break;
    case SLOT_WAITING:
        log_warn("slot.unflushed", "slot %s: %s did not say that all is written", s->name, s->predecessor);
        list(s);
        break;
    case SLOT_READY:
        if (s->successor_has_it)
            giving_begin(s, SLOT_GIVING);
        else if (s->successor[0])
            slot_take_back(s);
        break;
    case SLOT_REPLACED:
        read_lease(s);
        break;
    case SLOT_GIVING:
    case SLOT_RELEASING:
        log_warn("slot.unflushed", "slot %s: its calls were not written within %d ms", s->name, FLUSH_LIMIT_MS);
        giving_end(s);
        break;
    default:
        break;
    }
}

/* -- the listing ------------------------------------------------------------------------------------------------------- */

void slot_listed(struct slot *s, const json_t *channels, const json_t *bridges) {
    struct telephony *t = s->telephony;
    bool first = s->first;
    unsigned dials = s->dials, life = s->life;

    if (s->state != SLOT_LISTING && s->state != SLOT_READY) return;
    if (!slot_confirmed(s)) {
        s->listing_wanted = true;
        return;
    }
    if (first) {
        log_info("slot.ready", "slot %s, fence %lld: %zu channels, %zu bridges", s->name, (long long)s->fence,
                 json_array_size(channels), json_array_size(bridges));
        s->state = SLOT_READY;
        s->known = s->up = true;
        s->first = false;
        s->tries = 0;
        s->busy_ms = clock_mono_ms();
    }
    json_t *early = s->early;
    s->early = NULL;
    t->opts.on_slot_ready(t->opts.arg, s, first, first ? s->predecessor : "", channels, bridges);
    size_t i;
    json_t *event;
    json_array_foreach(early, i, event) {
        if (s->state != SLOT_READY || s->dials != dials || s->life != life) break;
        t->opts.on_event(t->opts.arg, s, event);
    }
    json_decref(early);
    /* From now on each new connection follows on our own. */
    if (s->life == life) str_copy(s->predecessor, sizeof s->predecessor, t->book.owner);
    if (!first && s->life == life && s->dials == dials) slot_prove(s);
}

void slot_list_failed(struct slot *s, const struct err *e) {
    if (e->code == ERR_STALE) {
        s->listing_wanted = true; /* as soon as the lease is confirmed */
        return;
    }
    log_warn("slot.unlisted", "slot %s: %s", s->name, e->text);
    if (s->state == SLOT_LISTING) slot_disconnect(s, s->tries++);
}

/* -- requests ---------------------------------------------------------------------------------------------------------- */

void slot_ask(struct slot *s, const char *method, const char *path, ari_cb cb, void *arg) {
    struct ari_hub *hub = &s->telephony->hub;
    if (s->ari == NULL)
        ari_fail_later(hub, cb, arg, ERR_CLOSED, "the slot is not connected");
    else if (!slot_confirmed(s))
        ari_fail_later(hub, cb, arg, ERR_STALE, "the slot's lease is not confirmed");
    else
        ari_request(s->ari, method, path, NULL, cb, arg);
}

void slot_request(struct slot *s, const char *method, const char *path, const json_t *body, ari_cb cb, void *arg) {
    struct ari_hub *hub = &s->telephony->hub;
    if (s->state == SLOT_REPLACED || s->state == SLOT_GIVING || s->state == SLOT_RELEASING || s->state == SLOT_FREE)
        ari_fail_later(hub, cb, arg, ERR_STALE, "the slot is another worker's now");
    else if (s->state != SLOT_READY || s->ari == NULL)
        ari_fail_later(hub, cb, arg, ERR_CLOSED, "the slot is not connected");
    else if (!slot_confirmed(s))
        ari_fail_later(hub, cb, arg, ERR_STALE, "the slot's lease is not confirmed");
    else
        ari_request(s->ari, method, path, body, cb, arg);
}

/* -- beginning and end ------------------------------------------------------------------------------------------------- */

void slot_init(struct slot *s, struct node *n, int number) {
    s->telephony = n->telephony;
    s->node = n;
    s->number = number;
    snprintf(s->name, sizeof s->name, "%s.%d", n->name, number);
    snprintf(s->app, sizeof s->app, "parley-%d", number);
    uv_timer_init(n->telephony->loop, &s->timer);
    s->timer.data = s;
    uv_timer_init(n->telephony->loop, &s->proof);
    s->proof.data = s;
    n->telephony->handles += 2;
}

static void on_timer_closed(uv_handle_t *handle) {
    struct slot *s = handle->data;
    telephony_handle_gone(s->telephony);
}

void slot_shut(struct slot *s) {
    drop_socket(s);
    s->state = SLOT_FREE;
    s->life++;
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
    uv_close((uv_handle_t *)&s->proof, on_timer_closed);
}
