/* SPDX-License-Identifier: Apache-2.0 */
#include "media/rtp.h"

enum { SEQUENCE_WINDOW = 64, SEQUENCE_JUMP = 3000 /* RFC 3550 A.1, MAX_DROPOUT: beyond it the sender began anew */ };

static uint16_t read16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}
static uint32_t read32(const uint8_t *p) {
    return (uint32_t)read16(p) << 16 | read16(p + 2);
}

static void write16(uint8_t *p, uint16_t n) {
    p[0] = (uint8_t)(n >> 8);
    p[1] = (uint8_t)n;
}

bool rtp_parse(struct rtp *out, const uint8_t *packet, size_t len) {
    if (len < RTP_HEADER_BYTES || packet[0] >> 6 != 2) return false;
    size_t start = RTP_HEADER_BYTES + 4u * (packet[0] & 0x0f);
    if (packet[0] & 0x10) { /* extension: 16 bits of profile, 16 bits of length in words */
        if (len < start + 4) return false;
        start += 4 + 4u * read16(packet + start + 2);
    }
    if (len < start) return false;
    size_t end = len;
    if (packet[0] & 0x20) { /* padding: its last byte says how much, itself included */
        uint8_t padding = packet[len - 1];
        if (padding == 0 || padding > len - start) return false;
        end -= padding;
    }
    *out = (struct rtp){
        .payload_type = packet[1] & 0x7f,
        .marker = packet[1] >> 7,
        .seq = read16(packet + 2),
        .timestamp = read32(packet + 4),
        .ssrc = read32(packet + 8),
        .payload = packet + start,
        .payload_len = end - start,
    };
    return true;
}

void rtp_build(uint8_t out[RTP_HEADER_BYTES], const struct rtp *rtp) {
    out[0] = 0x80;
    out[1] = (uint8_t)((rtp->marker ? 0x80 : 0) | (rtp->payload_type & 0x7f));
    write16(out + 2, rtp->seq);
    write16(out + 4, (uint16_t)(rtp->timestamp >> 16));
    write16(out + 6, (uint16_t)rtp->timestamp);
    write16(out + 8, (uint16_t)(rtp->ssrc >> 16));
    write16(out + 10, (uint16_t)rtp->ssrc);
}

static bool sequence_begin(struct rtp_sequence *s, uint16_t seq) {
    s->started = true;
    s->newest = seq;
    s->seen = 1;
    return true;
}

bool rtp_sequence_take(struct rtp_sequence *s, uint16_t seq) {
    int ahead = (int16_t)(uint16_t)(seq - s->newest);
    if (!s->started || ahead > SEQUENCE_JUMP || ahead < -SEQUENCE_JUMP) return sequence_begin(s, seq);
    if (ahead > 0) {
        s->lost += ahead - 1;
        s->seen = ahead < SEQUENCE_WINDOW ? s->seen << ahead | 1 : 1;
        s->newest = seq;
        return true;
    }
    uint64_t bit = -ahead < SEQUENCE_WINDOW ? UINT64_C(1) << -ahead : 0;
    if (bit == 0) return false;
    if (s->seen & bit) {
        s->duplicated++;
        return false;
    }
    s->seen |= bit;
    s->reordered++;
    if (s->lost > 0) s->lost--;
    return true;
}
