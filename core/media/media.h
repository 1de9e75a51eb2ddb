/* SPDX-License-Identifier: Apache-2.0 */
/* The media thread: RTP in and out for every leg of a worker, paced from one 20 ms timer.
 *
 * One UDP socket per worker, bound to the advertised address. A stream is one RTP session with one Asterisk external
 * media channel: (peer address, port), codec by static payload type, first SSRC latched. Packets of unknown sources are
 * counted and dropped; other payload types (telephone-events too) are ignored.
 * All audio inside is 16-bit PCM, mono, 8000 Hz, frames of 160 samples.
 *
 *   loop thread  --commands (SPSC ring)-->  media thread  --events, frames (SPSC rings)-->  loop thread
 *
 * Threads    Every function here is for the loop thread. Callbacks come on the loop thread.
 * Hot path   The media thread allocates, locks and logs nothing per packet; recvmmsg/sendmmsg in batches.
 * Ownership  After *_close() of a stream or recorder the pointer must not be used and no callback of it comes any more.
 */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct metrics;
struct media;
struct media_opts {
    const char *address;     /* IPv4, advertised and bound */
    int port_min, port_max;  /* a free one is taken, at random, so that a predecessor's is not reused at once */
    int streams_max;         /* 0: 8192 */
    struct metrics *metrics; /* may be NULL */
};
int media_open(struct media **out, uv_loop_t *loop, const struct media_opts *o, struct err *e);
/* No callback of a stream or recorder comes any more. Those still open go with it, and may be closed until `closed`. */
void media_close(struct media *m, void (*closed)(void *arg), void *arg);
int media_port(const struct media *m);
const char *media_address(const struct media *m);

enum media_codec { MEDIA_ULAW = 0, MEDIA_ALAW = 8 };

enum media_event_type {
    MEDIA_HEARD = 0, /* first packet accepted, of all or after MEDIA_SILENT */
    MEDIA_SILENT,    /* no packet for 2 s (once until it is heard again) */
    MEDIA_PLAYED,    /* a play ended by itself; id says which; position in ms */
    MEDIA_STOPPED,   /* a play was stopped; position in ms: how much went out */
    MEDIA_SPEECH,    /* energy VAD: the party began to speak; position: how many ms ago that was noticed */
    MEDIA_QUIET,     /* the party has been quiet; position: since how many ms (160, 200, then each further 200) */
    MEDIA_BEGUN,     /* of a play that comes in pieces the first sample went out; position: how many ms ago */
};
struct media_event {
    enum media_event_type type;
    uint64_t id;
    uint32_t position;
    uint32_t underruns, starved_ms; /* of a play that came in pieces: how often and how long it had to wait for more */
};

/* PCM that can be played by many streams at once: shared, reference counted, never changed. */
struct media_audio;
struct media_audio *media_audio_new(const int16_t *pcm, size_t samples); /* copies */
/* RIFF/WAVE: PCM 16 bit, mono or stereo (mixed down), 8..48 kHz (resampled to 8 kHz, speexdsp). */
int media_audio_from_wav(struct media_audio **out, const void *wav, size_t len, struct err *e);
struct media_audio *media_audio_ref(struct media_audio *a);
void media_audio_unref(struct media_audio *a);
size_t media_audio_samples(const struct media_audio *a);
const int16_t *media_audio_pcm(const struct media_audio *a);

struct media_stream;
struct media_stream_opts {
    const char *peer_address;
    int peer_port;
    enum media_codec codec;
    void (*on_event)(void *arg, const struct media_event *ev); /* may be NULL */
    void *arg;
};
int media_stream_open(struct media_stream **out, struct media *m, const struct media_stream_opts *o, struct err *e);
void media_stream_close(struct media_stream *s); /* unregisters at once: later packets are unknown */

/* Plays after what is queued already (at most 64 waiting: ERR_LIMIT). id is the caller's. loop: again and again until stopped. */
int media_play(struct media_stream *s, uint64_t id, struct media_audio *a, bool loop, struct err *e);
/* Stops play id, or all when id is 0, with a 10 ms fade; MEDIA_STOPPED comes for each that had begun or waited. */
void media_stop(struct media_stream *s, uint64_t id);

/* A play whose PCM comes in pieces while it is heard; it has its place in the queue from its beginning on. Where the next piece
 * is late, what was heard last fades and there is silence, and no click; what was sent is what position counts. It ends as
 * others do (MEDIA_PLAYED, MEDIA_STOPPED); after that its id is unknown: ERR_NOT_FOUND. MEDIA_BEGUN comes before that, once, and
 * not at all when nothing of it went out, or when the loop stood still for so long that events of the moment were lost. */
