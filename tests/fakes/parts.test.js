// SPDX-License-Identifier: Apache-2.0
'use strict';
/* The parts that need no server: tokens, schemas, vectors, buckets, faults, tones. */
const assert = require('assert');
const test = require('node:test');
const { pieces, count } = require('./tokens');
const { satisfying, strictBreach } = require('./schema');
const { matching } = require('./pattern');
const { embed, base64 } = require('./vectors');
const { Limits, goDuration } = require('./limits');
const { Faults, parse } = require('./faults');
const { Scripts } = require('./scripts');
const { PromptCache } = require('./prompt_cache');
const { fragments, mixed } = require('./sse');
const { speak, hear } = require('./tones');
const voices = require('./voices');
const { wav, readWav, mp3, readMp3 } = require('./sound_file');
const { answer } = require('./mind');
const { Failure } = require('./failure');

test('the pieces of a text are the text again', () => {
  for (const text of ['', ' ', 'hello', '  two  spaces ', 'Grüße 👋🏽, ça va?\n\n', 'a\u0301b\ud800', '1 2 3', 'x'.repeat(1000)]) {
    assert.equal(pieces(text).join(''), text);
    assert.equal(count(text), pieces(text).length);
  }
});

test('a pattern is matched, or said to be unknown', () => {
  for (const pattern of ['^[A-Z]{2}\\d{4}$', '^\\+?[1-9]\\d{6,14}$', '^(red|green)-\\w+$', '^[^@]+@[^@]+\\.[a-z]{2,}$', '^(?:ab){2}c?$']) assert.match(matching(pattern), new RegExp(pattern));
  assert.equal(matching('(?=a)b'), null);
  assert.equal(matching('(a)\\1'), null);
});

test('values satisfy their schemas', () => {
  const Ajv = require('ajv');
  const ajv = new (Ajv.default || Ajv)({ strict: false });
  require('ajv-formats')(ajv);
  const tree = { $defs: { node: { type: 'object', properties: { name: { type: 'string' }, children: { type: 'array', items: { $ref: '#/$defs/node' } } }, required: ['name', 'children'] } }, $ref: '#/$defs/node' };
  for (const schema of [
    { type: 'string', minLength: 40, maxLength: 45 }, { type: 'string', pattern: '^[A-Z]{3}-\\d{2}$' }, { type: 'string', format: 'date-time' }, { type: 'string', format: 'email' },
    { type: 'integer', minimum: 100, maximum: 110 }, { type: 'integer', exclusiveMinimum: 4, multipleOf: 5 }, { type: 'number', exclusiveMinimum: 0, maximum: 1 }, { type: 'integer', maximum: -3 },
    { type: ['null', 'integer'] }, { enum: [3, 'x'] }, { const: { a: 1 } }, { anyOf: [{ type: 'null' }, { type: 'boolean' }] }, { type: 'array', items: { type: 'integer' }, minItems: 3 },
    { type: 'array', items: { type: 'string' }, maxItems: 0 }, { allOf: [{ type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] }, { properties: { b: { type: 'string' } }, required: ['b'] }] },
    { type: 'object', required: ['x'] }, tree,
  ]) {
    for (const text of ['', 'order 1234 is late', 'no']) {
      const value = satisfying(schema, text);
      assert.ok(ajv.validate(schema, value), `${JSON.stringify(schema)} ${JSON.stringify(value)} ${ajv.errorsText()}`);
    }
  }
});

test('a schema that is not strict is told why', () => {
  const inner = { type: 'object', properties: { a: { type: 'string' } }, required: ['a'], additionalProperties: false };
  assert.equal(strictBreach({ ...inner, properties: { a: inner } }), null);
  assert.match(strictBreach({ ...inner, required: [] }), /Missing 'a'/);
  assert.match(strictBreach({ ...inner, properties: { a: { type: 'array', items: { type: 'object' } } } }), /additionalProperties/);
});

test('vectors are of length one, the same each time, and near for near texts', () => {
  const cosine = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const one = embed('When does the shop open?', 512);
  assert.deepEqual(embed('When does the shop open?', 512), one);
  assert.ok(Math.abs(cosine(one, one) - 1) < 1e-6);
  assert.ok(cosine(one, embed('when is the shop open', 512)) > 0.6);
  assert.ok(Math.abs(cosine(one, embed('my invoice was wrong last month', 512))) < 0.2);
  assert.ok(embed('', 8).some((x) => x !== 0));
  assert.equal(Buffer.from(base64([0.5, -1]), 'base64').readFloatLE(4), -1);
});

