// SPDX-License-Identifier: Apache-2.0
'use strict';
/* What no client library shows: HTTP/2, resets and closes, listeners that go and come, certificates, the moment a cancel is seen. FAKES is what
 * tests/fakes/run said, CERT the good certificate. */
const assert = require('assert');
const fs = require('fs');
const http2 = require('http2');
const net = require('net');
const tls = require('tls');
const test = require('node:test');
const { ports, newKey, control, ended, counts } = require('./clients/world');

const ca = fs.readFileSync(process.env.CERT);
const CHAT = { model: 'gpt-4.1', messages: [{ role: 'user', content: 'count to 9' }], stream: true };
const settled = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A test that fails must not leave a connection open, for Node would wait for it.
const sessions = [];
test.after(() => sessions.forEach((one) => one.destroy()));

function session() {
  const one = http2.connect(`https://127.0.0.1:${ports.tls}`, { ca });
  sessions.push(one);
  one.on('error', () => {});
  return one;
}

/** Opens a chat on an HTTP/2 session: { stream, text(), done: { text, status, rst, error } when it closed }. */
function open(on, key, fault = '', body = CHAT) {
  const stream = on.request({ ':method': 'POST', ':path': `${fault ? `/_with/${fault}` : ''}/openai/v1/chat/completions`, authorization: `Bearer ${key}`, 'content-type': 'application/json' });
  let text = '';
  let status;
  let error;
  let clean = false;
  stream.setEncoding('utf8');
  stream.on('response', (headers) => (status = headers[':status']));
  stream.on('data', (data) => (text += data));
  stream.on('end', () => (clean = true));
  stream.on('error', (e) => (error = e));
  // What never ends is closed by us after a while, and then is not what a test expects.
  const late = setTimeout(() => stream.destroy(new Error('it never ended')), 15000);
  const done = new Promise((resolve) => stream.on('close', () => {
    clearTimeout(late);
    resolve({ text, status, rst: stream.rstCode, error, clean });
  }));
  stream.end(JSON.stringify(body));
  return { stream, done, text: () => text };
}

/** Sends a chat over a bare socket and collects everything until it closes: { bytes, pieces, error }. */
function bare(fault, key, { secure = false } = {}) {
  return new Promise((resolve) => {
    const body = JSON.stringify({ ...CHAT, messages: [{ role: 'user', content: 'say äöü 👋👋' }] });
    const head = `POST /_with/${fault}/openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`;
    const pieces = [];
    let error = null;
    const send = () => socket.write(head + body);
    const socket = secure ? tls.connect({ port: ports.tls, host: '127.0.0.1', ca }, send) : net.connect(ports.http, '127.0.0.1', send);
    socket.on('data', (data) => pieces.push(data));
    socket.on('error', (e) => (error = e));
    socket.on('close', () => resolve({ bytes: Buffer.concat(pieces), pieces, error }));
  });
}

/** The body of a chunked answer; `whole` says whether it ended in good form. */
function unchunk(bytes) {
  let at = bytes.indexOf('\r\n\r\n') + 4;
  const parts = [];
  for (;;) {
    const end = bytes.indexOf('\r\n', at);
    const size = end < 0 ? NaN : parseInt(bytes.toString('latin1', at, end), 16);
    if (Number.isNaN(size)) return { body: Buffer.concat(parts), parts, whole: false };
    if (size === 0) return { body: Buffer.concat(parts), parts, whole: true };
    parts.push(bytes.subarray(end + 2, Math.min(bytes.length, end + 2 + size)));
    at = end + 2 + size + 2;
  }
}

test('a stream over HTTP/2 is whole, and many run at a time on one connection', async () => {
  const on = session();
  const key = newKey();
  const all = Array.from({ length: 100 }, () => open(on, key, 'gap_ms=10'));
  for (const { done } of all) {
    const { text, status, rst } = await done;
    assert.deepEqual([status, rst, text.endsWith('data: [DONE]\n\n')], [200, 0, true]);
  }
  assert.deepEqual([(await counts(key)).requests, (await counts(key)).open], [100, 0]);
  assert.equal((await ended(key)).protocol, 'h2');
  on.destroy();
});