struct media_play_opts {
    int rate;         /* of its PCM: 8000, 16000 or 24000; 0: 8000 */
    int prebuffer_ms; /* so much must be there before it begins, and goes on after it has waited; 0 to 2000 */
};
int media_play_begin(struct media_stream *s, uint64_t id, const struct media_play_opts *o, struct err *e);
/* 16 bit little-endian mono, cut anywhere. ERR_LIMIT when two minutes wait already; nothing of it is taken then. */
int media_play_append(struct media_stream *s, uint64_t id, const void *pcm, size_t len, struct err *e);
int media_play_end(struct media_stream *s, uint64_t id, struct err *e); /* that was all of it */
struct media_play_state {
    uint32_t sent_ms;    /* went out */
    uint32_t waiting_ms; /* is there and did not */
    uint32_t starved_ms; /* of waiting for more, up to the last piece */
    uint32_t underruns;
};
int media_play_state(const struct media_stream *s, uint64_t id, struct media_play_state *out, struct err *e);

/* Makes what is played softer by so many decibels (-60 to 0) from now on, plays to come too, until it is called with 0. The way
 * there takes ramp_ms (5 to 5000). Those joined are not made softer. */
void media_duck(struct media_stream *s, int db, int ramp_ms);

/* Joined streams hear each other (mixed with what is played to them). A stream is joined with at most 8 others. */
int media_join(struct media_stream *a, struct media_stream *b, struct err *e);
void media_unjoin(struct media_stream *a, struct media_stream *b);
void media_mute(struct media_stream *s, bool muted); /* others and the recorder hear silence from it */
/* The party has pressed a key: what its packets (RFC 4733) took of the numbers, which Asterisk keeps to itself, is not lost. */
void media_key(struct media_stream *s);

/* A recorder writes two channels, a frame every 20 ms from its opening on, also through silence. */
enum media_source { MEDIA_SAYS = 0, MEDIA_HEARS }; /* what the party says / everything that is sent to it */
struct media_recorder;
struct media_recorder_opts {
    /* right may be NULL: silence. A stream closed while recording becomes silence. */
    struct media_stream *left, *right;
    enum media_source left_source, right_source;
    int chunk_ms; /* how often on_audio comes; 0: 500 */
    /* pcm: interleaved left, right, a chunk or less. lost > 0: all of it is silence in place of that many frames which
     * were dropped because nobody read for 10 s, or the thread came late. */
    void (*on_audio)(void *arg, const int16_t *pcm, size_t samples_per_channel, unsigned lost);
    void *arg;
};
int media_recorder_open(struct media_recorder **out, struct media *m, const struct media_recorder_opts *o,
                        struct err *e);
/* flush: on_audio comes once more (with losses: several times) from inside this call with what is left. */
void media_recorder_close(struct media_recorder *r, bool flush);
/* Records these from now on; either may be NULL. */
void media_recorder_set(struct media_recorder *r, struct media_stream *left, struct media_stream *right);

/* Hears what the party says, in batches, from now on: as the others hear it, so silence while it is muted, and in silence too. */
struct media_heard {
    const int16_t *pcm; /* until on_audio() returns */
    size_t samples;     /* a batch, or less before a gap */
    uint64_t position;  /* of the first sample since listening began, in samples at the listener's rate; gaps count */
    uint64_t dropped;   /* frames of 20 ms that are missing before it: the loop did not read, or the thread came late */
};
struct media_listener;
struct media_listen_opts {
    int rate;     /* 8000, 16000 or 24000 (speexdsp, 3 ms later); 0: 8000 */
    int batch_ms; /* how often on_audio comes, 20 to 1000; 0: 100 */
    int keep_ms;  /* how much may wait for a loop that is behind, up to 10000; 0: 2000. What comes then is dropped */
    void (*on_audio)(void *arg, const struct media_heard *heard);
    void (*on_closed)(void *arg); /* the stream was closed, and the listener with it; may be NULL */
    void *arg;
};
int media_listen(struct media_listener **out, struct media_stream *s, const struct media_listen_opts *o, struct err *e);
void media_listener_close(struct media_listener *l); /* not after on_closed() */

/* What became of the packets of a stream since it was opened. */
struct media_stats {
    uint64_t received; /* audio, each once */
    uint64_t sent;
    uint64_t lost;            /* numbers that never came, or not within 64 later ones */
    uint64_t late;            /* of those received: when their time to be heard had come */
    uint64_t duplicated;      /* came again; not in received */
    uint64_t reordered;       /* came after one that was sent later */
    uint64_t dropped_unknown; /* of the whole worker: a packet of an unknown source belongs to no stream */
    uint32_t concealed_ms;    /* of sound made up because nothing was there */
    uint32_t jitter_us;       /* between arrivals, smoothed: RFC 3550, 6.4.1 */
    uint32_t delay_ms;        /* which we add: a packet's length and the time in the jitter buffer */
    double mos;               /* estimated, 1 to 4.4: media/quality.h, from lost and late packets and our delay */
};
void media_stream_stats(const struct media_stream *s, struct media_stats *out);
