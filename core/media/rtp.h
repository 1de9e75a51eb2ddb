/* SPDX-License-Identifier: Apache-2.0 */
/* The RTP header (RFC 3550, section 5.1): parsed from hostile bytes, built for ourselves. Pure functions. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RTP_HEADER_BYTES = 12 };

struct rtp {
    uint8_t payload_type;
    bool marker;
    uint16_t seq;
    uint32_t timestamp; /* in samples, at 8000 Hz for G.711 */
    uint32_t ssrc;
    const uint8_t *payload; /* points into the packet; contributing sources, extension and padding are left out */
    size_t payload_len;     /* may be 0 */
};

/* false: not RTP version 2, or a length inside it goes beyond the packet. */
bool rtp_parse(struct rtp *out, const uint8_t *packet, size_t len);
/* Writes a header without sources, extension or padding; payload fields are not read. */
void rtp_build(uint8_t out[RTP_HEADER_BYTES], const struct rtp *rtp);

/* What has become of the sequence numbers of one source. Zero-initialised is empty. */
struct rtp_sequence {
    bool started;
    uint16_t newest;
    uint64_t seen;       /* bit n: newest - n has come */
    int64_t lost;        /* missed so far; a straggler takes its one back */
    uint64_t duplicated; /* came once more */
    uint64_t reordered;  /* came after a later one */
};
/* Counts seq; false for a duplicate, or one too old to tell. */
bool rtp_sequence_take(struct rtp_sequence *s, uint16_t seq);
