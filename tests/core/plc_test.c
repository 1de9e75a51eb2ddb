/* SPDX-License-Identifier: Apache-2.0 */
/* What packet-loss concealment is worth, measured: frames are lost from a tone and from a voice, and what comes out is held
 * against what was said, beside the silence there would have been. */
#include "media/plc.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SECONDS = 20, SAMPLES = SECONDS * 8000, FRAMES = SAMPLES / FRAME_SAMPLES };

static int16_t said[SAMPLES], heard[SAMPLES], silenced[SAMPLES];
static bool lost[FRAMES];

static unsigned seed;
static double chance(void) {
    seed = seed * 1103515245 + 12345;
    return (double)(seed >> 8 & 0xffff) / 65536;
}

static void say_tone(void) {
    for (int i = 0; i < SAMPLES; i++) said[i] = (int16_t)lround(8000 * sin(2 * M_PI * 437 * i / 8000));
}

/* Vowels of a man and a woman: pulses whose pitch glides, through three resonances that move, with breath in them, louder and
 * softer four times a second as syllables are. */
static void say_vowels(void) {
    double phase = 0, y[3][2] = {{0}};
    seed = 7;
    for (int i = 0; i < SAMPLES; i++) {
        double t = (double)i / 8000, high = i < SAMPLES / 2 ? 110 : 190;
        double pitch = high * (1 + 0.12 * sin(2 * M_PI * 0.7 * t)), level = 0.55 + 0.45 * sin(2 * M_PI * 4 * t);
        const double formant[3] = {500 + 200 * sin(2 * M_PI * 1.1 * t), 1300 + 500 * sin(2 * M_PI * 0.9 * t), 2500};
        phase += pitch / 8000;
        double source = 0.02 * (chance() - 0.5), sum = 0;
        if (phase >= 1) {
            phase -= 1;
            source += 1;
        }
        for (int f = 0; f < 3; f++) {
            double r = exp(-M_PI * (60 + 40 * f) / 8000), c = 2 * r * cos(2 * M_PI * formant[f] / 8000);
            double now = source + c * y[f][0] - r * r * y[f][1];
            y[f][1] = y[f][0];
            y[f][0] = now;
            sum += now / (1 + f);
        }
        said[i] = (int16_t)lround(4500 * level * sum);
    }
}

static void lose(double part) {
    seed = 42;
    for (int f = 0; f < FRAMES; f++) lost[f] = f > 10 && f < FRAMES - 10 && chance() < part;
}

static void pass(void) {
    static struct plc p;
    memset(&p, 0, sizeof p);
    memcpy(heard, said, sizeof said);
    memcpy(silenced, said, sizeof said);
    for (int f = 0; f < FRAMES; f++) {
        int16_t *frame = heard + f * FRAME_SAMPLES;
        if (!lost[f]) {
            plc_hear(&p, frame, FRAME_SAMPLES);
            continue;
        }
        plc_conceal(&p, frame, FRAME_SAMPLES);
        memset(silenced + f * FRAME_SAMPLES, 0, FRAME_SAMPLES * sizeof *silenced);
    }
}

/* In decibels: what was said over what differs from it, in lost frames and those after them. */
static double likeness_db(const int16_t *out) {
    double signal = 1, error = 1;
    for (int f = 1; f < FRAMES; f++) {
        if (!lost[f] && !lost[f - 1]) continue;
        for (int i = f * FRAME_SAMPLES; i < (f + 1) * FRAME_SAMPLES; i++) {
            signal += (double)said[i] * said[i];
            error += (double)(out[i] - said[i]) * (out[i] - said[i]);
        }
    }
    return 10 * log10(signal / error);
}

/* The energy of lost frames as part of what was said in them. */
static double energy(const int16_t *out) {
    double was = 1, is = 0;
    for (int i = 0; i < SAMPLES; i++) {
        if (!lost[i / FRAME_SAMPLES]) continue;
        was += (double)said[i] * said[i];
        is += (double)out[i] * out[i];
    }
    return is / was;
}

/* A click is where the waveform bends as speech does not: the mean of the second difference, at the edges of the gaps, over
 * that of what was said in the same places. */
static double click(const int16_t *out) {
    double was = 1, is = 1;
    for (int f = 1; f < FRAMES; f++) {
        if (lost[f] == lost[f - 1]) continue;
        double most = 0, most_said = 0;
        for (int i = f * FRAME_SAMPLES - 1; i <= f * FRAME_SAMPLES + 1; i++) {
            most = fmax(most, fabs((double)out[i] - 2.0 * out[i - 1] + out[i - 2]));
            most_said = fmax(most_said, fabs((double)said[i] - 2.0 * said[i - 1] + said[i - 2]));
        }
        is += most;
        was += most_said;
    }
    return is / was;
}

