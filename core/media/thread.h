/* SPDX-License-Identifier: Apache-2.0 */
/* The media thread. Every session has a tick each 20 ms, at the time of its slice: it listens, its taps take a frame, it speaks; and so has
 * every recording, which takes a frame of two sessions. Each frame is taken once, but those of another slice may be up to a tick old.
 *
 *        wait for packets, at most until the next slice
 *     -> commands of the loop        (first, so that a session is known before its first packet is looked at)
 *     -> all packets that wait, in batches, but for a slice that comes due; then 1 ms of sleep when it is not yet time: a packet a
 *        wake-up costs more
 *     -> the slice, when it is time; all of up to TICKS_BEHIND_MAX ticks when late, the ticks before them are skipped and counted
 *     -> wake the loop, when there is something for it
 *
 * Threads    thread_start(), thread_join(): the loop. All else, but the rings' other ends, is the thread's.
 * Hot path   No allocation, no lock, no log. One log line at the start when it may not run above all else.
 */
#pragma once
#include "base/err.h"
#include "media/peers.h"
#include "media/ring.h"
#include "media/session.h"
#include "media/slice.h"
#include <pthread.h>
#include <uv.h>

enum { THREAD_BATCH = 64, THREAD_PACKET_MAX = 1024 };

struct metric;
struct metrics;
struct recording;
struct tap;
struct thread {
    int socket;                /* borrowed */
    uv_async_t *wake;          /* borrowed; there are reports */
    struct ring commands;      /* struct command, from the loop */
    struct ring reports;       /* struct report, to the loop */
    atomic_bool commands_wait; /* the loop has more of them than the ring holds */
    pthread_t id;

    struct metrics *metrics; /* borrowed; NULL: none, and then the handles are NULL too */
    struct metric *received, *sent, *unknown, *invalid, *send_failed, *skipped;

    struct peers peers;
    int session_count;
    struct slice slices[SLICES];
    int slice; /* the next one */
    uint64_t next_slice_us;
    bool loop_wanted;
    _Atomic uint64_t unknown_total; /* packets of unknown sources; the loop may read it */

    struct mmsghdr in[THREAD_BATCH], out[THREAD_BATCH];
    struct iovec in_iov[THREAD_BATCH], out_iov[THREAD_BATCH];
    struct sockaddr_in in_from[THREAD_BATCH];
    uint8_t in_bytes[THREAD_BATCH][THREAD_PACKET_MAX];
    uint8_t out_bytes[THREAD_BATCH][SESSION_PACKET_BYTES];
    unsigned out_count;
};

/* sockets, wake and metrics are filled in; makes the rest. */
void thread_init(struct thread *t, int sessions_max);
void thread_deinit(struct thread *t); /* has been joined or never started */
int thread_start(struct thread *t, struct err *e);
void thread_join(struct thread *t); /* after REPORT_QUIT: returns at once */
