/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct media_audio, for the player, which reads samples while the loop holds a reference for it. */
#pragma once
#include "media/media.h"
#include <stdatomic.h>

struct media_audio {
    atomic_uint refs;
    size_t samples;
    int16_t pcm[];
};

struct media_audio *audio_new_blank(size_t samples); /* zeroed, one reference */
