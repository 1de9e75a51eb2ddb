// SPDX-License-Identifier: Apache-2.0
'use strict';
/* What shall go wrong with a request. The same words in four places, so that they reach a fake through a gateway too:
 *   a header            x-fake-fault: status=429,retry_after=2
 *   a path prefix       /_with/gap_ms=20,cut=3/openai/v1/chat/completions
 *   the model's name    gpt-5.4-mini@status=503
 *   the control state   POST /_fake/faults { match: { provider, key, model, path, contains, last }, fault: "..." or {...}, times, skip }
 *
 * Before the answer
 *   head_ms=MS or A-B    waits before the head                     delay_ms the same
 *   status=N             this status, with code=, type=, text=, retry_after=S, retry_after_ms=MS, retry_after_date=S, spend_limit, should_retry=true|false
 *   drop=rst|fin         the connection ends without an answer (HTTP/2: rst resets the stream alone)
 *   chaos=RATE           with this chance one of kinds=A+B+...: statuses, rst, fin, cut, no_end, stall, broken, error; if none are said, those of KINDS
 * In the answer. N counts what carries content (deltas, parts), from 0; whole answers take it as yes
 *   first_ms=MS          waits after the head, before the first content
 *   gap_ms=MS or A-B     waits between two of content
 *   stall=N  stall_ms=MS falls silent before the Nth; for ever unless stall_ms is said
 *   cut=N  how=rst|fin|end   breaks off in the middle of the Nth: reset, closed, or ended in good form
 *   no_end  no_end=N     all of the content, then the end without the terminal events (Claude, Chat and array forms have several: but for the first N)
 *   error=N  error_status=N  an error event in place of the Nth, as that status (default 529, 500 or 503); error_bare: without framing (Gemini);
 *                            error_as=failed: a response.failed (Responses)
 *   broken=N             the Nth is half its JSON
 *   empty  empty=text    a body of no bytes; an answer of no content
 *   endless              content that never ends
 * How it is written
 *   split=N  seed=N      pieces of 1 to N bytes, each a write of its own       merge                two events a write
 *   crlf  comments       line ends, and `: ping` lines, of SSE                 pings                Claude's ping between events
 *   trailing             spaces after the JSON of an event                     unended              no blank line after the last event
 *   fragment=N           arguments in fragments of N characters (else 5)       interleave: parallel calls' fragments mixed
 */
const { random } = require('./random');

const NONE = Object.freeze({});
const NUMBER = /^-?\d+(\.\d+)?$/;
const RANGE = /^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/;
const parsed = new Map();

function valueOf(text) {
  if (text === undefined || text === '' || text === 'true') return true;
  if (text === 'false') return false;
  if (NUMBER.test(text)) return Number(text);
  const range = RANGE.exec(text);
  return range ? [Number(range[1]), Number(range[2])] : text;
}

/** Reads "name=value,name" into { name: value }. */
function parse(text) {
  let fault = parsed.get(text);
  if (fault) return fault;
  fault = {};
  for (const word of text.split(',')) {
    if (!word) continue;
    const at = word.indexOf('=');
    const name = (at < 0 ? word : word.slice(0, at)).trim();
    fault[name === 'delay_ms' ? 'head_ms' : name] = valueOf(at < 0 ? undefined : word.slice(at + 1).trim());
  }
  Object.freeze(fault);
  if (parsed.size > 5000) parsed.clear();
  parsed.set(text, fault);
  return fault;
}

const KINDS = ['500', '502', '503', '504', '529', '429', '408', 'rst', 'cut', 'no_end'];
const CHAOS = {
  rst: { drop: 'rst' }, fin: { drop: 'fin' }, cut: { cut: 1, how: 'rst' }, no_end: { no_end: true }, stall: { stall: 1 }, broken: { broken: 1 }, error: { error: 1 },
};

class Faults {
  constructor() {
    this.rules = [];
    this.seed(1);
  }

  seed(n) {
    this.random = random(n);
  }

  add(rule) {
    const fault = typeof rule.fault === 'string' ? parse(rule.fault) : rule.fault || NONE;
    this.rules.push({ match: rule.match || {}, fault, left: rule.times ?? Infinity, skip: rule.skip || 0, met: 0 });
  }

  clear() {
    this.rules = [];
  }

  /** What the rules say of a request; `call` holds provider, key, model, path and text. The first rule that fits counts. */
  ruled(call) {
    for (const rule of this.rules) {
      if (rule.left <= 0 || !matches(rule.match, call)) continue;
      rule.met++;
      if (rule.met <= rule.skip) return NONE;
      rule.left--;
      return rule.fault;
    }
    return NONE;
  }

  /** A number of milliseconds from MS or [A, B]. */
  ms(value) {
    return Array.isArray(value) ? value[0] + this.random() * (value[1] - value[0]) : Number(value) || 0;
  }

  /** Throws the dice of `chaos`: the fault with what fell added, or as it was. */
  chance(fault) {
    if (fault.chaos === undefined || this.random() >= fault.chaos) return fault;
    const kinds = Array.isArray(fault.kinds) ? fault.kinds : fault.kinds ? String(fault.kinds).split('+') : KINDS;
    const kind = String(kinds[Math.floor(this.random() * kinds.length)]);
    return { ...fault, ...(CHAOS[kind] || { status: Number(kind) }) };
  }
}

const OWN = new Set(['assistant', 'model']);
const GO_ON = /\b(continue|go on|carry on)\b/i;

/** What a model was told last, as JSON: what it has said itself, and that it is to go on with that, does not count. */
function lastOf(body) {
  const turns = body?.messages || body?.contents || body?.input;
  if (!Array.isArray(turns)) return '';
  const told = turns.filter((turn) => !OWN.has(turn.role) && turn.type !== 'function_call').map((turn) => JSON.stringify(turn));
  return told.findLast((text) => !GO_ON.test(text)) || '';
}

/** Whether a call is meant: provider, key and model the same (model and path: or begin so, with * at the end), its text holding `contains`, and what was told
 * last holding `last`. */
function matches(match, call) {
  for (const name of ['provider', 'key', 'model', 'path']) {
    const want = match[name];
    if (want === undefined) continue;
    const have = call[name] || '';
    if (typeof want === 'string' && want.endsWith('*') ? !have.startsWith(want.slice(0, -1)) : have !== want) return false;
  }
  if (match.last !== undefined && !lastOf(call.body).includes(match.last)) return false;
  return match.contains === undefined || (call.text() || '').includes(match.contains);
}

module.exports = { Faults, parse, matches, NONE };
