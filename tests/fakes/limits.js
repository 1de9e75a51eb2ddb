// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Rate limits: token buckets that fill all the time, by key and model, as the providers have them, and a limit of requests at a time.
 *
 * A rule: { provider, key, model (each may be missing: any), requests_per_minute, tokens_per_minute, input_tokens_per_minute,
 * output_tokens_per_minute, concurrency, queue, retry_form: "s" (default) | "ms" | "date" | "none", spend_tokens }. Each pair of key and model has
 * its own buckets of a rule, full at first. Output is taken when it is known, so that bucket may go below zero, and the next request waits.
 * spend_tokens is the month's limit: when so many tokens were used, every request fails until a reset, and waiting does not help. */
const { Failure } = require('./failure');

const KINDS = ['requests', 'tokens', 'input_tokens', 'output_tokens'];

class Bucket {
  constructor(per_minute, now) {
    this.most = per_minute;
    this.left = per_minute;
    this.at = now;
  }

  fill(now) {
    this.left = Math.min(this.most, this.left + ((now - this.at) * this.most) / 60000);
    this.at = now;
  }

  /** Milliseconds until n can be taken; 0 now. More than the bucket holds waits for a full one. */
  wait_ms(n) {
    const missing = Math.min(n, this.most) - this.left;
    return missing > 0 ? (missing * 60000) / this.most : 0;
  }

  /** Milliseconds until it is full. */
  full_ms() {
    return ((this.most - this.left) * 60000) / this.most;
  }
}

class Limits {
  constructor(now = () => Date.now()) {
    this.now = now;
    this.rules = [];
    this.scopes = new Map();
  }

  set(rules) {
    this.rules = rules;
    this.scopes.clear();
  }

  scope(provider, key, model) {
    const index = this.rules.findIndex((rule) => (!rule.provider || rule.provider === provider) && (!rule.key || rule.key === key) && (!rule.model || rule.model === model));
    if (index < 0) return null;
    const name = `${index} ${provider} ${key} ${model}`;
    let scope = this.scopes.get(name);
    if (!scope) {
      const rule = this.rules[index];
      scope = { rule, buckets: {}, running: 0, spent: 0 };
      for (const kind of KINDS) if (rule[`${kind}_per_minute`]) scope.buckets[kind] = new Bucket(rule[`${kind}_per_minute`], this.now());
      this.scopes.set(name, scope);
    }
    return scope;
  }

  /** Takes one request of so many input tokens. Returns a grant (or null: no rule), or throws a Failure 429 (503 when too many are at work). */
  take(provider, key, model, input) {
    if (this.rules.length === 0) return null;
    const scope = this.scope(provider, key, model);
    if (!scope) return null;
    const { rule, buckets } = scope;
    if (rule.spend_tokens !== undefined && scope.spent >= rule.spend_tokens) throw new Failure(429, 'The spend limit of this month is reached.', { spend_limit: true });
    if (rule.concurrency && scope.running >= rule.concurrency) {
      throw new Failure(rule.queue === 'full' ? 503 : 429, 'Too many requests at a time.', { limit: 'concurrency', ...this.later(rule, 1000) });
    }
    const now = this.now();
    let wait_ms = 0;
    let short;
    const need = { requests: 1, tokens: input, input_tokens: input, output_tokens: 1 };
    for (const kind of Object.keys(buckets)) {
      buckets[kind].fill(now);
      const ms = buckets[kind].wait_ms(need[kind]);
      if (ms > wait_ms) [wait_ms, short] = [ms, kind];
    }
    if (short) throw new Failure(429, `Rate limit of ${short} per minute reached.`, { limit: short, scope, headers: {}, ...this.later(rule, wait_ms) });
    for (const kind of Object.keys(buckets)) if (kind !== 'output_tokens') buckets[kind].left -= need[kind];
    scope.running++;
    return { scope, input };
  }

  later(rule, ms) {
    if (rule.retry_form === 'none') return {};
    if (rule.retry_form === 'ms') return { retry_after_ms: Math.ceil(ms) };
    if (rule.retry_form === 'date') return { retry_after_date_s: Math.ceil(ms / 1000) + 1 };
    return { retry_after_s: Math.max(1, Math.ceil(ms / 1000)) };
  }

  /** Books what an answer used. */
  settle(grant, output) {
    if (!grant) return;
    grant.scope.spent += grant.input + output;
    for (const kind of ['tokens', 'output_tokens']) if (grant.scope.buckets[kind]) grant.scope.buckets[kind].left -= output;
  }

  release(grant) {
    if (grant && !grant.released) {
      grant.released = true;
      grant.scope.running--;
    }
  }

  /** What the buckets of a scope hold: { requests: { limit, remaining, reset_ms } ... }, for headers. */
  figures(scope) {
    const out = {};
    const now = this.now();
    for (const [kind, bucket] of Object.entries(scope.buckets)) {
      bucket.fill(now);
      out[kind] = { limit: bucket.most, remaining: Math.max(0, Math.floor(bucket.left)), reset_ms: bucket.full_ms() };
    }
    return out;
  }
}

/** A duration as Go prints it: 12ms, 1.5s, 1m30.5s. */
function goDuration(ms) {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const minutes = Math.floor(ms / 60000);
  const seconds = `${Math.round(ms - minutes * 60000) / 1000}s`;
  return minutes ? `${minutes}m${seconds}` : seconds;
}

module.exports = { Limits, goDuration };
