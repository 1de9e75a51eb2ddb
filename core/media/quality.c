/* SPDX-License-Identifier: Apache-2.0 */
#include "media/quality.h"

#define R_BEST     93.2 /* G.107 with all its defaults */
#define BPL        25.1
#define DELAY_FREE 177.3
#define LOSS_WORST 95.0

double quality_mos(double loss, double delay_ms) {
    double percent = loss < 0 ? 0 : loss > 1 ? 100 : loss * 100;
    double of_delay = 0.024 * delay_ms + (delay_ms > DELAY_FREE ? 0.11 * (delay_ms - DELAY_FREE) : 0);
    double r = R_BEST - of_delay - LOSS_WORST * percent / (percent + BPL);
    if (r <= 0) return 1;
    double mos = 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6;
    return mos < 1 ? 1 : mos > 4.5 ? 4.5 : mos; /* Annex B dips below 1 for R under 6.5 */
}