test('a cancel over HTTP/2 is seen as the reset that it is, at once, and the connection lives on', async () => {
  const on = session();
  const key = newKey();
  const all = Array.from({ length: 50 }, () => open(on, key, 'endless,gap_ms=50'));
  while (all.some(({ text }) => text().length < 1000)) await settled(10);
  const went = Date.now();
  for (const { stream } of all) stream.close(http2.constants.NGHTTP2_CANCEL);
  await Promise.all(all.map(({ done }) => done));
  await settled(100);
  const { ended_streams } = await control('GET', 'stats?streams=500');
  const mine = ended_streams.filter((one) => one.key === key);
  assert.equal(mine.length, 50);
  for (const one of mine) {
    assert.deepEqual([one.end, one.how], ['cancelled', 'RST_STREAM code 8']);
    assert.ok(one.ended_ms - went < 500, `${one.ended_ms - went} ms`);
  }
  assert.equal((await counts(key)).open, 0);
  assert.ok((await open(on, key).done).text.endsWith('[DONE]\n\n'));
  on.destroy();
});

test('a stream cut over HTTP/2 is reset, closed with its connection, or ended too early', async () => {
  const key = newKey();
  const run = async (how) => {
    const on = session();
    const result = await open(on, key, `cut=3,how=${how}`).done;
    await settled(50);
    const { destroyed, closed } = on;
    on.destroy();
    return { ...result, gone: destroyed || closed };
  };
  const reset = await run('rst');
  assert.deepEqual([reset.rst, reset.gone, reset.clean], [http2.constants.NGHTTP2_INTERNAL_ERROR, false, false]);
  const closed = await run('fin');
  assert.ok(closed.gone);
  const early = await run('end');
  assert.deepEqual([early.rst, early.gone, early.clean], [0, false, true]);
  for (const { text } of [reset, closed, early]) {
    assert.ok(text.includes('" 3"') && !text.includes('[DONE]'), text);
    assert.ok(!text.endsWith('\n\n'), 'it was cut in the middle of an event');
  }
  assert.equal((await ended(key)).end, 'cut');
});

test('a request dropped over HTTP/2 leaves the others on its connection alone', async () => {
  const on = session();
  const beside = open(on, newKey(), 'gap_ms=30');
  const dropped = await open(on, newKey(), 'drop=rst').done;
  assert.deepEqual([dropped.status, dropped.rst], [undefined, http2.constants.NGHTTP2_INTERNAL_ERROR]);
  assert.ok((await beside.done).text.endsWith('[DONE]\n\n'));
  on.destroy();
});

for (const secure of [false, true]) {
  test(`over HTTP/1.1${secure ? ' and TLS' : ''} a cut is a reset, a close or an early end`, async () => {
    const reset = await bare('cut=1,how=rst', newKey(), { secure });
    assert.equal(reset.error?.code, 'ECONNRESET');
    assert.ok(unchunk(reset.bytes).body.includes('"role":"assistant"'), 'what came before the reset arrived');
    const closed = await bare('cut=1,how=fin', newKey(), { secure });
    assert.deepEqual([closed.error?.code, unchunk(closed.bytes).whole], [undefined, false]);
    const early = await bare('cut=1,how=end', newKey(), { secure });
    assert.deepEqual([early.error, unchunk(early.bytes).whole], [null, true]);
    const dropped = await bare('drop=fin', newKey(), { secure });
    assert.equal(dropped.bytes.length, 0);
    assert.equal((await bare('drop=rst', newKey(), { secure })).error?.code, 'ECONNRESET');
  });
}

test('pieces split lines, characters and line ends', async () => {
  const { parts, body, whole } = unchunk((await bare('split=3,crlf,comments', newKey())).bytes);
  assert.ok(whole && parts.every((part) => part.length <= 3));
  assert.ok(parts.some((part) => part[part.length - 1] === 13), 'no piece ends inside a line end');
  assert.ok(parts.some((part) => part.toString().includes('\ufffd')), 'no piece ends inside a character');
  const text = body.toString();
  assert.ok(text.includes(': ping\r\n\r\n') && text.includes('👋') && !/[^\r]\n/.test(text));
});

