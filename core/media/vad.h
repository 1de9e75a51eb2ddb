/* SPDX-License-Identifier: Apache-2.0 */
/* Does the party speak? By energy, against a noise floor that sinks fast and rises slowly, and against the echo of what is played to
 * it: what is softer than that by ECHO_DB comes from a hybrid or a loudspeaker, as far as one can tell. Who speaks softer than the
 * echo could be is not heard over it. Pure arithmetic. */
#pragma once
#include "media/frame.h"
#include <stdbool.h>
#include <stdint.h>

struct vad {
    uint32_t noise; /* mean square of a sample */
    uint32_t sent;  /* the same, of the loudest that was sent lately */
    bool speaking;
    unsigned loud_run;  /* frames */
    unsigned quiet_run; /* frames */
};
enum vad_change { VAD_SAME = 0, VAD_SPEECH, VAD_QUIET /* for quiet_ms */ };

void vad_init(struct vad *v);
/* sent: what the party was sent with the last frame. */
enum vad_change vad_frame(struct vad *v, const int16_t pcm[FRAME_SAMPLES], const int16_t sent[FRAME_SAMPLES],
                          uint32_t *quiet_ms);