test('a bucket fills with time, by key and model, and goes into debt by output', () => {
  let now = 0;
  const limits = new Limits(() => now);
  limits.set([{ model: 'm', requests_per_minute: 2, output_tokens_per_minute: 60 }]);
  const take = (key = 'k', model = 'm') => limits.take('p', key, model, 10);
  take();
  take();
  const refused = (run) => {
    try {
      run();
    } catch (error) {
      assert.ok(error instanceof Failure);
      return error.more.retry_after_s;
    }
    throw new Error('nothing was refused');
  };
  assert.equal(refused(take), 30);
  take('other');
  assert.equal(take('k', 'free'), null);
  now += 30000;
  limits.settle(take(), 120);
  now += 30000; // a request is there again, but output is 60 below zero less half a minute's 30
  assert.equal(refused(take), 31);
  now += 31000;
  take();
});

test('what runs at a time is limited, and given back', () => {
  const limits = new Limits();
  limits.set([{ concurrency: 1, queue: 'full' }]);
  const grant = limits.take('p', 'k', 'm', 1);
  assert.throws(() => limits.take('p', 'k', 'm', 1), (error) => error.status === 503);
  limits.release(grant);
  limits.release(grant);
  limits.take('p', 'k', 'm', 1);
  assert.throws(() => limits.take('p', 'k', 'm', 1));
});

test('the limit of a month does not pass by waiting', () => {
  let now = 0;
  const limits = new Limits(() => now);
  limits.set([{ spend_tokens: 15 }]);
  limits.settle(limits.take('p', 'k', 'm', 10), 10);
  now += 1e9;
  assert.throws(() => limits.take('p', 'k', 'm', 1), (error) => error.more.spend_limit && error.more.retry_after_s === undefined);
});

test('durations are as Go prints them', () => {
  assert.deepEqual([12, 999.2, 1500, 90500, 60000].map(goDuration), ['12ms', '1000ms', '1.5s', '1m30.5s', '1m0s']);
});

test('faults are read from text, and rules count', () => {
  assert.deepEqual({ ...parse('status=429,retry_after=2.5,gap_ms=5-30,how=fin,no_end') }, { status: 429, retry_after: 2.5, gap_ms: [5, 30], how: 'fin', no_end: true });
  const faults = new Faults();
  faults.add({ match: { model: 'a*' }, fault: 'cut=1', skip: 1, times: 2 });
  const call = { provider: 'p', key: 'k', model: 'abc', path: '/', text: () => 'hello' };
  assert.deepEqual([1, 2, 3, 4].map(() => faults.ruled(call).cut), [undefined, 1, 1, undefined]);
  assert.equal(faults.ruled({ ...call, model: 'b' }).cut, undefined);
});

test('chance keeps its rate, and is the same from the same seed', () => {
  const run = () => {
    const faults = new Faults();
    faults.seed(5);
    return Array.from({ length: 1000 }, () => faults.chance({ chaos: 0.1, kinds: '503+rst' })).map((fault) => fault.status || fault.drop || 0);
  };
  const first = run();
  assert.deepEqual(run(), first);
  const struck = first.filter(Boolean);
  assert.ok(struck.length > 70 && struck.length < 130 && struck.includes('rst') && struck.includes(503), String(struck.length));
});

test('scripts are used up, or begin again', () => {
  const scripts = new Scripts();
  const call = { key: 'k', text: () => '' };
  scripts.add({ answers: [{ text: 'a' }, { text: 'b' }] });
  assert.deepEqual([1, 2, 3].map(() => scripts.take(call)?.text), ['a', 'b', undefined]);
  scripts.add({ answers: [{ text: 'c' }], repeat: true });
  assert.deepEqual([1, 2].map(() => scripts.take(call).text), ['c', 'c']);
});

test('a prompt is found cached as far as it is the same', () => {
  const cache = new PromptCache();
  const words = (n, from = 0) => Array.from({ length: n }, (_, i) => `w${from + i}`).join(' ');
  const prompt = [words(2000), 'question one'];
  assert.equal(cache.automatic('s', prompt, 2002).cached, 0);
  assert.equal(cache.automatic('s', prompt, 2002).cached, 1920);
  assert.equal(cache.automatic('s', [words(1500), words(500, 9000)], 2000).cached, 1408);
  assert.equal(cache.automatic('t', prompt, 2002).cached, 0);
  assert.equal(cache.automatic('s', ['short'], 1).cached, 0);
});

