/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of what is played to one party, one after the other without a gap.
 *
 * Threads    The media thread.
 * Ownership  Each play holds a reference of its audio, counted by the loop, or has a feed of the loop's: it goes with the
 *            report that the play has ended, back to the loop, which drops it.
 */
#pragma once
#include "media/frame.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAYER_WAITING_MAX = 64, PLAYER_MAX = PLAYER_WAITING_MAX + 1 /* the one that is heard */ };

struct feed;
struct media_audio;
struct play {
    uint64_t id;
    struct media_audio *audio; /* NULL: it comes by feed */
    struct feed *feed;
    size_t at;     /* next sample of audio */
    uint64_t sent; /* samples that went out, rounds of a loop included, waiting for a feed not */
    bool loop;
    bool stopping; /* fades out in the next frame */
    bool begun;    /* that its first sample went out has been told; of a feed only */
    bool over;     /* has ended, and the report of it did not fit yet */
};
struct player {
    int cut, cut_to, cut_step; /* taken away from what is played, of 65536; and towards what, by how much a sample */
    int count;
    struct play queue[PLAYER_MAX]; /* the first is heard */
};

enum play_moment { PLAY_BEGUN = 0 /* by feed: its first sample goes out with this frame */, PLAY_PLAYED, PLAY_STOPPED };
/* Tells the loop what has become of a play; false: no room, it is told again next time. */
typedef bool player_report(void *arg, const struct play *play, enum play_moment moment);

void player_add(struct player *p, const struct play *play); /* there is room: the loop has counted */
/* Ends play id, or all when 0. What is heard fades out; what waits is reported from inside. */
void player_stop(struct player *p, uint64_t id, player_report *report, void *arg);
/* From now on all that is played is softer by `to` of 65536, reached in so many samples. */
void player_duck(struct player *p, int to, int samples);
/* Puts the next frame into sum, which is zero; false when nothing was played. */
bool player_frame(struct player *p, int32_t sum[FRAME_SAMPLES], player_report *report, void *arg);
