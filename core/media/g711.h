/* SPDX-License-Identifier: Apache-2.0 */
/* G.711, both laws, by table. PCM is 16 bits, host order.
 *
 * Threads    g711_init() once before anything else (it may be called again); the rest from any thread.
 */
#pragma once
#include "media/media.h"
#include <stddef.h>
#include <stdint.h>

void g711_init(void);
const int16_t *g711_decode_table(enum media_codec codec); /* 256 values */
void g711_encode(enum media_codec codec, uint8_t *out, const int16_t *pcm, size_t samples);
uint8_t g711_silence(enum media_codec codec); /* the code of the sample 0 */
