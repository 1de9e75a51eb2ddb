// SPDX-License-Identifier: Apache-2.0
'use strict';
/* The answering side of one request, on HTTP/1.1 or HTTP/2 alike: heads, bodies, streams of frames, and the faults on the way.
 *
 * A stream is a list of frames { text, mark }: "open" what comes before content, "content", "close" what ends a part, "terminal" the event without which
 * a client must not call the answer whole. `form` is "sse", "ndjson" or "array".
 * When the client goes, waits end at once and the record says when that was seen. */
const { NONE } = require('./faults');
const { random } = require('./random');

const NGHTTP2_INTERNAL_ERROR = 2;
const SETTLE_MS = 20; // between the last bytes and a reset: the reset would overtake them

class Reply {
  constructor(world, res, record, fault) {
    this.world = world;
    this.res = res;
    this.record = record;
    this.fault = fault;
    this.gone = false;
    this.waking = null;
    this.cutting = false;
    this.h2 = Boolean(res.stream);
    res.on('close', () => this.closed());
    // A client that is gone is not our error; the close says what there is to say.
    res.on('error', () => {});
  }

  closed() {
    this.gone = true;
    if (this.waking) this.waking();
    if (this.record.end) return;
    const { stats } = this.world;
    const { stream } = this.res;
    if (this.cutting) stats.end(this.record, 'cut', this.cutting);
    else if (!this.h2) stats.end(this.record, this.res.writableFinished ? 'end' : 'cancelled', this.res.writableFinished ? undefined : 'close');
    // Node ends the writing side of a stream that was reset, so what was finished says nothing here.
    else if (this.res.writableEnded && stream && !stream.aborted && !stream.rstCode) stats.end(this.record, 'end');
    else stats.end(this.record, 'cancelled', stream && !stream.session?.destroyed ? `RST_STREAM code ${stream.rstCode}` : 'close');
  }

  /** Waits so long, or until the client is gone (for ever: Infinity). Returns whether the client is still there. */
  wait(ms) {
    if (this.gone || ms <= 0) return Promise.resolve(!this.gone);
    return new Promise((resolve) => {
      const timer = ms === Infinity ? null : setTimeout(done, ms);
      const self = this;
      function done() {
        if (timer) clearTimeout(timer);
        self.waking = null;
        resolve(!self.gone);
      }
      this.waking = done;
    });
  }

  head(status, headers) {
    this.world.stats.status(this.record, status);
    this.res.writeHead(status, headers);
  }

  /** Ends the connection before an answer began (HTTP/2: resets the stream, or for "fin" ends the connection). */
  drop(how) {
    this.cutting = `drop ${how}`;
    this.world.stats.fault(this.record, this.cutting);
    if (this.h2 && how === 'rst') this.res.stream.close(NGHTTP2_INTERNAL_ERROR);
    else this.world.cut(this.h2 ? this.res.stream.session?.socket : this.res.socket, how);
  }

  /** Ends the connection (HTTP/2: the stream, or for "fin" the connection) in an answer, as a fault says. */
  async cut(how) {
    this.cutting = how || 'rst';
    this.world.stats.fault(this.record, `cut ${this.cutting}`);
    if (how === 'end') {
      this.res.end();
      return;
    }
    await this.wait(SETTLE_MS);
    if (this.gone) return;
    const { stream } = this.res;
    if (this.h2 && how !== 'fin') stream.close(NGHTTP2_INTERNAL_ERROR);
    else if (this.h2) this.world.cut(stream.session && stream.session.socket, 'fin');
    else this.world.cut(this.res.socket, how || 'rst');
    this.world.stats.end(this.record, 'cut', this.cutting);
  }

  /** Writes text or bytes, in pieces when the fault says so, and waits for a slow reader. Returns whether the client is still there. */
  async put(what) {
    const { fault } = this;
    if (fault.split) {
      const bytes = Buffer.from(what);
      this.random ||= random(fault.seed || 7);
      for (let at = 0; at < bytes.length && !this.gone; ) {
        const n = 1 + Math.floor(this.random() * (fault.split === true ? 8 : fault.split));
        await this.flush(bytes.subarray(at, at + n));
        at += n;
      }
      return !this.gone;
    }
    if (this.gone) return false;
    if (!this.res.write(what)) await this.drained();
    return !this.gone;
  }

