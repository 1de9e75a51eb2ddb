/* SPDX-License-Identifier: Apache-2.0 */
/* A WAV file is refused with a reason, or gives no more samples than its bytes can hold. */
#include "media/media.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    struct media_audio *a = NULL;
    struct err e = {0};
    if (media_audio_from_wav(&a, bytes, len, &e) < 0) {
        if (a != NULL || e.code != ERR_INVALID || e.text[0] == '\0') abort();
        return 0;
    }
    if (media_audio_samples(a) > len / 2) abort();
    media_audio_unref(a);
    return 0;
}
