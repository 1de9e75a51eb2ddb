/* SPDX-License-Identifier: Apache-2.0 */
/* Recorders as the loop sees them: reads what the thread has put in the ring and hands it on. */
#include "base/mem.h"
#include "media/hub.h"
#include <stdlib.h>

enum { CHUNK_MS = 500, RECORDERS_PER_STREAM = 2 };

static void unlink_recorder(struct media_recorder *r) {
    if (r->prev != NULL) r->prev->next = r->next;
    if (r->next != NULL) r->next->prev = r->prev;
    if (r->media->recorders == r) r->media->recorders = r->next;
    r->prev = r->next = NULL;
}

static struct session *session_of(struct media_stream *s) {
    return s == NULL ? NULL : &s->session;
}

int media_recorder_open(struct media_recorder **out, struct media *m, const struct media_recorder_opts *o,
                        struct err *e) {
    int chunk_ms = o->chunk_ms == 0 ? CHUNK_MS : o->chunk_ms;
    if (chunk_ms < FRAME_MS || chunk_ms > RECORDING_RING_MS / 2)
        return err_set(e, ERR_INVALID, "a recorder's chunk is %d to %d ms", FRAME_MS, RECORDING_RING_MS / 2);
    if (o->left == NULL || o->on_audio == NULL)
        return err_set(e, ERR_INVALID, "a recorder needs a stream and a listener");
    if (m->closing) return err_set(e, ERR_CLOSED, "media is closing");
    if (m->recorder_count >= m->streams_max * RECORDERS_PER_STREAM)
        return err_set(e, ERR_LIMIT, "all %d recorders are in use", m->streams_max * RECORDERS_PER_STREAM);

    struct media_recorder *r = mem_alloc(sizeof *r);
    recording_init(&r->recording, (unsigned)chunk_ms / FRAME_MS);
    r->recording.recorder = r;
    r->recording.sides[RECORDING_LEFT].source = o->left_source;
    r->recording.sides[RECORDING_RIGHT].source = o->right_source;
    r->media = m;
    r->on_audio = o->on_audio;
    r->arg = o->arg;
    r->next = m->recorders;
    if (r->next != NULL) r->next->prev = r;
    m->recorders = r;
    m->recorder_count++;
    media_send(m, &(struct command){.type = COMMAND_RECORD,
                                    .recording = &r->recording,
                                    .a = session_of(o->left),
                                    .b = session_of(o->right)});
    *out = r;
    return 0;
}

void media_recorder_set(struct media_recorder *r, struct media_stream *left, struct media_stream *right) {
    media_send(r->media, &(struct command){.type = COMMAND_RECORD_SET,
                                           .recording = &r->recording,
                                           .a = session_of(left),
                                           .b = session_of(right)});
}

/* Silence in place of what was lost, so that the recording keeps its length. */
static void give_silence(struct media_recorder *r, unsigned frames) {
    static const int16_t silence[25 * RECORDING_FRAME_SAMPLES];
    while (frames > 0 && !r->closed) {
        unsigned n = frames < 25 ? frames : 25;
        r->on_audio(r->arg, silence, (size_t)n * FRAME_SAMPLES, n);
        frames -= n;
    }
}

/* Gives away n frames, in one piece but for losses. Not given back to the thread before on_audio() has returned. */
static void give(struct media_recorder *r, size_t n) {
    while (n > 0 && !r->closed) {
        const int16_t *pcm;
        unsigned lost = 0, got = recording_read(&r->recording, r->reading, (unsigned)n, &pcm, &lost);
        if (got == 0) return;
        give_silence(r, lost);
        if (r->closed) return;
        r->reading += got;
        n -= got;
        r->on_audio(r->arg, pcm, (size_t)got * FRAME_SAMPLES, 0);
        if (r->closed) return;
        ring_drop(&r->recording.frames, r->reading);
        r->reading = 0;
    }
}

void recorder_read(struct media_recorder *r) {
    atomic_exchange(&r->recording.told, false); /* first: what becomes whole from now on is told anew */
    unsigned chunk = r->recording.chunk_frames;
    while (!r->closed && !r->media->closing && ring_count(&r->recording.frames) >= chunk) give(r, chunk);
}

/* May run inside an on_audio() of r, which goes on reading its frames: so nothing is given back to the thread here. */
static void flush_rest(struct media_recorder *r) {
    const int16_t *pcm;
    unsigned lost, got;
    size_t end = ring_count(&r->recording.frames);
    while (r->reading < end) {
        got = recording_read(&r->recording, r->reading, (unsigned)(end - r->reading), &pcm, &lost);
        give_silence(r, lost);
        r->reading += got;
        r->on_audio(r->arg, pcm, (size_t)got * FRAME_SAMPLES, 0);
    }
    give_silence(r, atomic_exchange_explicit(&r->recording.lost, 0, memory_order_relaxed));
}

void media_recorder_close(struct media_recorder *r, bool flush) {
    if (r->closed || r->flushing) return;
    r->flushing = true;
    if (flush) flush_rest(r);
    r->closed = true;
    unlink_recorder(r);
    media_send(r->media, &(struct command){.type = COMMAND_RECORD_END, .recording = &r->recording});
}

void recorder_free(struct media_recorder *r) {
    unlink_recorder(r);
    r->media->recorder_count--;
    recording_deinit(&r->recording);
    free(r);
}
