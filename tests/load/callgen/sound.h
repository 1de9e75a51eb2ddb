/* SPDX-License-Identifier: Apache-2.0 */
/* RTP of many media channels over one UDP socket: each has an address of its own in 127.64.0.0/10, named in IP_PKTINFO, so that
 * packets of thousands of streams go out and come in by sendmmsg and recvmmsg. A tenth of the streams sends every 2 ms.
 *
 * Threads    One of its own sends and hears. sound_open(), sound_close(), sound_start() and what it gives: one other.
 */
#pragma once
#include "../bad_line.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SOUND_STREAMS = 1 << 15, SOUND_JITTER_MAX_MS = 200 };

struct track;

struct sound_opts {
    const char *voice;    /* what is said, see voice.h; NULL: a tone */
    struct bad_line line; /* between the callers and the worker, that way only */
    bool first;           /* before all else on the machine, where that is permitted: its own lateness is no finding */
    /* What nobody should send. From `hostile` on forgeries and flood: who is first is taken for the right one. */
    atomic_bool hostile;
    double forged; /* so many more packets for each: from the stream's address, of another source, with any number */
    double new_source_s;  /* a new SSRC each time; 0: never */
    double other_codec_s; /* so long in its own law of G.711, so long in the other, in turn; 0: never */
    double flood;         /* packets a second */
    bool flood_known;     /* from the first stream's address, as its source, with any number; else from strangers' */
};
extern struct sound_opts sound_options; /* set before sound_open() */

/* What a caller hears, over all media channels he had; written by the sound's thread only. Times: clock_mono_us(). */
struct ear {
    _Atomic uint64_t packets, first_us, last_us, longest_us, first_sound_us;
    _Atomic uint64_t longest_in_sound_us; /* between two packets of which one at least is no silence */
    bool last_is_loud;                    /* the thread's own */
};
struct stream;
int sound_open(int port); /* 0: any. -1 and errno */
int sound_port(void);
void sound_close(void);
/* A UDP port of every loopback address, open to the end, where what comes is dropped. */
int sound_sink(void);
/* One media channel. address/port: the worker's. own: filled with our address and port of it ("127.64.0.1": the first's). */
struct stream *sound_start(const char *address, int port, bool alaw, struct ear *ear, char own[16], int *own_port);
/* The same, for who wants to know of each frame: what it hears goes to the track, with the kernel's time (clock_wall_us()). */
struct stream *sound_start_tracked(const char *address, int port, bool alaw, struct track *track);
void sound_stop(struct stream *s);
void sound_heard_by(struct stream *s, struct ear *ear);
/* The caller speaks for so long from now on. */
void sound_say(struct stream *s, double seconds);
/* Packets sent, received, and received from or for nobody. */
void sound_counts(uint64_t out[3]);
/* By how many us at most so many of our own sendings came late; part from 0 to 1. After sound_close(). */
uint64_t sound_lateness(double part);
