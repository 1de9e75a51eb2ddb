// SPDX-License-Identifier: Apache-2.0
'use strict';
/* One set of fakes: its listeners, its state, and the way of a request through them:
 *
 *   path -> fault prefix, provider, route -> body -> faults -> key -> route's own reading -> limits -> answer -> faults of the writing
 *
 * A provider is { name, routes(method, path, headers, prefixed) -> route | null, key(headers, query) -> text or null, needsKey, modelOf(route, body) -> text,
 * failure(status, Failure, call) -> { status (when it is another), headers, body }, headers(call, figures) -> headers of every answer }, and a route is { name, params,
 * run(call) -> { status, headers, json | bytes } | { headers, plan } }, where both may carry usage: { input, cached, output }. */
const { Faults, parse, NONE } = require('./faults');
const { Failure, retryHeaders } = require('./failure');
const { Limits } = require('./limits');
const { Listener } = require('./listener');
const { PromptCache } = require('./prompt_cache');
const { Reply } = require('./reply');
const { Scripts } = require('./scripts');
const { Stats } = require('./stats');
const { control } = require('./control');
const { hash } = require('./random');
const { answer } = require('./mind');

const PROVIDERS = [require('./claude'), require('./openai'), require('./gemini'), require('./ollama')];
const MOST_BYTES = 32 << 20;
const PREFIX = '/_with/';

class Call {
  constructor(world, provider, route, req, query, bytes) {
    Object.assign(this, { world, provider, route, headers: req.headers, method: req.method, query, bytes, body: undefined, model: '', key: '', path: '', fault: NONE, grant: null });
  }

  text() {
    return this.bytes ? this.bytes.toString() : '';
  }

  /** An id like the provider's: prefix and some letters, never the same twice in one world. */
  id(prefix, length = 24) {
    const n = ++this.world.ids;
    let out = '';
    for (let i = 0; out.length < length; i++) out += hash(`${n}.${i}`).toString(36);
    return prefix + out.slice(0, length);
  }

  /** Takes from the rate limits; what a route calls once it knows its input. */
  take(input) {
    this.grant = this.world.limits.take(this.provider.name, this.key, this.model, input);
  }

  /** What a script or the mind says to a request (see mind.js), unless the fault is an answer of no content. */
  answer(request) {
    if (this.fault.empty === 'text') return { parts: [], reason: 'end', output: 0, reasoning: 0, usage: {} };
    return answer(request, this.script, (prefix) => this.id(`${prefix}_`));
  }
}

function collect(req) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    req.on('data', (chunk) => {
      size += chunk.length;
      if (size <= MOST_BYTES) chunks.push(chunk);
    });
    req.on('end', () => resolve(size > MOST_BYTES ? null : chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    req.on('aborted', () => reject(new Error('aborted')));
    req.on('error', reject);
  });
}

function cutPath(path) {
  let spec = '';
  while (path.startsWith(PREFIX)) {
    const end = path.indexOf('/', PREFIX.length);
    spec += (spec ? ',' : '') + decodeURIComponent(path.slice(PREFIX.length, end < 0 ? path.length : end));
    path = end < 0 ? '/' : path.slice(end);
  }
  return [spec, path];
}

class World {
  /** options: { host, http: port, tls: { port, cert, key, wrong_cert, wrong_key }, wrong: port (TLS with the wrong certificate), control: port, streams } */
  constructor(options = {}) {
    this.options = options;
    this.ids = 0;
    this.stats = new Stats();
    this.listeners = {};
    this.reset();
    const handle = (req, res) => this.handle(req, res);
    const host = options.host || '127.0.0.1';
    const add = (name, more) => (this.listeners[name] = new Listener({ host, handle, stats: this.stats, streams: options.streams, ...more }));
    if (options.http !== undefined) add('http', { port: options.http });
    if (options.tls) add('tls', { port: options.tls.port, tls: options.tls, http2: options.http2 });
    if (options.tls?.wrong_cert && options.wrong !== undefined) {
      add('wrong', { port: options.wrong, tls: { cert: options.tls.wrong_cert, key: options.tls.wrong_key } });
    }
    if (options.control !== undefined) add('control', { port: options.control });
  }

