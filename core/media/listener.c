/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners as the loop sees them: hands on, batch by batch, what the thread has put in the ring. */
#include "base/mem.h"
#include "media/hub.h"
#include <stdlib.h>
#include <string.h>

enum { LISTENERS_PER_STREAM = 2, BATCH_MS = 100, BATCH_MS_MAX = 1000, KEEP_MS = 2000, KEEP_MS_MAX = 10000 };

static void unlink_listener(struct media_listener *l) {
    if (l->prev != NULL) l->prev->next = l->next;
    if (l->next != NULL) l->next->prev = l->prev;
    if (l->stream->listeners == l) l->stream->listeners = l->next;
    l->prev = l->next = NULL;
}

int media_listen(struct media_listener **out, struct media_stream *s, const struct media_listen_opts *o,
                 struct err *e) {
    struct media *m = s->media;
    int rate = o->rate == 0 ? 8000 : o->rate, batch_ms = o->batch_ms == 0 ? BATCH_MS : o->batch_ms;
    int keep_ms = o->keep_ms == 0 ? KEEP_MS : o->keep_ms;
    if (rate != 8000 && rate != 16000 && rate != 24000)
        return err_set(e, ERR_INVALID, "one listens at 8000, 16000 or 24000 Hz, not %d", rate);
    if (batch_ms < FRAME_MS || batch_ms > BATCH_MS_MAX)
        return err_set(e, ERR_INVALID, "a listener's batch is %d to %d ms", FRAME_MS, BATCH_MS_MAX);
    if (keep_ms < batch_ms || keep_ms > KEEP_MS_MAX)
        return err_set(e, ERR_INVALID, "what waits for a listener is a batch to %d ms", KEEP_MS_MAX);
    if (o->on_audio == NULL) return err_set(e, ERR_INVALID, "a listener needs somebody to tell");
    if (m->closing || s->closed) return err_set(e, ERR_CLOSED, "the media stream is closed");
    if (m->listener_count >= m->streams_max * LISTENERS_PER_STREAM)
        return err_set(e, ERR_LIMIT, "all %d listeners are in use", m->streams_max * LISTENERS_PER_STREAM);

    struct media_listener *l = mem_alloc(sizeof *l);
    int rc = tap_init(&l->tap, rate, (unsigned)batch_ms / FRAME_MS, (unsigned)keep_ms / FRAME_MS, e);
    if (rc < 0) {
        free(l);
        return rc;
    }
    l->tap.listener = l;
    l->tap.session = &s->session;
    l->batch = mem_alloc((size_t)l->tap.batch_frames * l->tap.samples * sizeof *l->batch);
    l->media = m;
    l->stream = s;
    l->on_audio = o->on_audio;
    l->on_closed = o->on_closed;
    l->arg = o->arg;
    l->next = s->listeners;
    if (l->next != NULL) l->next->prev = l;
    s->listeners = l;
    m->listener_count++;
    media_send(m, &(struct command){.type = COMMAND_LISTEN, .tap = &l->tap});
    *out = l;
    return 0;
}

/* Copied before it is told, so that on_audio() may close anything. */
static void give(struct media_listener *l) {
    struct tap *t = &l->tap;
    const struct tap_frame *frame = ring_peek(&t->frames, 0);
    uint64_t first = frame->number, n = 0;
    size_t count = ring_count(&t->frames);
    do {
        memcpy(l->batch + n * t->samples, frame->pcm, t->samples * sizeof *l->batch);
        n++;
        if (n < count) frame = ring_peek(&t->frames, n);
    } while (n < t->batch_frames && n < count && frame->number == first + n);
    ring_drop(&t->frames, n);
    struct media_heard heard = {
        .pcm = l->batch,
        .samples = n * t->samples,
        .position = first * t->samples,
        .dropped = first - l->next_number,
    };
    l->next_number = first + n;
    l->on_audio(l->arg, &heard);
}

void listener_read(struct media_listener *l) {
    atomic_exchange(&l->tap.told, false); /* first: what becomes whole from now on is told anew */
    while (!l->closed && !l->media->closing && ring_count(&l->tap.frames) >= l->tap.batch_frames) give(l);
}

void media_listener_close(struct media_listener *l) {
    if (l->closed) return;
    l->closed = true;
    unlink_listener(l);
    media_send(l->media, &(struct command){.type = COMMAND_LISTEN_END, .tap = &l->tap});
}

/* From the front each time: on_closed() may close others. */
void listeners_end(struct media_stream *s) {
    for (struct media_listener *l; (l = s->listeners) != NULL;) {
        media_listener_close(l);
        if (l->on_closed != NULL && !s->media->closing) l->on_closed(l->arg);
    }
}

void listener_free(struct media_listener *l) {
    unlink_listener(l);
    l->media->listener_count--;
    tap_deinit(&l->tap);
    free(l->batch);
    free(l);
}
