/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/mem.h"
#include "media/g711.h"
#include "media/hub.h"
#include "metrics/metrics.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STREAMS_MAX = 8192,      /* more than one core serves with sound; without it, signalling alone */
    SOCKET_BUFFER = 4 << 20, /* hundreds of packets come at once; the kernel counts near 1 KiB for each */
    TOS_EXPEDITED = 0xb8,
};

/* ---- the socket ---- */

static unsigned random_below(unsigned n) {
    unsigned value = 0;
    if (getrandom(&value, sizeof value, 0) != sizeof value) value = (unsigned)getpid();
    return value % n;
}

/* Tries every port of one parity, from a random one on. Returns 0 or what the last bind() said. */
static int bind_parity(int fd, struct sockaddr_in *at, int port_min, int port_max, int parity, int *port) {
    int first = (port_min & 1) == parity ? port_min : port_min + 1;
    if (first > port_max) return EADDRINUSE;
    unsigned ports = (unsigned)(port_max - first) / 2 + 1, start = random_below(ports);
    for (unsigned i = 0; i < ports; i++) {
        *port = first + 2 * (int)((start + i) % ports);
        at->sin_port = htons((uint16_t)*port);
        if (bind(fd, (struct sockaddr *)at, sizeof *at) == 0) return 0;
        if (errno != EADDRINUSE && errno != EACCES) break;
    }
    return errno;
}

static void set_buffer(int fd, int forced, int plain) {
    int size = SOCKET_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

static int open_socket(struct media *m, const struct media_opts *o, struct err *e) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    int tos = TOS_EXPEDITED, whole = IP_PMTUDISC_PROBE, size = 0;
    socklen_t len = sizeof size;
    if (o->address == NULL || inet_pton(AF_INET, o->address, &at.sin_addr) != 1)
        return err_set(e, ERR_INVALID, "media: %s is no IPv4 address", o->address ? o->address : "(none)");
    if (o->port_min < 1 || o->port_max > 65535 || o->port_min > o->port_max)
        return err_set(e, ERR_INVALID, "media: no port range: %d to %d", o->port_min, o->port_max);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_set(e, ERR_IO, "media: socket: %s", strerror(errno));
    /* Even ports first: on the odd ones others expect RTCP. */
    int why = bind_parity(fd, &at, o->port_min, o->port_max, 0, &m->port);
    if (why == EADDRINUSE || why == EACCES) why = bind_parity(fd, &at, o->port_min, o->port_max, 1, &m->port);
    if (why != 0) {
        close(fd);
        return err_set(e, ERR_IO, "media: no port of %d to %d can be bound on %s: %s", o->port_min, o->port_max,
                       o->address, strerror(why));
    }
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    /* Packets of 200 bytes never go in fragments; said so, the kernel need not find a number for each, which is a
     * twentieth of what sending costs. */
    setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &whole, sizeof whole);
    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &len);
    if (size < SOCKET_BUFFER)
        log_info("media.buffer",
                 "the receive buffer is %d bytes, not %d: raise net.core.rmem_max for hundreds of calls", size,
                 SOCKET_BUFFER);
    inet_ntop(AF_INET, &at.sin_addr, m->address, sizeof m->address);
    m->thread->socket = fd;
    return 0;
}

/* ---- to the thread ---- */

static void send_overflow(struct media *m) {
    size_t sent = 0;
    if (m->overflow.len == 0) return;
    while (sent < m->overflow.len && ring_push(&m->thread->commands, m->overflow.data + sent))
        sent += sizeof(struct command);
    buf_drop(&m->overflow, sent);
    atomic_store_explicit(&m->thread->commands_wait, m->overflow.len > 0, memory_order_relaxed);
}

void media_send(struct media *m, const struct command *command) {
    if (m->overflow.len == 0 && ring_push(&m->thread->commands, command)) return;
    buf_add(&m->overflow, command, sizeof *command);
    atomic_store_explicit(&m->thread->commands_wait, true, memory_order_relaxed);
}

/* ---- from the thread ---- */

/* What was sent after the thread had been told to quit. */
static void undo_command(const struct command *c) {
    if (c->type == COMMAND_PLAY) media_audio_unref(c->play.audio);
    if (c->type == COMMAND_CLOSE) stream_free(c->a->stream);
    if (c->type == COMMAND_RECORD_END) recorder_free(c->recording->recorder);
    if (c->type == COMMAND_LISTEN_END) listener_free(c->tap->listener);
}

