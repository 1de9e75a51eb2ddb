// SPDX-License-Identifier: Apache-2.0
'use strict';
/* What the recognisers hear: voices that a test has told them of or, of whom it has told of none, the tones of tones.js.
 *
 * A test that calls in with a voice says beforehand what it sounds like (POST /_fake/voices [{ text, pcm: base64 of 16 bit at 8 kHz }]); what comes over a telephone
 * line is compared with it, sample by sample, from the first that is loud. So a recogniser hears what it was sent, in the order in which it was sent, and of
 * a voice that is still speaking the words that were spoken by then. */
const tones = require('./tones');

const RATE = 8000;
const LOUD = 500;
const LEAST = 800;    // samples: so many are compared at least,
const MOST = 2400;    // and at most
const SHIFTS = [24, 800]; // samples: a line may have moved the first loud one, a little or, where a packet was late, by some of them
const ALIKE = 0.5;    // of 1; another text comes to less than 0.3
const PAUSE = 800;    // samples: what is not known is over after so long a silence

let known = []; // { text, samples: from the first loud one to the last }

const isLoud = (sample) => Math.abs(sample) >= LOUD;

/** The voices there are from now on: list of { text, pcm }. */
function learn(list) {
  known = list.map(({ text, pcm }) => {
    const bytes = Buffer.from(pcm, 'base64');
    const samples = new Int16Array(bytes.length >> 1);
    for (let i = 0; i < samples.length; i++) samples[i] = bytes.readInt16LE(2 * i);
    return { text, samples: samples.subarray(samples.findIndex(isLoud), samples.findLastIndex(isLoud) + 1) };
  });
}

/** How much samples[at...] are like a voice's beginning: 1 is the same. */
function likeness(samples, at, voice, n) {
  let [both, mine, its] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    both += samples[at + i] * voice[i];
    mine += samples[at + i] ** 2;
    its += voice[i] ** 2;
  }
  return mine && its ? both / Math.sqrt(mine * its) : 0;
}

function nearest(samples, at, most) {
  let best = { likeness: ALIKE, voice: null };
  for (const voice of known) {
    for (let shift = -most; shift <= most; shift++) {
      const from = at + shift;
      const n = Math.min(MOST, voice.samples.length, samples.length - from);
      if (from < 0 || n < LEAST) continue;
      const found = likeness(samples, from, voice.samples, n);
      if (found > best.likeness) best = { likeness: found, voice };
    }
  }
  return best.voice;
}

/** The text of the known voices in samples (numbers), of one that is cut off its first words; '' where there is none. */
function heard(samples) {
  const texts = [];
  let at = 0;
  while (at < samples.length) {
    if (!isLoud(samples[at])) {
      at++;
      continue;
    }
    const voice = nearest(samples, at, SHIFTS[0]) || nearest(samples, at, SHIFTS[1]);
    if (voice) {
      const words = voice.text.split(' ');
      const share = Math.min(1, (samples.length - at) / voice.samples.length);
      // The last sample of a voice is soft, and may be missing.
      const count = share > 0.95 ? words.length : Math.floor(words.length * share);
      if (count) texts.push(words.slice(0, count).join(' '));
      at += voice.samples.length;
    } else {
      let quiet = 0;
      while (at < samples.length && quiet < PAUSE) quiet = isLoud(samples[at++]) ? 0 : quiet + 1;
    }
  }
  return texts.join(' ');
}

/** The text in samples (numbers); where none was spoken '', or null of tones. */
function hear(samples, rate) {
  return known.length && rate === RATE ? heard(samples) : tones.hear(samples, rate);
}

module.exports = { learn, hear };
