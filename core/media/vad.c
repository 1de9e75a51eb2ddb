/* SPDX-License-Identifier: Apache-2.0 */
#include "media/vad.h"

enum {
    NOISE_START = 60 * 60,
    NOISE_LEAST = 10 * 10,
    LOUD_LEAST = 120 * 120,              /* about -49 dB of full scale: below it nobody on a telephone is speaking */
    SPEECH_FRAMES = 3,                   /* 60 ms: shorter is a click */
    ECHO_SHARE = 32,                     /* 15 dB below what was sent: hybrids echo at 20 dB below and less */
    FIRST_QUIET_FRAMES = 160 / FRAME_MS, /* with what lies in the jitter buffer, 200 ms behind the last sound */
    QUIET_FRAMES = 200 / FRAME_MS,       /* and again each time as many have passed */
};

void vad_init(struct vad *v) {
    *v = (struct vad){.noise = NOISE_START};
}

static uint32_t power(const int16_t pcm[FRAME_SAMPLES]) {
    int64_t sum = 0;
    for (int i = 0; i < FRAME_SAMPLES; i++) sum += (int32_t)pcm[i] * pcm[i];
    return (uint32_t)(sum / FRAME_SAMPLES);
}

/* A quarter of the way down at once; up a factor of two in 2 s, or in 10 s while somebody speaks: words have gaps
 * that bring it down again, a fan that was switched on has none. */
static void follow_noise(struct vad *v, uint32_t now) {
    if (now < v->noise) {
        v->noise -= (v->noise - now + 3) / 4;
    } else {
        uint32_t step = v->noise / (v->speaking ? 720 : 144) + 1;
        v->noise = now - v->noise < step ? now : v->noise + step;
    }
    if (v->noise < NOISE_LEAST) v->noise = NOISE_LEAST;
}

/* The loudest of what was sent, half as much 220 ms later: so late may an echo come. */
static void follow_sent(struct vad *v, const int16_t sent[FRAME_SAMPLES]) {
    uint32_t now = power(sent);
    v->sent -= v->sent / 16;
    if (now > v->sent) v->sent = now;
}

enum vad_change vad_frame(struct vad *v, const int16_t pcm[FRAME_SAMPLES], const int16_t sent[FRAME_SAMPLES],
                          uint32_t *quiet_ms) {
    uint32_t now = power(pcm);
    follow_sent(v, sent);
    bool is_echo = now <= v->sent / ECHO_SHARE;
    /* 9 dB above the noise to begin, 6 dB to go on: the ends of words are soft. */
    uint64_t limit = (uint64_t)v->noise * (v->speaking ? 4 : 8);
    bool loud = !is_echo && now > limit && now > LOUD_LEAST / (v->speaking ? 2 : 1);
    if (!is_echo || now < v->noise) follow_noise(v, now);
    v->loud_run = loud ? v->loud_run + 1 : 0;
    if (v->speaking ? loud : v->loud_run >= SPEECH_FRAMES) {
        v->quiet_run = 0;
        if (v->speaking) return VAD_SAME;
        v->speaking = true;
        return VAD_SPEECH;
    }
    v->quiet_run++;
    if (v->quiet_run != FIRST_QUIET_FRAMES && v->quiet_run % QUIET_FRAMES != 0) return VAD_SAME;
    v->speaking = false;
    *quiet_ms = v->quiet_run * FRAME_MS;
    return VAD_QUIET;
}
