/* SPDX-License-Identifier: Apache-2.0 */
#include "bind/intake.h"

void intake_open(struct intake *i, uint64_t now_ms) {
    *i = (struct intake){.messages = INTAKE_MESSAGES_BURST, .bytes = INTAKE_BYTES_BURST, .at_ms = now_ms};
}

static void refill(struct intake *i, uint64_t now_ms) {
    double seconds = (double)(now_ms - i->at_ms) / 1000;

    if (now_ms <= i->at_ms) return;
    i->at_ms = now_ms;
    i->messages += seconds * INTAKE_MESSAGES;
    i->bytes += seconds * INTAKE_BYTES;
    if (i->messages > INTAKE_MESSAGES_BURST) i->messages = INTAKE_MESSAGES_BURST;
    if (i->bytes > INTAKE_BYTES_BURST) i->bytes = INTAKE_BYTES_BURST;
    if (i->messages >= INTAKE_MESSAGES_BURST / 2 && i->bytes >= INTAKE_BYTES_BURST / 2) i->dry_since_ms = 0;
}

/* Until a bucket is out of debt and has something again; 0 for one that has. */
static double rest_ms(double tokens, double per_second) {
    return tokens > 0 ? 0 : INTAKE_REST_MS - tokens * 1000 / per_second;
}

uint64_t intake_take(struct intake *i, size_t len, uint64_t now_ms) {
    double messages, bytes;

    refill(i, now_ms);
    i->messages -= 1;
    i->bytes -= (double)len;
    messages = rest_ms(i->messages, INTAKE_MESSAGES);
    bytes = rest_ms(i->bytes, INTAKE_BYTES);
    if (messages <= 0 && bytes <= 0) return 0;
    if (i->dry_since_ms == 0) i->dry_since_ms = now_ms > 0 ? now_ms : 1;
    return (uint64_t)(messages > bytes ? messages : bytes);
}

uint64_t intake_dry_ms(struct intake *i, uint64_t now_ms) {
    refill(i, now_ms);
    return i->dry_since_ms == 0 ? 0 : now_ms - i->dry_since_ms;
}