test('fragments join to their text and never halve a character', () => {
  for (const n of [1, 2, 5, 100]) assert.equal(fragments('{"a":"👋é"}', n).join(''), '{"a":"👋é"}');
  assert.ok(fragments('👋👋', 1).every((one) => one === '👋'));
  assert.deepEqual(mixed([['a', 'b'], ['c']], true), ['a', 'c', 'b']);
});

test('speech is heard again at 24 and at 8 kHz', () => {
  const text = 'Order 1234: größer?';
  for (const rate of [24000, 8000]) {
    const { samples, seconds } = readWav(wav(speak(text, rate), rate));
    assert.equal(hear(samples, rate), text);
    assert.ok(Math.abs(seconds - (0.06 + Buffer.byteLength(text) * 0.06)) < 0.02);
  }
  assert.equal(hear(new Float64Array(8000).map(() => Math.random() * 2000 - 1000), 8000), null);
  assert.equal(readMp3(mp3(text, 2)).text, text);
});

test('voices that were told of are heard in their order, moved, cut off, and over noise, and no others', () => {
  const voice = (text, seed, seconds) => {
    const samples = Int16Array.from({ length: 8000 * seconds }, (_, i) => 6000 * Math.sin(i * (0.1 + seed / 10) + 3 * Math.sin((i * seed) / 900)));
    return { text, samples, pcm: Buffer.from(samples.buffer).toString('base64') };
  };
  const one = voice('tell me about it', 1, 1);
  const two = voice('yes', 2, 0.5);
  const quiet = (n) => new Array(n).fill(3);
  voices.learn([one, two]);
  const noisy = (samples) => Array.from(samples, (sample, i) => sample + ((i * 7919) % 200) - 100);
  assert.equal(voices.hear([...quiet(4001), ...noisy(one.samples), ...quiet(2000), ...noisy(two.samples)], 8000), 'tell me about it yes');
  assert.equal(voices.hear([...quiet(100), ...one.samples.subarray(0, 6200)], 8000), 'tell me about');
  assert.equal(voices.hear([...voice('another', 5, 1).samples, ...quiet(1000), ...two.samples], 8000), 'yes');
  assert.equal(voices.hear([...quiet(500), ...two.samples.subarray(160)], 8000), 'yes');
  assert.equal(voices.hear(quiet(8000), 8000), '');
  voices.learn([]);
  const spoken = speak('tones', 8000);
  assert.equal(voices.hear(Array.from({ length: spoken.length / 2 }, (_, i) => spoken.readInt16LE(2 * i)), 8000), 'tones');
});

test('an answer can follow from what was told last, whoever goes on with it', () => {
  const scripts = new Scripts();
  scripts.add({ match: { last: 'prices' }, answers: [{ text: 'a' }], repeat: true });
  const asked = (body) => scripts.take({ text: () => '', body })?.text;
  const user = (content) => ({ role: 'user', content });
  assert.equal(asked({ messages: [user('hours'), { role: 'assistant', content: 'eight' }, user('prices')] }), 'a');
  assert.equal(asked({ messages: [user('prices'), { role: 'assistant', content: 'A roof' }, user('Continue.')] }), 'a');
  assert.equal(asked({ contents: [{ role: 'user', parts: [{ text: 'prices' }] }, { role: 'model', parts: [] }] }), 'a');
  assert.equal(asked({ messages: [user('prices'), user('hours')] }), undefined);
  assert.equal(asked({ input: 'prices' }), undefined);
});

test('the mind takes an answer up where it was cut', () => {
  const ask = (turns, more = {}) => answer({ turns, tools: [], choice: 'auto', ...more }, null, () => 'id').parts[0].text;
  const count5 = { role: 'user', text: 'count to 5' };
  assert.equal(ask([count5]), '1 2 3 4 5');
  assert.equal(ask([count5, { role: 'assistant', text: '1 2' }]), ' 3 4 5');
  assert.equal(ask([count5, { role: 'assistant', text: '1 2' }, { role: 'user', text: 'go on' }]), '3 4 5');
  assert.equal(ask([{ role: 'user', text: 'continue' }]), 'You said: continue');
});
