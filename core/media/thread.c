/* SPDX-License-Identifier: Apache-2.0 */
#include "media/thread.h"
#include "base/clock.h"
#include "base/log.h"
#include "media/command.h"
#include "media/recording.h"
#include "media/tap.h"
#include "metrics/metrics.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_US = FRAME_MS * 1000,
    TICKS_BEHIND_MAX = 5,
    NAP_US = 1000,
    BATCHES_MAX = 32, /* in a row, so that a flood cannot keep the slices away */
    COMMANDS_CAP = 4096,
    REPORTS_CAP = 8192,
    REPORTS_SPARE = 256, /* kept for what must not be lost: more than one command or one stream's tick can need */
    PRIORITY = 10,
    NICENESS = -10,
};

void thread_init(struct thread *t, int sessions_max) {
    ring_init(&t->commands, sizeof(struct command), COMMANDS_CAP);
    ring_init(&t->reports, sizeof(struct report), REPORTS_CAP);
    atomic_init(&t->commands_wait, false);
    peers_init(&t->peers, (size_t)sessions_max);
    for (int i = 0; i < THREAD_BATCH; i++) {
        t->in_iov[i] = (struct iovec){t->in_bytes[i], THREAD_PACKET_MAX};
        t->in[i].msg_hdr = (struct msghdr){.msg_name = &t->in_from[i], .msg_iov = &t->in_iov[i], .msg_iovlen = 1};
        t->out_iov[i] = (struct iovec){t->out_bytes[i], SESSION_PACKET_BYTES};
        t->out[i].msg_hdr = (struct msghdr){.msg_iov = &t->out_iov[i], .msg_iovlen = 1};
    }
}

void thread_deinit(struct thread *t) {
    ring_deinit(&t->commands);
    ring_deinit(&t->reports);
    peers_deinit(&t->peers);
}

static void count(struct metric *metric, unsigned n) {
    if (metric != NULL && n > 0) metric_add(metric, n);
}

/* ---- to the loop ---- */

/* An event of the moment may be lost when the loop has stood still for long; an end of something may not. */
static bool report(void *arg, const struct report *r) {
    struct thread *t = arg;
    bool may_be_lost = r->type == REPORT_EVENT && r->audio == NULL && r->feed == NULL;
    if (may_be_lost && ring_free_count(&t->reports) <= REPORTS_SPARE) return false;
    t->loop_wanted = true;
    return ring_push(&t->reports, r);
}

/* Once until the loop has looked, so that thousands of them leave room for events; where they do not, the next whole one is told. */
static void tell_of_whole(struct thread *t, atomic_bool *told, const struct report *r) {
    if (atomic_exchange(told, true)) return;
    if (ring_free_count(&t->reports) <= REPORTS_CAP / 2 || !report(t, r)) atomic_store(told, false);
}

static void wake_loop(struct thread *t) {
    if (!t->loop_wanted && !atomic_load_explicit(&t->commands_wait, memory_order_relaxed)) return;
    t->loop_wanted = false;
    uv_async_send(t->wake);
}

/* ---- from the loop ---- */

static void open_session(struct thread *t, struct session *s) {
    t->session_count++;
    slice_add_session(t->slices, s);
    peers_put(&t->peers, &s->peer, s);
}

static void close_session(struct thread *t, struct session *s) {
    peers_remove(&t->peers, &s->peer);
    while (s->joined_count > 0) session_unjoin(s, s->joined[0]);
    recording_leave(s);
    slice_remove_session(t->slices, s);
    t->session_count--;
    report(t, &(struct report){.type = REPORT_GONE, .session = s});
}

static void begin_recording(struct thread *t, const struct command *c) {
    recording_set(c->recording, c->a, c->b);
    slice_add_recording(t->slices, c->recording);
}

static void end_recording(struct thread *t, struct recording *r) {
    recording_set(r, NULL, NULL);
    slice_remove_recording(t->slices, r);
    report(t, &(struct report){.type = REPORT_RECORDING_GONE, .recording = r});
}

static void begin_tap(struct tap *tap) {
    tap->next = tap->session->taps;
    if (tap->next != NULL) tap->next->prev = tap;
    tap->session->taps = tap;
}

static void end_tap(struct thread *t, struct tap *tap) {
    if (tap->prev != NULL) tap->prev->next = tap->next;
    if (tap->next != NULL) tap->next->prev = tap->prev;
    if (tap->session->taps == tap) tap->session->taps = tap->next;
    report(t, &(struct report){.type = REPORT_TAP_GONE, .tap = tap});
}

