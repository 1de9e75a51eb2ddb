/* SPDX-License-Identifier: Apache-2.0 */
#include "media/quality.h"
#include "test.h"
#include <math.h>

static void check_mos(double want, double loss, double delay_ms) {
    double mos = quality_mos(loss, delay_ms);
    if (fabs(mos - want) > 0.01) fail_msg("loss %.4f, delay %.0f ms: %.3f, not %.2f", loss, delay_ms, mos, want);
}

/* The loss at which the impairment of G.113 Appendix I for G.711 with concealment takes R down to r. */
static double loss_for(double r) {
    double impairment = 93.2 - r;
    return impairment * 25.1 / (95 - impairment) / 100;
}

TEST(r_and_mos_go_together_as_in_g_107_table_b_1) {
    check_mos(4.34, loss_for(90), 0);
    check_mos(4.03, loss_for(80), 0);
    check_mos(3.60, loss_for(70), 0);
    check_mos(3.10, loss_for(60), 0);
    check_mos(2.58, loss_for(50), 0);
}

TEST(delay_counts_and_counts_more_beyond_177_ms) {
    check_mos(4.41, 0, 0);
    check_mos(4.34, 0, 3.2 / 0.024);
    /* 300 ms: 7.2 + 13.5 of R */
    check_mos(quality_mos(loss_for(93.2 - 7.2 - 0.11 * (300 - 177.3)), 0), 0, 300);
}

TEST(the_worst_and_what_cannot_be_stay_within_1_and_4_5) {
    for (double loss = -1; loss < 3; loss += 0.01)
        for (double delay_ms = 0; delay_ms < 3000; delay_ms += 50) {
            double mos = quality_mos(loss, delay_ms);
            CHECK(mos >= 1 && mos <= 4.5);
        }
    check_mos(1, 1, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(r_and_mos_go_together_as_in_g_107_table_b_1),
        RUN(delay_counts_and_counts_more_beyond_177_ms),
        RUN(the_worst_and_what_cannot_be_stay_within_1_and_4_5),
    };
    return RUN_ALL(tests);
}