  flush(bytes) {
    return new Promise((resolve) => {
      if (this.gone) return resolve();
      this.waking = resolve;
      return this.res.write(bytes, () => resolve());
    });
  }

  drained() {
    return new Promise((resolve) => {
      if (this.gone) return resolve();
      this.waking = resolve;
      return this.res.once('drain', resolve);
    });
  }

  /** A whole body of JSON or bytes. */
  async whole(status, headers, body) {
    const { fault, res } = this;
    // As text the body leaves in one piece with its head.
    if (fault === NONE) return this.plain(status, { ...headers, 'content-length': Buffer.byteLength(body) }, body);
    const bytes = Buffer.from(body);
    if (fault.empty === true) return this.plain(status, { ...headers, 'content-length': 0 }, '');
    if (fault.broken !== undefined) return this.plain(status, { ...headers, 'content-length': bytes.length >> 1 }, bytes.subarray(0, bytes.length >> 1));
    if (fault.endless) return this.endlessBody(status, headers, bytes);
    const breaks = fault.cut !== undefined || fault.stall !== undefined || fault.split || fault.first_ms;
    if (!breaks) return this.plain(status, { ...headers, 'content-length': bytes.length }, bytes);
    this.head(status, fault.how === 'end' ? headers : { ...headers, 'content-length': bytes.length });
    if (fault.first_ms) {
      res.flushHeaders?.();
      if (!(await this.wait(this.world.faults.ms(fault.first_ms)))) return undefined;
    }
    if (fault.cut === undefined && fault.stall === undefined) {
      if (await this.put(bytes)) res.end();
      return undefined;
    }
    if (!(await this.put(bytes.subarray(0, bytes.length >> 1)))) return undefined;
    if (fault.cut !== undefined) return this.cut(fault.how);
    this.world.stats.fault(this.record, 'stall');
    if (!(await this.wait(fault.stall_ms ? this.world.faults.ms(fault.stall_ms) : Infinity))) return undefined;
    if (await this.put(bytes.subarray(bytes.length >> 1))) res.end();
    return undefined;
  }

  plain(status, headers, body) {
    this.head(status, headers);
    this.res.end(body);
  }

  /** JSON that goes on with spaces for ever, after the first half of itself. */
  async endlessBody(status, headers, bytes) {
    this.world.stats.fault(this.record, 'endless');
    this.head(status, headers);
    await this.put(bytes.subarray(0, bytes.length - 1));
    const spaces = Buffer.alloc(1024, ' ');
    while (await this.put(spaces)) await this.wait(this.world.faults.ms(this.fault.gap_ms) || 1);
  }

  /** A stream. `plan`: { form, frames, more(i) -> text of one more of content, error(status, fault, sent) -> text of an error event }. */
  stream(headers, plan) {
    this.record.stream = true;
    const { fault } = this;
    if (!slow(fault)) {
      this.head(200, headers);
      let text = '';
      for (const frame of plan.frames) text += frame.text;
      this.record.frames = plan.frames.length;
      this.res.end(text);
      return undefined;
    }
    if (fault.empty === true) return this.plain(200, headers, '');
    return new Flow(this, plan).run(headers);
  }
}

const SLOW = ['first_ms', 'gap_ms', 'stall', 'cut', 'no_end', 'error', 'broken', 'endless', 'split', 'merge', 'crlf', 'comments', 'trailing', 'unended', 'single', 'empty'];
const slow = (fault) => SLOW.some((name) => fault[name] !== undefined);

/** One stream with its faults. */
class Flow {
  constructor(reply, plan) {
    this.reply = reply;
    this.plan = plan;
    this.fault = reply.fault;
    this.kept = ''; // the first of two events that go in one write
    this.turn = 0; // frames of content so far
    this.due = 0;
  }

  form(text) {
    const { fault, plan } = this;
    if (plan.form !== 'sse') return text;
    let out = text;
    if (fault.trailing) out = out.replace(/((?:\r?\n){2})$/, '   $1');
    if (fault.comments) out = `: ping\n\n${out}`;
    if (fault.crlf) out = out.replace(/\r?\n/g, '\r\n');
    return out;
  }

