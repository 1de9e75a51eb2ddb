/* SPDX-License-Identifier: Apache-2.0 */
#include "media/mixer.h"

void mixer_add(int32_t sum[FRAME_SAMPLES], const int16_t pcm[FRAME_SAMPLES]) {
    for (int i = 0; i < FRAME_SAMPLES; i++) sum[i] += pcm[i];
}

void mixer_out(int16_t out[FRAME_SAMPLES], const int32_t sum[FRAME_SAMPLES]) {
    for (int i = 0; i < FRAME_SAMPLES; i++) {
        int32_t n = sum[i] > INT16_MAX ? INT16_MAX : sum[i];
        out[i] = (int16_t)(n < INT16_MIN ? INT16_MIN : n);
    }
}