  reset() {
    this.faults = new Faults();
    this.scripts = new Scripts();
    this.limits = new Limits();
    this.cache = new PromptCache();
    this.memory = new Map(); // what providers keep: stored responses, loaded models
    this.stats.reset();
  }

  async open() {
    for (const listener of Object.values(this.listeners)) await listener.open();
    return this.ports();
  }

  async close() {
    await Promise.all(Object.values(this.listeners).map((listener) => listener.close()));
  }

  ports() {
    return Object.fromEntries(Object.entries(this.listeners).map(([name, listener]) => [name, listener.port]));
  }

  /** Ends a connection: "rst" at once, "fin" after what was written. */
  cut(socket, how) {
    if (!socket || socket.destroyed) return;
    const listener = Object.values(this.listeners).find((one) => one.port === socket.localPort);
    const raw = listener ? listener.raw(socket) : socket;
    if (how !== 'rst') {
      raw.end();
      raw.destroySoon();
    } else if (typeof raw.resetAndDestroy === 'function') raw.resetAndDestroy();
    else raw.destroy();
  }

  handle(req, res) {
    res.on('error', () => {});
    this.serve(req, res).catch((error) => {
      if (error.message === 'aborted' || res.destroyed || req.aborted) return;
      process.stderr.write(`${error.stack}\n`);
      if (!res.headersSent) res.writeHead(500, { 'content-type': 'text/plain' });
      res.end(`the fake itself failed: ${error.message}\n`);
    });
  }

  async serve(req, res) {
    const mark = req.url.indexOf('?');
    const [spec, path] = cutPath(mark < 0 ? req.url : req.url.slice(0, mark));
    const query = new URLSearchParams(mark < 0 ? '' : req.url.slice(mark + 1));
    if (path.startsWith('/_fake/')) return this.controlled(req, res, path, query);

    let provider = PROVIDERS.find((one) => path.startsWith(`/${one.name}/`));
    const inner = provider ? path.slice(provider.name.length + 1) : path;
    provider ||= PROVIDERS.find((one) => one.routes(req.method, inner, req.headers)) || PROVIDERS[1];
    const route = provider.routes(req.method, inner, req.headers, inner !== path);

    const bytes = req.method === 'GET' ? Buffer.alloc(0) : await collect(req);
    const call = new Call(this, provider, route, req, query, bytes);
    call.key = provider.key(req.headers, query) || '';
    call.path = path;
    let wrong = null;
    if (bytes === null) wrong = new Failure(413, 'Request exceeds the maximum size');
    else if (!route) wrong = new Failure(404, `Not found: ${req.method} ${inner}`, { type: 'unknown_url' });
    else {
      try {
        call.body = route.read ? route.read(bytes, req.headers) : bytes.length ? JSON.parse(bytes) : undefined;
      } catch (error) {
        wrong = error instanceof Failure ? error : new Failure(400, `The request body is not valid JSON: ${error.message}`, { invalid_json: true });
      }
      if (!wrong && !route.read && req.method === 'POST' && (call.body === null || typeof call.body !== 'object' || Array.isArray(call.body))) {
        wrong = new Failure(400, 'The request body must be a JSON object', { invalid_json: true });
      }
    }
    let model = (!wrong && provider.modelOf(route, call.body)) || '';
    if (typeof model !== 'string') {
      wrong = new Failure(400, "Invalid type for 'model': expected a string.", { param: 'model', code: 'invalid_type' });
      model = '';
    }
    const at = model.indexOf('@');
    const suffix = at < 0 ? '' : model.slice(at + 1);
    call.model = at < 0 ? model : model.slice(0, at);

    const record = this.stats.begin(provider.name, call.key, call.model, inner, req.httpVersionMajor === 2 ? 'h2' : 'http/1.1');
    const header = req.headers['x-fake-fault'];
    call.script = wrong ? null : this.scripts.take(call);
    const ruled = this.faults.rules.length ? this.faults.ruled(call) : NONE;
    call.fault = spec || suffix || header || ruled !== NONE || call.script?.fault
      ? this.faults.chance({ ...ruled, ...(header ? parse(header) : NONE), ...(spec ? parse(spec) : NONE), ...(suffix ? parse(suffix) : NONE), ...call.script?.fault })
      : NONE;
    this.stats.remember({ method: req.method, path: req.url, protocol: record.protocol, headers: req.headers, body: call.body });
    const reply = new Reply(this, res, record, call.fault);
    try {
      await this.answer(call, reply, wrong);
    } finally {
      this.limits.release(call.grant);
    }
  }

