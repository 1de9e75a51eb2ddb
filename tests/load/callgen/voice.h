/* SPDX-License-Identifier: Apache-2.0 */
/* What callers say: speech from a file, over and over, in both laws of G.711. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VOICE_FRAME = 160 };

struct voice {
    uint8_t *codes[2]; /* µ-law and A-law: the samples, and the first frame once more behind them */
    size_t samples;
};

/* 16 bit little-endian mono at 8000 Hz, a frame at least; path NULL: a tone. 0, or -1 and errno. It stays for ever. */
int voice_open(struct voice *v, const char *path);
/* The frame from that sample on, round and round. */
const uint8_t *voice_frame(const struct voice *v, bool alaw, uint64_t from);