static bool do_command(struct thread *t, const struct command *c) {
    switch (c->type) {
    case COMMAND_OPEN:
        open_session(t, c->a);
        break;
    case COMMAND_CLOSE:
        close_session(t, c->a);
        break;
    case COMMAND_PLAY:
        player_add(&c->a->player, &c->play);
        break;
    case COMMAND_STOP:
        session_stop(c->a, c->play.id, report, t);
        break;
    case COMMAND_DUCK:
        player_duck(&c->a->player, c->cut_to, c->samples);
        break;
    case COMMAND_JOIN:
        session_join(c->a, c->b);
        break;
    case COMMAND_UNJOIN:
        session_unjoin(c->a, c->b);
        break;
    case COMMAND_MUTE:
        c->a->muted = c->flag;
        break;
    case COMMAND_KEY:
        session_key(c->a, clock_mono_us());
        break;
    case COMMAND_RECORD:
        begin_recording(t, c);
        break;
    case COMMAND_RECORD_SET:
        recording_set(c->recording, c->a, c->b);
        break;
    case COMMAND_RECORD_END:
        end_recording(t, c->recording);
        break;
    case COMMAND_LISTEN:
        begin_tap(c->tap);
        break;
    case COMMAND_LISTEN_END:
        end_tap(t, c->tap);
        break;
    case COMMAND_QUIT:
        report(t, &(struct report){.type = REPORT_QUIT});
        return false;
    }
    return true;
}

/* One at a time while there is room for all that one may report. false: the thread is to end. */
static bool take_commands(struct thread *t) {
    struct command c;
    while (ring_free_count(&t->reports) >= REPORTS_SPARE && ring_pop(&t->commands, &c))
        if (!do_command(t, &c)) return false;
    return true;
}

/* ---- packets ---- */

/* Thousands of sessions are in no cache: while the next ones are looked for, these are on their way. */
static void find_sessions(const struct thread *t, int n, struct session *from[THREAD_BATCH]) {
    for (int i = 0; i < n; i++) {
        from[i] = peers_get(&t->peers, &t->in_from[i]);
        if (from[i] != NULL) session_prefetch(from[i]);
    }
}

/* All that waits, but for a slice that comes due meanwhile: that one waits until as much was taken as comes in a slice's time, else who
 * has too much to do would speak on time and hear nobody. Says whether more waits. */
static bool receive(struct thread *t) {
    struct session *from[THREAD_BATCH];
    unsigned received = 0, unknown = 0, invalid = 0;
    bool in_time = clock_mono_us() < t->next_slice_us;
    int n = THREAD_BATCH, least = t->session_count / SLICES / THREAD_BATCH + 1;
    for (int batch = 0; batch < BATCHES_MAX && n == THREAD_BATCH; batch++) {
        for (int i = 0; i < THREAD_BATCH; i++) t->in[i].msg_hdr.msg_namelen = sizeof t->in_from[i];
        n = recvmmsg(t->socket, t->in, THREAD_BATCH, MSG_DONTWAIT, NULL);
        uint64_t now_us = clock_mono_us();
        find_sessions(t, n, from);
        for (int i = 0; i < n; i++) {
            struct rtp packet;
            if (from[i] == NULL)
                unknown++;
            else if (t->in[i].msg_hdr.msg_flags & MSG_TRUNC || !rtp_parse(&packet, t->in_bytes[i], t->in[i].msg_len))
                invalid++;
            else if (session_receive(from[i], &packet, now_us, report, t))
                received++;
        }
        if (in_time && now_us >= t->next_slice_us && batch >= least) break;
    }
    count(t->received, received);
    count(t->unknown, unknown);
    count(t->invalid, invalid);
    atomic_fetch_add_explicit(&t->unknown_total, unknown, memory_order_relaxed);
    return n == THREAD_BATCH;
}

/* What the kernel refuses (a full buffer, no route) is lost, as on any line; the rest of the batch still goes. */
static void send_packets(struct thread *t) {
    unsigned at = 0, failed = 0;
    while (at < t->out_count) {
        int n = sendmmsg(t->socket, t->out + at, t->out_count - at, MSG_DONTWAIT);
        if (n <= 0) {
            if (n < 0 && errno == EINTR) continue;
            failed++;
            n = 1;
        }
        at += (unsigned)n;
    }
    count(t->sent, t->out_count - failed);
    count(t->send_failed, failed);
    t->out_count = 0;
}

/* ---- slices ---- */

static void speak(struct thread *t, struct session *s) {
    t->out[t->out_count].msg_hdr.msg_name = &s->peer;
    t->out[t->out_count].msg_hdr.msg_namelen = sizeof s->peer;
    session_speak(s, t->out_bytes[t->out_count], report, t);
    if (++t->out_count == THREAD_BATCH) send_packets(t);
}

