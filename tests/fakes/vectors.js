// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Embeddings in which near texts are near: words and their letter triples are hashed into the vector's places, which is then of length 1.
 * The same text has the same vector on every machine; two texts that share words have a high cosine, strangers one near 0. */
const { hash } = require('./random');

function add(vector, gram, weight) {
  const h = hash(gram);
  vector[h % vector.length] += h & 0x80000000 ? -weight : weight;
}

/** The vector of a text: `dimensions` numbers of length 1. An empty text is a vector too. */
function embed(text, dimensions) {
  const vector = new Float64Array(dimensions);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) || ['']) {
    add(vector, word, 1.5);
    const edged = `<${word}>`;
    for (let i = 0; i + 3 <= edged.length; i++) add(vector, edged.slice(i, i + 3), 1);
  }
  let square = 0;
  for (const x of vector) square += x * x;
  const length = Math.sqrt(square) || 1;
  if (square === 0) vector[0] = 1;
  // Eight decimals, as providers print.
  return Array.from(vector, (x) => Math.round((x / length) * 1e8) / 1e8);
}

/** The vector as base64 of little-endian float32. */
function base64(vector) {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((x, i) => bytes.writeFloatLE(x, i * 4));
  return bytes.toString('base64');
}

module.exports = { embed, base64 };
