// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Sound files, as far as the fakes make and read them: WAV (PCM 16 bit, G.711), and MP3 of silence with its text in an ID3 tag, for nothing here
 * can encode MP3 and a player must still take it. */

function wav(samples, rate) {
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}

// Frames of MPEG-1 layer III, 64 kbit/s, 44.1 kHz, mono, all their samples zero: 208 bytes, 1152 samples.
const FRAME = Buffer.alloc(208);
FRAME.set([0xff, 0xfb, 0x50, 0xc4]);
const FRAME_S = 1152 / 44100;

function mp3(text, seconds) {
  const words = Buffer.concat([Buffer.from([3]), Buffer.from(text)]);
  const frame = Buffer.concat([Buffer.from('TIT2'), Buffer.from([0, 0, 0, 0, 0, 0]), words]);
  const size = (at, n, buffer) => [21, 14, 7, 0].forEach((shift, i) => (buffer[at + i] = (n >> shift) & 127));
  size(4, words.length, frame);
  const head = Buffer.from([0x49, 0x44, 0x33, 4, 0, 0, 0, 0, 0, 0]);
  size(6, frame.length, head);
  return Buffer.concat([head, frame, ...Array.from({ length: Math.ceil(seconds / FRAME_S) }, () => FRAME)]);
}

function mulaw(byte) {
  const u = ~byte & 255;
  const magnitude = ((((u & 15) << 3) + 0x84) << ((u & 0x70) >> 4)) - 0x84;
  return u & 0x80 ? -magnitude : magnitude;
}

function alaw(byte) {
  const a = byte ^ 0x55;
  const exponent = (a & 0x70) >> 4;
  let magnitude = ((a & 15) << 4) + 8;
  if (exponent) magnitude = (magnitude + 0x100) << (exponent - 1);
  return a & 0x80 ? magnitude : -magnitude;
}

/** Reads a WAV: { samples, rate, seconds }, the first channel; null when it is none or of a kind not known here. */
function readWav(bytes) {
  if (bytes.length < 12 || bytes.toString('latin1', 0, 4) !== 'RIFF' || bytes.toString('latin1', 8, 12) !== 'WAVE') return null;
  let format = null;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const name = bytes.toString('latin1', at, at + 4);
    const size = Math.min(bytes.readUInt32LE(at + 4), bytes.length - at - 8);
    const body = bytes.subarray(at + 8, at + 8 + size);
    if (name === 'fmt ' && size >= 16) format = { kind: body.readUInt16LE(0), channels: body.readUInt16LE(2), rate: body.readUInt32LE(4), bits: body.readUInt16LE(14) };
    if (name === 'data' && format) {
      const { kind, channels, rate, bits } = format;
      const decode = { 1: bits === 16 && ((i) => body.readInt16LE(i)), 6: (i) => alaw(body[i]), 7: (i) => mulaw(body[i]) }[kind];
      if (!decode || !channels || !rate) return null;
      const step = (channels * bits) / 8;
      const samples = new Float64Array(Math.floor(size / step));
      for (let i = 0; i < samples.length; i++) samples[i] = decode(i * step);
      return { samples, rate, seconds: samples.length / rate };
    }
    at += 8 + size + (size & 1);
  }
  return null;
}

/** The text of mp3()'s tag and its length, or null. */
function readMp3(bytes) {
  if (bytes.toString('latin1', 0, 3) !== 'ID3' || bytes.toString('latin1', 10, 14) !== 'TIT2') return null;
  const size = (at) => [0, 1, 2, 3].reduce((n, i) => (n << 7) | bytes[at + i], 0);
  return { text: bytes.toString('utf8', 21, 20 + size(14)), seconds: ((bytes.length - 10 - size(6)) / FRAME.length) * FRAME_S };
}

module.exports = { wav, mp3, readWav, readMp3, mulaw, alaw };
