// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Answers that a test writes beforehand: POST /_fake/script { match: { provider, key, model, path, contains, last }, answers: [...], repeat }.
 * Each request that fits takes the next answer; with `repeat` the list begins again, else the mind answers when it is used up.
 * An answer: { text, pieces: [text as it is streamed], thinking, refusal, tool_calls: [{ id, name, arguments: object or text }], reason, usage: { what is
 * said in place of what was counted: input, cached, written, written_1h, output, reasoning }, vectors: [[..]], fault: text or object }. */
const { matches, parse } = require('./faults');

class Scripts {
  constructor() {
    this.lists = [];
  }

  add({ match = {}, answers = [], repeat = false }) {
    this.lists.push({ match, answers, repeat, next: 0 });
  }

  clear() {
    this.lists = [];
  }

  /** The next answer for a call, or null. */
  take(call) {
    for (const list of this.lists) {
      if (list.next >= list.answers.length && !list.repeat) continue;
      if (list.answers.length === 0 || !matches(list.match, call)) continue;
      const answer = list.answers[list.next++ % list.answers.length];
      return typeof answer.fault === 'string' ? { ...answer, fault: parse(answer.fault) } : answer;
    }
    return null;
  }
}

module.exports = { Scripts };
