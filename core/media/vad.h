/* SPDX-License-Identifier: Apache-2.0 */
/* Does the party speak? By energy, against a noise floor that sinks fast and rises slowly. Pure arithmetic. */
#pragma once
#include "media/frame.h"
#include <stdbool.h>
#include <stdint.h>

struct vad {
    uint32_t noise; /* mean square of a sample */
    bool speaking;
    unsigned loud_run;  /* frames */
    unsigned quiet_run; /* frames */
};
enum vad_change { VAD_SAME = 0, VAD_SPEECH, VAD_QUIET /* for quiet_ms */ };

void vad_init(struct vad *v);
enum vad_change vad_frame(struct vad *v, const int16_t pcm[FRAME_SAMPLES], uint32_t *quiet_ms);
