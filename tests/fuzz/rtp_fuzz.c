/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer sends, packet after packet, through all that hears it: header, numbers, jitter buffer, concealment, VAD.
 * Input: for each packet a byte of time that has passed (4 ms each), a byte of length (beyond 240 in steps of 64, so that the
 * longest packet that is looked at is among them), the packet. */
#include "media/command.h"
#include "media/g711.h"
#include "media/session.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static bool on_report(void *arg, const struct report *report) {
    (void)arg;
    return report->event.position % 400 != 0; /* there is not always room */
}

/* What nobody sent is made up for 60 ms and not longer, whatever came before. */
static void check_fades(struct session *s, uint64_t tick_us) {
    uint64_t before = s->jitter.concealed;
    jitter_reset(&s->jitter);
    for (int i = 0; i < 4; i++) session_listen(s, tick_us + (uint64_t)i * FRAME_MS * 1000, on_report, NULL);
    if (s->jitter.concealed - before > PLC_SILENT) abort();
    for (int i = 0; i < FRAME_SAMPLES; i++)
        if (s->says[i] != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    static struct session s;
    struct sockaddr_in peer = {.sin_family = AF_INET};
    uint64_t received = 0;

    g711_init();
    memset(&s, 0, sizeof s);
    session_init(&s, &peer, MEDIA_ULAW);
    uint64_t now_us = s.last_heard_us, tick_us = now_us;
    while (len >= 2) {
        now_us += bytes[0] * UINT64_C(4000);
        size_t packet_len = bytes[1] <= 240 ? bytes[1] : 64u * (bytes[1] - 239u);
        bytes += 2;
        len -= 2;
        if (packet_len > len) packet_len = len;
        struct rtp rtp;
        uint8_t *packet =
            malloc(packet_len > 0 ? packet_len : 1); /* of just this size, so that a step beyond is seen */
        memcpy(packet, bytes, packet_len);
        if (rtp_parse(&rtp, packet, packet_len)) {
            if (rtp.payload < packet || rtp.payload + rtp.payload_len > packet + packet_len) abort();
            if (session_receive(&s, &rtp, now_us, on_report, NULL)) received++;
        }
        free(packet);
        for (; tick_us < now_us; tick_us += FRAME_MS * 1000) session_listen(&s, tick_us, on_report, NULL);
        if (bytes[-2] == 0xff) session_skip(&s, bytes[-1]);
        bytes += packet_len;
        len -= packet_len;
    }
    if (s.received != received || s.late > received || s.sequence.lost < 0) abort();
    if (s.early_x16 > 16 * JITTER_SAMPLES || s.duplicated != s.sequence.duplicated) abort();
    check_fades(&s, tick_us);
    return 0;
}