  async answer(call, reply, wrong) {
    const { fault, provider } = call;
    if (fault.head_ms !== undefined && !(await reply.wait(this.faults.ms(fault.head_ms)))) return undefined;
    if (fault.drop) return reply.drop(fault.drop);
    let result;
    try {
      if (fault.status && fault.status !== 200) {
        this.stats.fault(reply.record, `status ${fault.status}`);
        throw new Failure(fault.status, fault.text || '', { ...fault, type: fault.type, code: fault.code, ...retryOf(fault) });
      }
      if (wrong) throw wrong;
      if (provider.needsKey) checkKey(call.key);
      result = run(call);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const figures = error.more.scope ? this.limits.figures(error.more.scope) : null;
      const common = provider.headers(call, figures);
      const said = provider.failure(error.status, error, call);
      const headers = { ...common, ...retryHeaders(error.more), ...said.headers };
      await reply.whole(said.status || error.status, headers, said.body);
      return;
    }
    const figures = call.grant ? this.limits.figures(call.grant.scope) : null;
    const headers = { ...provider.headers(call, figures), ...result.headers };
    if (result.usage) {
      this.limits.settle(call.grant, result.usage.output || 0);
      this.stats.usage(reply.record, result.usage.input || 0, result.usage.cached || 0, result.usage.output || 0);
    }
    if (result.plan) await reply.stream(headers, result.plan);
    else if (result.bytes) await reply.whole(result.status || 200, headers, result.bytes);
    else {
      headers['content-type'] ||= 'application/json';
      await reply.whole(result.status || 200, headers, JSON.stringify(result.json));
    }
  }

  async controlled(req, res, path, query) {
    let said;
    try {
      const bytes = req.method === 'GET' ? Buffer.alloc(0) : await collect(req);
      said = await control(this, req.method, path, query, bytes.length ? JSON.parse(bytes) : {});
    } catch (error) {
      said = [400, { error: error.message }];
    }
    res.writeHead(said[0], { 'content-type': 'application/json' });
    res.end(JSON.stringify(said[1]));
  }
}

/** Runs a route. What has a shape that no check names, deep in a body, is a bad request. */
function run(call) {
  try {
    return call.route.run(call);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Failure(400, `The request body has a wrong shape: ${error.message}`, { invalid_json: true });
  }
}

function retryOf(fault) {
  const more = {};
  if (fault.retry_after !== undefined) more.retry_after_s = fault.retry_after;
  if (fault.retry_after_ms !== undefined) more.retry_after_ms = fault.retry_after_ms;
  if (fault.retry_after_date !== undefined) more.retry_after_date_s = fault.retry_after_date;
  if (fault.should_retry !== undefined) more.should_retry = fault.should_retry;
  if (fault.spend_limit) more.spend_limit = true;
  return more;
}

/* Any key is a good one, but these: none, wrong*, forbidden*, broke* (its money is spent). */
function checkKey(key) {
  if (!key) throw new Failure(401, 'No API key was given.', { no_key: true });
  if (key.startsWith('wrong')) throw new Failure(401, 'The API key is not valid.', { code: 'invalid_api_key' });
  if (key.startsWith('forbidden')) throw new Failure(403, 'The API key may not use this.');
  if (key.startsWith('broke')) throw new Failure(429, 'You exceeded your current quota, please check your plan and billing details.', { spend_limit: true, code: 'insufficient_quota' });
}

module.exports = { World };
