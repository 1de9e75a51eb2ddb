/* SPDX-License-Identifier: Apache-2.0 */
/* The media thread's part of a stream: one RTP session with one peer.
 *
 *   packet -> session_receive() -> jitter -> session_listen() -> says --+--> VAD, recorders, taps, joined sessions
 *   player + says of those joined -> session_speak() -> hears ----------+--> recorders, packet
 *
 * Threads    Filled in by the loop before it is handed over; then the media thread's until it reports REPORT_GONE.
 *            The counters may be read by the loop at any time.
 */
#pragma once
#include "media/jitter.h"
#include "media/media.h"
#include "media/player.h"
#include "media/rtp.h"
#include "media/vad.h"
#include <netinet/in.h>
#include <stdatomic.h>

enum { SESSION_JOINED_MAX = 8, SESSION_PACKET_BYTES = RTP_HEADER_BYTES + FRAME_SAMPLES };

struct media_stream;
struct recording_side;
struct report;
struct tap;
/* Tells the loop; false when there was no room. */
typedef bool session_report(void *arg, const struct report *report);

/* What each packet and each tick looks at stands together at the front, then what they write, then the queue. */
struct session {
    struct media_stream *stream; /* whose part this is; not looked into */
    struct sockaddr_in peer;
    enum media_codec codec;
    int slice; /* among the thread's, and the place in it */
    struct session *prev, *next;

    _Atomic uint64_t received, sent, lost, late, duplicated, reordered, concealed;
    _Atomic uint32_t jitter_x16; /* samples, as RFC 3550 keeps it */
    _Atomic uint32_t early_x16;  /* samples, as the jitter buffer keeps it */

    /* in */
    bool latched; /* in_ssrc is valid */
    bool heard;   /* since the last MEDIA_SILENT */
    bool silent_told;
    bool muted;
    uint32_t in_ssrc;
    uint64_t last_heard_us; /* or opened */
    struct rtp_sequence sequence;
    uint64_t gap_us, key_us; /* when numbers were missing last, and how many; until when a gap is a key's */
    int gap;
    uint32_t transit; /* of the last packet, in samples; RFC 3550 A.8 */
    bool transit_known;
    struct vad vad;

    /* out */
    uint16_t out_seq;
    uint32_t out_timestamp, out_ssrc;
    bool out_marker; /* on the next packet */
    int joined_count;
    struct session *joined[SESSION_JOINED_MAX];
    struct tap *taps;                /* borrowed: who listens, newest first */
    struct recording_side *recorded; /* borrowed: the channels of recordings that take their sound here */

    struct jitter jitter;
    int16_t says[FRAME_SAMPLES]; /* this tick */
    int16_t hears[FRAME_SAMPLES];
    struct player player;
};

void session_init(struct session *s, const struct sockaddr_in *peer, enum media_codec codec);
/* Asks for what session_receive() and session_listen() look at first. */
static inline void session_prefetch(const struct session *s) {
    const char *at = (const char *)s;
    for (int line = 0; line < 4; line++) __builtin_prefetch(at + 64 * line);
}
/* false: no new audio for us (another source, another payload type, a repeated packet). */
bool session_receive(struct session *s, const struct rtp *packet, uint64_t now_us, session_report *report, void *arg);
/* A key was pressed: the gap that its packets left, or will leave at once, is no loss. */
void session_key(struct session *s, uint64_t now_us);
/* Makes `says` of this tick and tells what the VAD noticed. */
void session_listen(struct session *s, uint64_t now_us, session_report *report, void *arg);
/* Makes `hears` of this tick, and the packet that carries it, of what those that it is joined with said last: in its own slice
 * they have listened before it, in the others up to a tick ago. */
void session_speak(struct session *s, uint8_t packet[SESSION_PACKET_BYTES], session_report *report, void *arg);
/* Ends play id, or all when 0. */
void session_stop(struct session *s, uint64_t id, session_report *report, void *arg);
void session_skip(struct session *s, unsigned frames); /* the thread came too late for that many ticks */
void session_join(struct session *a, struct session *b);
void session_unjoin(struct session *a, struct session *b);