static void listen_to(struct thread *t, struct session *s, uint64_t now_us) {
    session_listen(s, now_us, report, t);
    for (struct tap *tap = s->taps; tap != NULL; tap = tap->next)
        if (tap_tick(tap)) tell_of_whole(t, &tap->told, &(struct report){.type = REPORT_HEARD, .tap = tap});
}

static void tick(struct thread *t, const struct slice *slice, uint64_t now_us) {
    /* Who is joined with nobody speaks at once, while all that is his is at hand; the others when all have listened. */
    for (struct session *s = slice->sessions; s != NULL; s = s->next) {
        if (s->next != NULL) session_prefetch(s->next);
        listen_to(t, s, now_us);
        if (s->joined_count == 0) speak(t, s);
    }
    for (struct session *s = slice->sessions; s != NULL; s = s->next)
        if (s->joined_count > 0) speak(t, s);
    send_packets(t);
    for (struct recording *r = slice->recordings; r != NULL; r = r->next)
        if (recording_tick(r)) tell_of_whole(t, &r->told, &(struct report){.type = REPORT_RECORDED, .recording = r});
}

/* All alike, so that they stay in step with each other. */
static void skip(struct thread *t, unsigned ticks) {
    for (int i = 0; i < SLICES; i++) {
        for (struct session *s = t->slices[i].sessions; s != NULL; s = s->next) {
            session_skip(s, ticks);
            for (struct tap *tap = s->taps; tap != NULL; tap = tap->next) tap_skip(tap, ticks);
        }
        for (struct recording *r = t->slices[i].recordings; r != NULL; r = r->next) recording_skip(r, ticks);
    }
    count(t->skipped, ticks);
}

/* Over slices that nobody is in, but for the first: the thread's heart beats there. */
static void go_to_next_slice(struct thread *t) {
    do {
        t->slice = (t->slice + 1) % SLICES;
        t->next_slice_us += SLICE_US;
    } while (t->slice != 0 && slice_is_empty(&t->slices[t->slice]));
}

/* next_slice_us only ever grows by whole slices, so lateness does not add up. Says whether one was due. */
static bool run_slices(struct thread *t) {
    uint64_t now_us = clock_mono_us();
    if (now_us < t->next_slice_us) return false;
    uint64_t late = (now_us - t->next_slice_us) / TICK_US;
    if (late >= TICKS_BEHIND_MAX) {
        late -= TICKS_BEHIND_MAX - 1;
        skip(t, (unsigned)late);
        t->next_slice_us += late * TICK_US;
    }
    while (t->next_slice_us <= now_us) {
        if (t->slice == 0 && t->metrics != NULL) metrics_beat(t->metrics, BEAT_MEDIA);
        tick(t, &t->slices[t->slice], now_us);
        go_to_next_slice(t);
    }
    return true;
}

/* ---- the thread ---- */

static bool wait_for_packets(const struct thread *t) {
    uint64_t now_us = clock_mono_us();
    uint64_t left_us = now_us < t->next_slice_us ? t->next_slice_us - now_us : 0;
    struct timespec left = {.tv_nsec = (long)left_us * 1000}; /* less than a second: a tick is 20 ms */
    struct pollfd readable = {.fd = t->socket, .events = POLLIN};
    return ppoll(&readable, 1, &left, NULL) > 0;
}

static void nap(const struct thread *t) {
    uint64_t until_us = clock_mono_us() + NAP_US;
    if (until_us > t->next_slice_us) until_us = t->next_slice_us;
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000), .tv_nsec = (long)(until_us % 1000000) * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static void go_first(void) {
    struct sched_param above = {.sched_priority = PRIORITY};
    int why = pthread_setschedparam(pthread_self(), SCHED_RR, &above);
    if (why == 0 || setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS) == 0) return;
    log_info("media.priority", "neither SCHED_RR nor nice %d is permitted (%s): audio may stutter on a busy machine",
             NICENESS, strerror(why));
}

static void *run(void *arg) {
    struct thread *t = arg;
    bool at_once = false;
    go_first();
    t->next_slice_us = clock_mono_us() + TICK_US;
    for (;;) {
        bool packets = wait_for_packets(t);
        if (!take_commands(t)) break;
        bool more = packets && receive(t);
        bool ticked = run_slices(t);
        wake_loop(t);
        /* What came during a slice is taken at once, but once only: a flood would leave no time to the loop. */
        at_once = more && ticked && !at_once;
        if (packets && !at_once) nap(t);
    }
    uv_async_send(t->wake);
    return NULL;
}

int thread_start(struct thread *t, struct err *e) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the loop; the new thread inherits this */
    int why = pthread_create(&t->id, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (why != 0) return err_set(e, ERR_IO, "cannot start the media thread: %s", strerror(why));
    pthread_setname_np(t->id, "media");
    return 0;
}

void thread_join(struct thread *t) {
    pthread_join(t->id, NULL);
}
