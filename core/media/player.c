/* SPDX-License-Identifier: Apache-2.0 */
#include "media/player.h"
#include "media/audio.h"
#include "media/feed.h"
#include <string.h>

enum { FADE_SAMPLES = 10 * SAMPLES_PER_MS };

static void drop(struct player *p, int i) {
    p->count--;
    memmove(p->queue + i, p->queue + i + 1, (size_t)(p->count - i) * sizeof *p->queue);
}

void player_add(struct player *p, const struct play *play) {
    if (p->count < PLAYER_MAX) p->queue[p->count++] = *play;
}

void player_stop(struct player *p, uint64_t id, player_report *report, void *arg) {
    for (int i = p->count - 1; i >= 0; i--) {
        struct play *play = &p->queue[i];
        if ((id != 0 && play->id != id) || play->over) continue;
        if (play->sent > 0)
            play->stopping = true;
        else if (report(arg, play, PLAY_STOPPED))
            drop(p, i);
        else
            play->stopping = play->over = true;
    }
}

static int add_fed(struct play *play, int32_t *sum, int room) {
    int16_t pcm[FRAME_SAMPLES];
    int n = feed_take(play->feed, pcm, room, play->stopping, &play->over);
    for (int i = 0; i < n; i++) sum[i] += pcm[i];
    play->sent = atomic_load_explicit(&play->feed->sent, memory_order_relaxed);
    return n;
}

/* Adds up to room samples of play to sum, softer and softer when it is stopping. Returns how many; play->over when it
 * has ended. */
static int add_samples(struct play *play, int32_t *sum, int room) {
    const struct media_audio *a = play->audio;
    int fade = 0, n = 0;
    if (play->stopping) {
        size_t left = play->loop ? FADE_SAMPLES : a->samples - play->at;
        fade = left < FADE_SAMPLES ? (int)left : FADE_SAMPLES;
        if (room > fade) room = fade;
    }
    while (n < room) {
        if (play->at == a->samples) {
            if (!play->loop) break;
            play->at = 0;
        }
        size_t left = a->samples - play->at;
        int run = left < (size_t)(room - n) ? (int)left : room - n;
        const int16_t *pcm = a->pcm + play->at;
        if (play->stopping)
            for (int i = 0; i < run; i++) sum[n + i] += pcm[i] * (fade - n - i) / (fade + 1);
        else
            for (int i = 0; i < run; i++) sum[n + i] += pcm[i];
        play->at += (size_t)run;
        n += run;
    }
    play->sent += (unsigned)n;
    play->over = play->stopping || (!play->loop && play->at == a->samples);
    return n;
}

void player_duck(struct player *p, int to, int samples) {
    int way = to > p->cut ? to - p->cut : p->cut - to;
    p->cut_to = to;
    p->cut_step = samples > 0 ? way / samples + 1 : way;
}

static void cut(struct player *p, int32_t sum[FRAME_SAMPLES]) {
    for (int i = 0; i < FRAME_SAMPLES; i++) {
        if (p->cut < p->cut_to)
            p->cut = p->cut_to - p->cut < p->cut_step ? p->cut_to : p->cut + p->cut_step;
        else
            p->cut = p->cut - p->cut_to < p->cut_step ? p->cut_to : p->cut - p->cut_step;
        sum[i] = (int32_t)((int64_t)sum[i] * (65536 - p->cut) / 65536);
    }
}

bool player_frame(struct player *p, int32_t sum[FRAME_SAMPLES], player_report *report, void *arg) {
    int n = 0;
    while (p->count > 0) {
        struct play *play = &p->queue[0];
        if (!play->over) {
            if (n == FRAME_SAMPLES) break;
            n += (play->feed != NULL ? add_fed : add_samples)(play, sum + n, FRAME_SAMPLES - n);
            if (play->feed != NULL && play->sent > 0 && !play->begun) play->begun = report(arg, play, PLAY_BEGUN);
        }
        if (!play->over || !report(arg, play, play->stopping ? PLAY_STOPPED : PLAY_PLAYED)) break;
        drop(p, 0);
    }
    if (p->cut != 0 || p->cut_to != 0) cut(p, sum);
    return n > 0;
}
