// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Chance that can be played again: the same seed gives the same run of numbers (mulberry32), so that a fault that broke something breaks it again. */

/** Returns a function that gives numbers in [0, 1). */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** FNV-1a of a text's UTF-16 units, 32 bits. */
function hash(text, seed = 0x811c9dc5) {
  let h = seed;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h ^= h >>> 16;
  h = Math.imul(h, 0x7feb352d);
  h ^= h >>> 15;
  return h >>> 0;
}

module.exports = { random, hash };