static void measure(const char *what, double part, double db, double energy_least, double click_most) {
    lose(part);
    pass();
    print_message(
        "%-7s %2.0f %% lost: likeness %5.1f dB (silence %5.1f), energy %3.0f %% (0), clicks %.2f (silence %.2f)\n",
        what, part * 100, likeness_db(heard), likeness_db(silenced), energy(heard) * 100, click(heard),
        click(silenced));
    CHECK(likeness_db(heard) > likeness_db(silenced) + db);
    CHECK(energy(heard) > energy_least && energy(heard) < 1.3);
    CHECK(click(heard) < click_most && click(heard) < click(silenced) / 2);
}

TEST(a_tone_with_losses_goes_on_without_clicks) {
    say_tone();
    measure("tone", 0.05, 6, 0.8, 1.5);
    measure("tone", 0.20, 3, 0.6, 1.5);
}

TEST(a_voice_with_losses_is_nearer_to_what_was_said_than_with_holes) {
    say_vowels();
    measure("voice", 0.05, 1, 0.5, 2);
    measure("voice", 0.20, 0.5, 0.4, 2);
}

TEST(a_long_gap_fades_to_silence_within_60_ms_and_the_voice_comes_back_softly) {
    static struct plc p;
    int16_t pcm[FRAME_SAMPLES];
    memset(&p, 0, sizeof p);
    say_tone();
    memcpy(heard, said, sizeof said);
    for (int f = 0; f < 5; f++) plc_hear(&p, heard + f * FRAME_SAMPLES, FRAME_SAMPLES);
    int most[6] = {0};
    for (int f = 0; f < 6; f++) {
        CHECK_INT(f < 3 ? FRAME_SAMPLES : 0, plc_conceal(&p, pcm, FRAME_SAMPLES));
        for (int i = 0; i < FRAME_SAMPLES; i++) most[f] = abs(pcm[i]) > most[f] ? abs(pcm[i]) : most[f];
    }
    CHECK(most[0] > 7000 && most[0] < 9000);
    CHECK(most[1] < most[0] && most[2] < most[1] && most[2] > 0);
    for (int f = 3; f < 6; f++) CHECK_INT(0, most[f]);
    for (int i = 0; i < FRAME_SAMPLES; i++) pcm[i] = 8000;
    plc_hear(&p, pcm, FRAME_SAMPLES);
    for (int i = 1; i < FRAME_SAMPLES; i++) CHECK(pcm[i] >= pcm[i - 1] && pcm[i] - pcm[i - 1] <= 8000 / 40);
    CHECK_INT(8000, pcm[FRAME_SAMPLES - 1]);
    for (int i = 0; i < FRAME_SAMPLES; i++) pcm[i] = (int16_t)i;
    plc_hear(&p, pcm, FRAME_SAMPLES);
    for (int i = 0; i < FRAME_SAMPLES; i++) CHECK_INT(i, pcm[i]); /* and from then on as it is */
}

TEST(a_piece_left_out_leaves_no_step) {
    static struct plc p;
    memset(&p, 0, sizeof p);
    say_tone();
    for (int f = 0; f < 5; f++) plc_hear(&p, said + f * FRAME_SAMPLES, FRAME_SAMPLES);
    int last = said[5 * FRAME_SAMPLES - 1];
    int16_t *after = said + 5 * FRAME_SAMPLES + 9; /* half a period of the tone */
    int plain = abs(after[0] - last);
    plc_cut(&p);
    plc_hear(&p, after, FRAME_SAMPLES);
    CHECK(abs(after[0] - last) < 8000 * 2 * M_PI * 437 / 8000 * 1.3);
    CHECK(plain > 8000 * 2 * M_PI * 437 / 8000 * 1.3);
}

TEST(noise_and_the_loudest_sounds_stay_within_their_bounds) {
    static struct plc p;
    int16_t pcm[FRAME_SAMPLES];
    memset(&p, 0, sizeof p);
    seed = 3;
    for (int round = 0; round < 3000; round++) {
        size_t n = 1 + (size_t)(chance() * (FRAME_SAMPLES - 1));
        for (size_t i = 0; i < n; i++) pcm[i] = round % 7 == 0 ? 0 : chance() < 0.5 ? INT16_MIN : INT16_MAX;
        double what = chance();
        if (what < 0.5)
            plc_hear(&p, pcm, n);
        else if (what < 0.9)
            CHECK(plc_conceal(&p, pcm, n) <= n);
        else
            plc_cut(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_tone_with_losses_goes_on_without_clicks),
        RUN(a_voice_with_losses_is_nearer_to_what_was_said_than_with_holes),
        RUN(a_long_gap_fades_to_silence_within_60_ms_and_the_voice_comes_back_softly),
        RUN(a_piece_left_out_leaves_no_step),
        RUN(noise_and_the_loudest_sounds_stay_within_their_bounds),
    };
    return RUN_ALL(tests);
}
