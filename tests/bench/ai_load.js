// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Asks a chat endpoint at a fixed rate, or so many at a time, and tells what was felt: one JSON line.
 *
 *   node ai_load.js '{"url":..., "headers":{}, "body":{}, "rate":1000, "seconds":5}'         whole answers, begun at even distances whether or not others are done
 *   node ai_load.js '{..., "at_once":16, "seconds":5}'                                      whole answers, each the next of sixteen
 *   node ai_load.js '{..., "streams":200, "frames":64}'                                     so many streams at once, each once
 *
 * Times are milliseconds from the moment a request was due, so that a server that stands still is felt by all who came meanwhile. */
const http = require('http');

const o = JSON.parse(process.argv[2]);
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, noDelay: true });
const target = new URL(o.url);
const body = Buffer.from(JSON.stringify(o.body));
const options = {
  agent, host: target.hostname, port: target.port, path: target.pathname, method: 'POST',
  headers: { 'content-type': 'application/json', 'content-length': body.length, ...o.headers },
};
const now = () => Number(process.hrtime.bigint()) / 1e6;

const WORDS = 300; // of the answer to the first request that failed
const done = { ms: [], first_ms: [], gap_ms: [], bad: 0, lost: 0, why: {}, first_bad: null };

function ask(due, end) {
  const fail = (why, said = '') => {
    done.bad++;
    done.first_bad ??= said ? `${why}: ${said}` : why;
    done.why[why] = (done.why[why] || 0) + 1;
    end();
  };
  const request = http.request(options, (answer) => {
    let length = 0;
    let frames = 0;
    let text = '';
    let last = 0;
    answer.on('data', (part) => {
      length += part.length;
      if (answer.statusCode !== 200) {
        if (text.length < WORDS) text = (text + part.toString('utf8')).slice(0, WORDS);
        return;
      }
      if (!o.streams) return;
      const at = now();
      text += part.toString('latin1');
      const pieces = text.split('\n\n');
      text = pieces.pop();
      const spoken = pieces.filter((piece) => /"content":"[^"]/.test(piece)).length;
      if (spoken === 0) return;
      if (frames === 0) done.first_ms.push(at - due);
      else done.gap_ms.push(at - last);
      last = at;
      frames += spoken;
    });
    answer.on('error', () => fail('broken'));
    answer.on('end', () => {
      if (answer.statusCode !== 200 || length === 0) return fail(`status ${answer.statusCode}`, text);
      done.ms.push(now() - due);
      if (o.streams && frames < o.frames) done.lost++;
      end();
    });
  });
  request.on('error', (error) => fail(error.code || 'error'));
  request.end(body);
}

function report() {
  const of = (list) => {
    list.sort((a, b) => a - b);
    const at = (share) => (list.length ? list[Math.min(list.length - 1, Math.floor(list.length * share))] : null);
    return { n: list.length, p50: at(0.5), p99: at(0.99), max: at(1) };
  };
  console.log(JSON.stringify({ ms: of(done.ms), first_ms: of(done.first_ms), gap_ms: of(done.gap_ms), bad: done.bad, lost: done.lost, why: done.why, first_bad: done.first_bad, seconds: (now() - began) / 1000 }));
  process.exit(0);
}

let open = 0;
const began = now();
if (o.streams) {
  open = o.streams;
  // Spread over half a second: callers do not come in the same millisecond.
  for (let i = 0; i < o.streams; i++) setTimeout(() => ask(now(), () => --open || report()), (i * 500) / o.streams);
} else if (o.at_once) {
  const next = () => {
    if (now() - began > o.seconds * 1000) return --open || report();
    ask(now(), next);
  };
  open = o.at_once;
  for (let i = 0; i < o.at_once; i++) next();
} else {
  let n = 0;
  const total = o.rate * o.seconds;
  const tick = () => {
    const due = Math.min(total, Math.floor(((now() - began) / 1000) * o.rate));
    for (; n < due; n++) {
      open++;
      ask(began + (n * 1000) / o.rate, () => {
        if (--open === 0 && n === total) report();
      });
    }
    if (n < total) setImmediate(tick);
  };
  tick();
}