  async send(text) {
    let out = this.form(text);
    if (this.fault.merge) {
      if (!this.kept) {
        this.kept = out;
        return !this.reply.gone;
      }
      out = this.kept + out;
      this.kept = '';
    }
    this.reply.record.frames++;
    return this.reply.put(out);
  }

  async settle() {
    const out = this.kept;
    this.kept = '';
    return out ? this.reply.put(out) : !this.reply.gone;
  }

  /** Waits until the next of content is due: a schedule, so that late timers do not add up. */
  async pace() {
    const { fault, reply } = this;
    const { faults } = reply.world;
    const now = performance.now();
    if (this.turn === 0) {
      const first = faults.ms(fault.first_ms);
      this.due = now + first;
      if (first) await this.settle();
    } else if (fault.gap_ms) {
      this.due = Math.max(this.due + faults.ms(fault.gap_ms), now - 1000);
      if (this.due > now) await this.settle();
    }
    return this.due > now ? reply.wait(this.due - now) : !reply.gone;
  }

  /** What the fault does at this frame: true when the stream is over. */
  async struck(frame, last) {
    const { fault, reply, plan } = this;
    const here = (n) => n !== undefined && (n === true ? this.turn === 1 || last : n === this.turn || (last && n > this.turn));
    if (!this.stalled && here(fault.stall)) {
      this.stalled = true;
      reply.world.stats.fault(reply.record, 'stall');
      await this.settle();
      if (!(await reply.wait(fault.stall_ms ? reply.world.faults.ms(fault.stall_ms) : Infinity))) return true;
    }
    if (here(fault.cut)) {
      await this.settle();
      const bytes = Buffer.from(this.form(frame.text));
      if (await reply.put(bytes.subarray(0, Math.max(1, bytes.length >> 1)))) await reply.cut(fault.how);
      return true;
    }
    if (here(fault.error)) {
      reply.world.stats.fault(reply.record, 'error');
      await this.settle();
      // What is no event can be told from the event before it only when it comes apart.
      if (fault.error_bare) await reply.wait(SETTLE_MS);
      if (await reply.put(this.form(plan.error(fault.error_status, fault, reply.record.frames)))) reply.res.end();
      return true;
    }
    return false;
  }

  broken(frame) {
    const { fault } = this;
    if (this.broke || fault.broken === undefined || (fault.broken !== this.turn && !(fault.broken === true && this.turn === 1))) return frame.text;
    this.broke = true;
    this.reply.world.stats.fault(this.reply.record, 'broken');
    const end = this.plan.form === 'sse' ? '\n\n' : '\n';
    const body = frame.text.trimEnd();
    return body.slice(0, body.length - Math.max(2, body.length >> 2)) + end;
  }

  async run(headers) {
    const { reply, plan, fault } = this;
    reply.head(200, headers);
    reply.res.flushHeaders?.();
    let before = true; // no terminal event yet
    let ends = 0; // terminal events so far: of some APIs the usage is one of them
    for (const [i, frame] of plan.frames.entries()) {
      const terminal = frame.mark === 'terminal';
      if (frame.mark === 'content' && !(await this.pace())) return;
      if ((frame.mark === 'content' || (terminal && before)) && (await this.struck(frame, terminal))) return;
      if (terminal && before) {
        before = false;
        if (fault.endless && !(await this.endless())) return;
      }
      if (terminal && fault.no_end !== undefined && ends++ === (fault.no_end === true ? 0 : fault.no_end)) break;
      let text = frame.mark === 'content' ? this.broken(frame) : frame.text;
      if (fault.unended && i === plan.frames.length - 1) text = text.replace(/[\r\n]+$/, '');
      if (!(await this.send(text))) return;
      if (frame.mark === 'content') this.turn++;
    }
    if (fault.no_end) reply.world.stats.fault(reply.record, 'no_end');
    if (await this.settle()) reply.res.end();
  }

  async endless() {
    const { reply, plan, fault } = this;
    reply.world.stats.fault(reply.record, 'endless');
    for (let i = 0; !reply.gone; i++) {
      if (!(await this.send(plan.more(i)))) return false;
      if (!(await reply.wait(reply.world.faults.ms(fault.gap_ms) || 1))) return false;
    }
    return false;
  }
}

module.exports = { Reply };
