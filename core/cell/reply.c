/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/reply.h"
#include "cell/cell.h"
#include "script/message.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    int fd;
    struct buf out;
} reply;

void reply_open(int fd) {
    reply.fd = fd;
}

struct buf *reply_out(void) {
    return &reply.out;
}

void reply_send(void) {
    while (send(reply.fd, reply.out.data, reply.out.len, MSG_NOSIGNAL) < 0)
        if (errno != EINTR) _exit(CELL_EXIT_CLOSED); /* nobody is there to hear it */
}

void reply_text(const char *text) {
    message_str(&reply.out, text, strlen(text));
}

void reply_place(const struct place *where) {
    reply_text(where->file);
    message_int(&reply.out, where->line);
}

void reply_loaded(const char *version, bool ok, const char *text) {
    message_begin(&reply.out, MESSAGE_LOADED);
    reply_text(version);
    message_bool(&reply.out, ok);
    reply_text(text);
    reply_send();
}

void reply_failed(const char *call, int64_t visit, const char *kind, const char *text, const struct place *where,
                  lua_State *L) {
    static char frames[PLACE_FRAMES][PLACE_FRAME_MAX];
    int n = L ? place_trace(L, frames) : 0;

    message_begin(&reply.out, MESSAGE_FAILED);
    reply_text(call);
    message_int(&reply.out, visit);
    reply_text(kind);
    reply_text(text);
    reply_place(where);
    message_open(&reply.out);
    for (int i = 0; i < n; i++) {
        message_int(&reply.out, i + 1);
        reply_text(frames[i]);
    }
    message_shut(&reply.out);
    reply_send();
}
