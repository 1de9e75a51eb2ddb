// SPDX-License-Identifier: Apache-2.0
'use strict';
/* What of a prompt the provider has seen before, by key and model: real memory of real prefixes, so that usage shows cached tokens only when a
 * request begins as an earlier one did. Two ways, as the providers have them:
 *   found/keep    marked prefixes (Claude's cache_control): exact text up to the mark
 *   automatic     prefixes of 128 tokens a step, from 1024 on (OpenAI, Gemini) */
const { createHash } = require('crypto');
const { pieces, count } = require('./tokens');

const STEP = 128;
const LEAST = 1024;
const MOST = 20000; // prefixes kept

class PromptCache {
  constructor() {
    this.until = new Map(); // digest -> ms since the epoch
  }

  found(digest, now = Date.now()) {
    return (this.until.get(digest) || 0) > now;
  }

  keep(digest, ttl_ms, now = Date.now()) {
    this.until.delete(digest);
    this.until.set(digest, now + ttl_ms);
    if (this.until.size > MOST) this.until.delete(this.until.keys().next().value);
  }

  /** Tokens of this prompt (a list of texts) that an earlier one of the same scope began with; keeps this one's. `total` is the prompt's count. */
  automatic(scope, prompt, total) {
    if (total < LEAST) return { cached: 0, written: 0 };
    const running = createHash('sha1').update(scope);
    let cached = 0;
    let n = 0;
    let reached = 0;
    const seen = [];
    for (const text of prompt) {
      const all = count(text) ? pieces(text) : [];
      for (const piece of all) {
        running.update(piece);
        if (++n % STEP) continue;
        const digest = running.copy().digest('base64');
        if (cached === n - STEP && this.found(digest)) cached = n;
        reached = n;
        seen.push(digest);
      }
      running.update('\0');
    }
    for (const digest of seen) this.keep(digest, 600000);
    if (cached < LEAST) cached = 0;
    return { cached, written: reached - cached };
  }
}

/** The digest of a prefix: scope and texts. */
function digestOf(scope, text) {
  return createHash('sha1').update(scope).update('\0').update(text).digest('base64');
}

module.exports = { PromptCache, digestOf };
