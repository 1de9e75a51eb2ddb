/* SPDX-License-Identifier: Apache-2.0 */
/* Adds frames in 32 bits and cuts the sum to 16: two loud speakers clip, they never wrap. Pure functions. */
#pragma once
#include "media/frame.h"
#include <stdint.h>

void mixer_add(int32_t sum[FRAME_SAMPLES], const int16_t pcm[FRAME_SAMPLES]);
void mixer_out(int16_t out[FRAME_SAMPLES], const int32_t sum[FRAME_SAMPLES]);
