/* SPDX-License-Identifier: Apache-2.0 */
#include "bind/zygote_client.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "bind/vm.h"
#include "script/passing.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BURST = 16 }; /* messages in one turn of the loop, which then goes on to others */

static struct {
    struct vm_services *services;
    const struct zygote_events *events;
    uv_poll_t *poll;   /* NULL: not open. Freed in its close callback, while the next one may be open already */
    struct buf unsent; /* whole messages, the oldest first */
} client;

static void on_zygote(uv_poll_t *p, int status, int events);

static void on_closed(uv_handle_t *h) {
    free(h);
}

/* Waits for what there is to wait for. */
static void watch(void) {
    uv_poll_start(client.poll, UV_READABLE | (client.unsent.len > 0 ? UV_WRITABLE : 0), on_zygote);
}

/* False when it has to wait. One to a zygote that is gone waits too: it is settled when the socket is read and says so. */
static bool send_now(const void *message) {
    return send(client.services->zygote_fd, message, sizeof(struct zygote_message), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static void flush(void) {
    size_t sent = 0;

    while (sent < client.unsent.len && send_now(client.unsent.data + sent)) sent += sizeof(struct zygote_message);
    buf_drop(&client.unsent, sent);
    if (client.unsent.len == 0) watch();
}

static void gone(void) {
    bool again = client.services->zygote_start != NULL;

    log_error("zygote.gone", "%s", again ? "the next cell needs a new one" : "this process has no cells any more");
    if (!again && client.services->zygote_lost != NULL) client.services->zygote_lost();
    uv_close((uv_handle_t *)client.poll, on_closed);
    client.poll = NULL;
    close(client.services->zygote_fd);
    client.services->zygote_fd = -1;
    buf_free(&client.unsent);
    client.events->gone();
}

static void on_zygote(uv_poll_t *p, int status, int events) {
    struct zygote_message m;
    int fds[3];

    (void)p;
    if (status < 0) {
        gone();
        return;
    }
    if (events & UV_WRITABLE) flush();
    for (int i = 0; i < READ_BURST; i++) {
        ssize_t n = passing_receive(client.services->zygote_fd, &m, sizeof m, fds, 3);
        if (n == -EAGAIN || n == -EINTR) return;
        if (n != sizeof m) {
            for (int k = 0; k < 3; k++)
                if (fds[k] >= 0) close(fds[k]);
            gone();
            return;
        }
        client.events->said(&m, fds);
        for (int k = 0; k < 3; k++)
            if (fds[k] >= 0) close(fds[k]);
    }
}

bool zygote_client_open(struct vm_services *s, const struct zygote_events *events) {
    if (client.poll != NULL) return true;
    if (s->zygote_fd < 0 && s->zygote_start) s->zygote_fd = s->zygote_start();
    if (s->zygote_fd < 0) return false;
    client.services = s;
    client.events = events;
    client.poll = mem_alloc(sizeof *client.poll);
    uv_poll_init(s->loop, client.poll, s->zygote_fd);
    watch();
    uv_unref((uv_handle_t *)client.poll);
    return true;
}

int zygote_client_say(const struct zygote_message *m, struct err *e) {
    size_t waiting = client.unsent.len / sizeof *m;

    if (client.poll == NULL) return err_set(e, ERR_CLOSED, "the zygote is gone");
    if (waiting == 0 && send_now(m)) return 0;
    if (m->type == ZYGOTE_SPAWN && waiting >= ZYGOTE_SPAWNS_MAX)
        return err_set(e, ERR_BUSY, "%zu cells or more wait to be made", waiting);
    if (waiting >= ZYGOTE_WAITING_MAX) {
        shutdown(client.services->zygote_fd, SHUT_RDWR); /* read as its end; where it reads on, it ends our cells */
        return err_set(e, ERR_CLOSED, "the zygote does not read");
    }
    buf_add(&client.unsent, m, sizeof *m);
    if (waiting == 0) watch();
    return 0;
}
