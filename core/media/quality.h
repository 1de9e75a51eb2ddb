/* SPDX-License-Identifier: Apache-2.0 */
/* How good a conversation sounds, estimated from what the network did to it. A pure function.
 *
 * The E-model of ITU-T G.107 with its default values and G.711 with concealment (G.113 Appendix I: Ie 0, Bpl 25.1; losses
 * taken to be random), simplified as in Cole and Rosenbluth, "Voice over IP performance monitoring" (2001), formula 2: of the
 * delay only what is told here is known, echo is taken to be cancelled. G.107 Annex B gives the MOS.
 */
#pragma once

/* loss: part of the packets that did not come in time, 0 to 1. Returns 1 (bad) to 4.5; 4.4 without any loss or delay. */
double quality_mos(double loss, double delay_ms);
