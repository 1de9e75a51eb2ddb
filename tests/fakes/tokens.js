// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Texts in pieces: what a stream sends one by one and what usage counts. No provider's tokenizer, but of the same grain: five characters of a
 * word or one sign, the space before it included. The pieces joined are the text. */
const PIECE = /\s*[\p{L}\p{N}_]{1,5}|\s*[^\s\p{L}\p{N}_]|\s+$/gu;
const LONG = 200; // characters from which a count is kept: system prompts and tools come again with each request
const counts = new Map();

function pieces(text) {
  return text.match(PIECE) || [];
}

function count(text) {
  if (text.length < LONG) return pieces(text).length;
  let n = counts.get(text);
  if (n === undefined) {
    n = pieces(text).length;
    if (counts.size >= 1000) counts.clear();
    counts.set(text, n);
  }
  return n;
}

module.exports = { pieces, count };
