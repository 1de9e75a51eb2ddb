// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Speech that can be heard again: a text as tones and back, so that what the speech fake says is what the transcription fake hears, also after it went
 * through a telephone line at 8 kHz. Each half of a byte (UTF-8) is one of 16 tones of 30 ms, 700 to 2950 Hz, after a mark of 60 ms at 400 Hz: about the pace
 * of speech, 17 characters a second. */
const MARK_HZ = 400;
const FIRST_HZ = 700;
const STEP_HZ = 150;
const TONE_S = 0.03;
const MARK_S = 0.06;
const LOUD = 12000;

const hertz = (half) => FIRST_HZ + STEP_HZ * half;

/** 16-bit samples, little-endian, mono, of a text. `speed` shortens each tone. */
function speak(text, rate, speed = 1) {
  const bytes = Buffer.from(text);
  const tone = Math.round((TONE_S / speed) * rate);
  const mark = Math.round(MARK_S * rate);
  const samples = Buffer.alloc((mark + bytes.length * 2 * tone) * 2);
  let at = 0;
  const sound = (hz, n) => {
    const edge = Math.min(n >> 3, 60);
    for (let i = 0; i < n; i++) {
      const fade = Math.min(1, (i + 1) / edge, (n - i) / edge);
      samples.writeInt16LE(Math.round(Math.sin((2 * Math.PI * hz * i) / rate) * LOUD * fade), at);
      at += 2;
    }
  };
  sound(MARK_HZ, mark);
  for (const byte of bytes) {
    sound(hertz(byte >> 4), tone);
    sound(hertz(byte & 15), tone);
  }
  return samples;
}

/** How much of a tone is in samples[from, from + n): Goertzel. */
function power(samples, from, n, hz, rate) {
  const k = 2 * Math.cos((2 * Math.PI * hz) / rate);
  let a = 0;
  let b = 0;
  for (let i = from; i < from + n; i++) [a, b] = [samples[i] + k * a - b, a];
  return (a * a + b * b - k * a * b) / (n * n);
}

/** The text in samples (numbers, at normal speed), or null when none was spoken. */
function hear(samples, rate) {
  const tone = TONE_S * rate;
  const mark = Math.round(MARK_S * rate);
  let start = 0;
  while (start < samples.length && Math.abs(samples[start]) < 300) start++;
  if (start + mark > samples.length || power(samples, start, mark, MARK_HZ, rate) < LOUD) return null;
  const halves = [];
  const inside = Math.floor(tone * 0.8);
  for (let at = start + mark; at + tone * 0.9 <= samples.length; at = start + mark + halves.length * tone) {
    let best = -1;
    let most = LOUD; // quieter than this is silence
    const from = Math.floor(at + tone * 0.1);
    for (let half = 0; half < 16; half++) {
      const p = power(samples, from, Math.min(inside, samples.length - from), hertz(half), rate);
      if (p > most) [most, best] = [p, half];
    }
    if (best < 0) break;
    halves.push(best);
  }
  const bytes = Buffer.alloc(halves.length >> 1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (halves[2 * i] << 4) | halves[2 * i + 1];
  return bytes.length ? bytes.toString('utf8') : null;
}

module.exports = { speak, hear };