/* The thread has ended, so all of it is ours, what was never closed too. */
static void on_closed(uv_handle_t *handle) {
    struct media *m = handle->data;
    void (*closed)(void *arg) = m->closed;
    void *arg = m->closed_arg;
    struct command c;
    while (ring_pop(&m->thread->commands, &c)) {
        send_overflow(m);
        undo_command(&c);
    }
    while (m->streams != NULL) stream_free(m->streams);
    map_free(&m->peers);
    while (m->recorders != NULL) recorder_free(m->recorders);
    close(m->thread->socket);
    thread_deinit(m->thread);
    free(m->thread);
    buf_free(&m->overflow);
    free(m);
    if (closed != NULL) closed(arg);
}

static void end(struct media *m) {
    thread_join(m->thread);
    uv_close((uv_handle_t *)&m->wake, on_closed);
}

static bool on_report(struct media *m, const struct report *r) {
    switch (r->type) {
    case REPORT_EVENT:
        stream_on_event(r->session->stream, r);
        break;
    case REPORT_GONE:
        stream_free(r->session->stream);
        break;
    case REPORT_RECORDED:
        recorder_read(r->recording->recorder);
        break;
    case REPORT_RECORDING_GONE:
        recorder_free(r->recording->recorder);
        break;
    case REPORT_HEARD:
        listener_read(r->tap->listener);
        break;
    case REPORT_TAP_GONE:
        listener_free(r->tap->listener);
        break;
    case REPORT_QUIT:
        end(m);
        return false;
    }
    return true;
}

static void on_wake(uv_async_t *handle) {
    struct media *m = handle->data;
    struct report r;
    while (ring_pop(&m->thread->reports, &r))
        if (!on_report(m, &r)) return;
    send_overflow(m);
}

/* ---- open and close ---- */

static void make_metrics(struct thread *t, struct metrics *metrics) {
    t->metrics = metrics;
    if (metrics == NULL) return;
    t->received = metrics_counter(metrics, "media_packets_received_total", "", "RTP packets accepted");
    t->sent = metrics_counter(metrics, "media_packets_sent_total", "", "RTP packets sent");
    t->unknown = metrics_counter(metrics, "media_packets_unknown_total", "", "packets of sources nobody registered");
    t->invalid = metrics_counter(metrics, "media_packets_invalid_total", "", "packets that are not RTP");
    t->send_failed = metrics_counter(metrics, "media_packets_unsent_total", "", "RTP packets the kernel did not take");
    t->skipped =
        metrics_counter(metrics, "media_ticks_skipped_total", "", "20 ms ticks left out because the thread was late");
}

int media_open(struct media **out, uv_loop_t *loop, const struct media_opts *o, struct err *e) {
    struct media *m = mem_alloc(sizeof *m);
    int rc;

    g711_init();
    m->streams_max = o->streams_max > 0 ? o->streams_max : STREAMS_MAX;
    m->thread = aligned_alloc(alignof(struct thread), sizeof *m->thread);
    if (m->thread == NULL) abort();
    memset(m->thread, 0, sizeof *m->thread);
    rc = open_socket(m, o, e);
    if (rc < 0) goto free_media;
    rc = uv_async_init(loop, &m->wake, on_wake);
    if (rc < 0) {
        rc = err_set(e, ERR_IO, "media: %s", uv_strerror(rc));
        goto close_socket;
    }
    m->wake.data = m;
    m->thread->wake = &m->wake;
    make_metrics(m->thread, o->metrics);
    thread_init(m->thread, m->streams_max);
    rc = thread_start(m->thread, e);
    if (rc < 0) goto close_wake;
    *out = m;
    return 0;
close_wake: /* which frees all the rest on the loop */
    uv_close((uv_handle_t *)&m->wake, on_closed);
    return rc;
close_socket:
    close(m->thread->socket);
free_media:
    free(m->thread);
    free(m);
    return rc;
}

void media_close(struct media *m, void (*closed)(void *arg), void *arg) {
    m->closed = closed;
    m->closed_arg = arg;
    m->closing = true;
    media_send(m, &(struct command){.type = COMMAND_QUIT});
}

int media_port(const struct media *m) {
    return m->port;
}
const char *media_address(const struct media *m) {
    return m->address;
}