test('two events come in one write', async () => {
  const { parts } = unchunk((await bare('merge', newKey())).bytes);
  assert.ok(parts.every((part, i) => part.toString().split('\n\n').length - 1 === 2 || i === parts.length - 1));
});

test('a listener that is closed refuses, resets who was there, and comes back on its port', async () => {
  const key = newKey();
  const left = bare('endless,gap_ms=20', key);
  await settled(200);
  await control('POST', 'listener', { name: 'http', open: false });
  try {
    await left;
    const error = await new Promise((resolve) => net.connect(ports.http, '127.0.0.1').on('error', resolve).on('connect', () => resolve(null)));
    assert.equal(error?.code, 'ECONNREFUSED');
  } finally {
    await control('POST', 'listener', { name: 'http', open: true });
  }
  assert.ok((await bare('merge', newKey())).bytes.includes('[DONE]'));
});

test('the good listener can show the wrong certificate, and the good one again', async () => {
  const connect = () => new Promise((resolve) => {
    const socket = tls.connect({ port: ports.tls, host: '127.0.0.1', ca, ALPNProtocols: ['h2'] }, () => resolve({ alpn: socket.alpnProtocol }));
    socket.on('error', (error) => resolve({ error: error.code })).on('secureConnect', () => socket.end());
  });
  await control('POST', 'listener', { name: 'tls', certificate: 'wrong' });
  const wrong = await connect();
  await control('POST', 'listener', { name: 'tls', certificate: 'good' });
  assert.match(wrong.error, /CERT|SIGNED/);
  assert.deepEqual(await connect(), { alpn: 'h2' });
});

test('what was asked can be read back, and hostile requests are answered', async () => {
  const key = newKey();
  const post = (path, body, headers = {}) => fetch(`http://127.0.0.1:${ports.http}${path}`, { method: 'POST', headers: { authorization: `Bearer ${key}`, ...headers }, body });
  await post('/v1/chat/completions', JSON.stringify({ ...CHAT, stream: false }));
  const { body } = (await control('GET', 'requests?last=50')).find((one) => one.headers.authorization === `Bearer ${key}`);
  assert.deepEqual(body.messages, CHAT.messages);
  for (const text of ['', '{', '[]', 'null', '"x"', '{"model":1}', '{"messages":{}}', '{"model":"gpt-4.1","messages":[null]}', '{"model":"gpt-4.1","messages":[{"role":"user","content":5}]}', '{"model":"gpt-4.1","input":5}',
    '{"model":"gpt-4.1","input":[5]}', '{"model":"gpt-4.1","input":[{"role":"user","content":7}],"tools":[{}]}', '{"model":"m","contents":[{"parts":[5]}]}', '{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[5]}]}',
    '{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}],"tools":[null]}', '{"model":"m","messages":[{"role":"user","content":"x","tool_calls":[{}]}],"tools":[null],"options":7}', '{"requests":[{}]}',
    `{"model":"m","messages":${'['.repeat(2000)}${']'.repeat(2000)}}`]) {
    for (const path of ['/openai/v1/chat/completions', '/openai/v1/responses', '/openai/v1/embeddings', '/openai/v1/audio/speech', '/openai/v1/audio/transcriptions', '/claude/v1/messages', '/gemini/v1beta/models/m:generateContent',
      '/gemini/v1beta/models/m:batchEmbedContents', '/ollama/api/chat', '/ollama/api/embed', '/openai/v1/nothing']) {
      const answer = await post(path, text, { 'anthropic-version': '2023-06-01' });
      const said = await answer.text();
      assert.ok(answer.status < 500, `${path} ${text}: ${answer.status} ${said}`);
      JSON.parse(said.startsWith('{"model"') ? said.split('\n')[0] : said);
    }
  }
});
