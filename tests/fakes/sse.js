// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Frames of a stream as text, and JSON text in fragments. */

const HEADERS = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' };

/** An event with its name, as Claude and OpenAI's Responses send it. */
const named = (name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
/** An event of data alone. */
const data = (value) => `data: ${JSON.stringify(value)}\n\n`;

/** A text in fragments of n characters, never inside a surrogate pair. An empty text has none. */
function fragments(text, n) {
  if (n > 1 && text.length <= n) return text ? [text] : [];
  const out = [];
  let one = '';
  let count = 0;
  for (const c of text) {
    one += c;
    if (++count < n) continue;
    out.push(one);
    one = '';
    count = 0;
  }
  if (one) out.push(one);
  return out;
}

/** Several lists as one: one after the other, or in turns. */
function mixed(lists, inTurns) {
  if (!inTurns) return lists.flat();
  const out = [];
  for (let i = 0; lists.some((list) => i < list.length); i++) for (const list of lists) if (i < list.length) out.push(list[i]);
  return out;
}

const LETTERS = 'k3vQ9xTbL0aRz7Yw';
/** What OpenAI adds to deltas, unless asked not to, so that the size of an event does not tell the length of its text. */
const padding = (json) => LETTERS.slice(0, 1 + ((LETTERS.length - json.length) & (LETTERS.length - 1)));

module.exports = { HEADERS, named, data, fragments, mixed, padding };
