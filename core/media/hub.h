/* SPDX-License-Identifier: Apache-2.0 */
/* struct media, the loop's side: it holds the thread, speaks to it, and knows every stream and recorder that lives.
 *
 * Threads    The loop only; `thread` is shared as media/thread.h says.
 */
#pragma once
#include "base/buf.h"
#include "base/map.h"
#include "media/command.h"
#include "media/media.h"
#include "media/recording.h"
#include "media/session.h"
#include "media/tap.h"
#include "media/thread.h"

struct media {
    uv_async_t wake;
    struct thread *thread; /* ours */
    struct buf overflow;   /* struct command each: what did not fit in the ring yet */
    char address[INET_ADDRSTRLEN];
    int port;
    int streams_max, stream_count; /* those too that the thread has not let go of */
    int recorder_count, listener_count;
    struct media_stream *streams;     /* open, newest first */
    struct map peers;                 /* of those, by peer */
    struct media_recorder *recorders; /* open, newest first */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct media_stream {
    char peer[24]; /* address:port */
    struct session session;
    struct media *media; /* borrowed */
    struct media_stream *prev, *next;
    void (*on_event)(void *arg, const struct media_event *ev);
    void *arg;
    int plays;                        /* handed to the thread and not reported yet */
    struct feed *feeds;               /* ours: of those plays */
    struct media_listener *listeners; /* ours: open, newest first */
    struct media_stream *joined[SESSION_JOINED_MAX];
    int joined_count;
    bool closed; /* no callback any more; freed at REPORT_GONE */
};

struct media_recorder {
    struct recording recording;
    struct media *media; /* borrowed */
    struct media_recorder *prev, *next;
    void (*on_audio)(void *arg, const int16_t *pcm, size_t samples_per_channel, unsigned lost);
    void *arg;
    size_t reading; /* frames given to on_audio() and still in the ring */
    bool flushing;  /* media_recorder_close() has been called */
    bool closed;    /* no callback any more; freed at REPORT_RECORDING_GONE */
};

struct media_listener {
    struct tap tap;
    struct media *media;         /* borrowed */
    struct media_stream *stream; /* borrowed; ends its listeners before itself */
    struct media_listener *prev, *next;
    void (*on_audio)(void *arg, const struct media_heard *heard);
    void (*on_closed)(void *arg);
    void *arg;
    int16_t *batch;       /* ours */
    uint64_t next_number; /* of the frame that follows what was told */
    bool closed;          /* no callback any more; freed at REPORT_TAP_GONE */
};

/* Never fails and never waits: what does not fit now goes when the thread has made room. */
void media_send(struct media *m, const struct command *command);
void stream_on_event(struct media_stream *s, const struct report *report);
void stream_free(struct media_stream *s);     /* the thread is done with it */
void recorder_read(struct media_recorder *r); /* gives away all whole chunks */
void recorder_free(struct media_recorder *r);
void listener_read(struct media_listener *l); /* gives away all whole batches */
void listener_free(struct media_listener *l);
void listeners_end(struct media_stream *s); /* all of the stream's */
