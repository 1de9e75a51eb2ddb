/* SPDX-License-Identifier: Apache-2.0 */
/* The size of everything here: a frame is 20 ms of mono at 8000 Hz. */
#pragma once

enum { FRAME_MS = 20, FRAME_SAMPLES = 160, SAMPLES_PER_MS = 8 };
