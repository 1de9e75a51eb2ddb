// SPDX-License-Identifier: Apache-2.0
'use strict';
/* What happened, for tests to read: counts by provider, key and model, each stream with its end, and the last requests as they came.
 * Times are milliseconds since the epoch with fractions, of this machine's clock. */
const { performance } = require('perf_hooks');

const STREAMS = 20000; // ended streams remembered
const REQUESTS = 200; // requests remembered whole

const now = () => performance.timeOrigin + performance.now();

class Stats {
  constructor() {
    this.connections = { open: 0, accepted: 0, http2: 0 };
    this.reset();
  }

  reset() {
    this.since = now();
    this.requests = 0;
    this.counts = new Map();
    this.ended = [];
    this.open = new Map();
    this.last = [];
    this.next = 1;
  }

  /** A request began. Returns its record, to be given to the other functions. */
  begin(provider, key, model, path, protocol) {
    this.requests++;
    const name = `${provider}\0${key}\0${model}`;
    let count = this.counts.get(name);
    if (!count) {
      count = { provider, key, model, requests: 0, ok: 0, open: 0, cancelled: 0, input: 0, cached: 0, output: 0, statuses: {}, faults: {} };
      this.counts.set(name, count);
    }
    count.requests++;
    count.open++;
    const record = { id: this.next++, provider, key, model, path, protocol, count, began_ms: now(), stream: false, frames: 0, status: 0, end: null };
    this.open.set(record.id, record);
    return record;
  }

  status(record, status) {
    record.status = status;
    record.count.statuses[status] = (record.count.statuses[status] || 0) + 1;
    if (status < 400) record.count.ok++;
  }

  fault(record, name) {
    record.fault = name;
    record.count.faults[name] = (record.count.faults[name] || 0) + 1;
  }

  usage(record, input, cached, output) {
    record.count.input += input;
    record.count.cached += cached;
    record.count.output += output;
  }

  /** A request ended: "end", "cut" (by a fault) or "cancelled" (by the client); how: "RST_STREAM code N" or "close". */
  end(record, end, how) {
    if (record.end) return;
    record.end = end;
    record.ended_ms = now();
    if (how) record.how = how;
    record.count.open--;
    if (end === 'cancelled') record.count.cancelled++;
    this.open.delete(record.id);
    if (record.stream || end === 'cancelled') {
      this.ended.push(record);
      if (this.ended.length > STREAMS * 2) this.ended = this.ended.slice(-STREAMS);
    }
  }

  remember(request) {
    this.last.push(request);
    if (this.last.length > REQUESTS * 2) this.last = this.last.slice(-REQUESTS);
  }

  /** Everything as one object; `streams` is how many of the ended ones, the last first; with 0 the open ones are left out too. */
  report(streams = 1000) {
    const plain = ({ count: _, ...record }) => record;
    return {
      now_ms: now(), since_ms: this.since, requests: this.requests, open: this.open.size, connections: this.connections, counts: [...this.counts.values()],
      open_streams: streams > 0 ? [...this.open.values()].map(plain) : [], ended_streams: streams > 0 ? this.ended.slice(-streams).reverse().map(plain) : [],
      memory_bytes: process.memoryUsage.rss(), cpu_us: process.cpuUsage(),
    };
  }
}

module.exports = { Stats, now };
