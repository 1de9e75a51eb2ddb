// SPDX-License-Identifier: Apache-2.0
'use strict';
const assert = require('assert');
const test = require('node:test');
const { Ollama } = require('ollama');
const { ports, url, newKey, ended, fails, checkNear, TEXTS, ORDER, TICKET, satisfies, control } = require('./world');

const client = (fault = '', key) => new Ollama({ host: url(fault, '/ollama'), headers: key ? { authorization: `Bearer ${key}` } : undefined });
const ask = (content, more = {}) => ({ model: 'llama3.2', messages: [{ role: 'user', content }], ...more });
const tool = (name) => ({ type: 'function', function: { name, description: `The ${name}`, parameters: ORDER } });
const TOOLS = [tool('find_order'), tool('find_customer')];
const ONE = 'use find_order with {"id":"1234"}';
const TWO = `${ONE} and use find_customer with {"id":"häns"}`;

test('chat answers what was said, with counts and durations', async () => {
  const answer = await client().chat(ask('hello there'));
  assert.equal(answer.message.content, 'You said: hello there');
  assert.deepEqual([answer.done, answer.done_reason, answer.eval_count], [true, 'stop', 5]);
  assert.ok(answer.prompt_eval_count > 2 && answer.total_duration >= answer.load_duration);
});

test('the first request loads the model, and ps shows it', async () => {
  const model = `llama3.2:${newKey()}`;
  const first = await client().chat(ask('hello', { model }));
  const second = await client().chat(ask('hello', { model }));
  assert.ok(first.load_duration > 100 * second.load_duration);
  assert.ok((await client().ps()).models.length > 0);
  const warm = await client().chat({ model, messages: [] });
  assert.equal(warm.done_reason, 'load');
});

test('a stream says the same, its counts in the last line', async () => {
  let text = '';
  let last;
  for await (const part of await client().chat(ask('count to 20', { stream: true }))) {
    text += part.message.content;
    last = part;
  }
  assert.equal(text, Array.from({ length: 20 }, (_, i) => i + 1).join(' '));
  assert.deepEqual([last.done, last.done_reason, last.eval_count], [true, 'stop', 20]);
});

test('tools are called, whole, in a stream too, and their results answered', async () => {
  const one = await client().chat(ask(ONE, { tools: TOOLS }));
  assert.deepEqual(one.message.tool_calls.map((call) => [call.function.name, call.function.arguments]), [['find_order', { id: '1234' }]]);
  assert.equal(one.done_reason, 'stop');
  const calls = [];
  for await (const part of await client().chat(ask(TWO, { tools: TOOLS, stream: true }))) calls.push(...(part.message.tool_calls || []));
  assert.deepEqual(calls.map((call) => [call.function.name, call.function.index, call.function.arguments]), [['find_order', 0, { id: '1234' }], ['find_customer', 1, { id: 'häns' }]]);
  const second = await client().chat({ model: 'llama3.2', tools: TOOLS, messages: [{ role: 'user', content: ONE }, one.message, { role: 'tool', tool_name: 'find_order', content: 'on its way' }] });
  assert.equal(second.message.content, 'find_order said: on its way');
});

test('a schema is satisfied, and JSON is JSON', async () => {
  satisfies(TICKET, JSON.parse((await client().chat(ask('order 1234, high', { format: TICKET }))).message.content));
  JSON.parse((await client().chat(ask('hello', { format: 'json' }))).message.content);
});

test('a thinking model thinks apart, others refuse to', async () => {
  const answer = await client().chat(ask('hello', { model: 'qwen3', think: true }));
  assert.ok(answer.message.thinking && answer.message.content === 'You said: hello');
  let thinking = '';
  for await (const part of await client().chat(ask('hello', { model: 'qwen3', think: true, stream: true }))) thinking += part.message.thinking || '';
  assert.equal(thinking, answer.message.thinking);
  await fails(Error, () => client().chat(ask('hello', { think: true })));
});

test('the token limit and a stop text end an answer', async () => {
  const cut = await client().chat(ask('count to 9', { options: { num_predict: 3 } }));
  assert.deepEqual([cut.done_reason, cut.message.content], ['length', '1 2 3']);
  const stopped = await client().chat(ask('count to 9', { options: { stop: [' 4'] } }));
  assert.deepEqual([stopped.done_reason, stopped.message.content], ['stop', '1 2 3']);
});

test('embeddings: near texts are near', async () => {
  const { embeddings, prompt_eval_count } = await client().embed({ model: 'nomic-embed-text', input: TEXTS });
  checkNear(embeddings);
  assert.deepEqual([embeddings[0].length, prompt_eval_count > 5], [768, true]);
  assert.equal((await client().embed({ model: 'nomic-embed-text', input: 'x' })).embeddings.length, 1);
});

test('models, one model and the version', async () => {
  assert.ok((await client().list()).models.some((model) => model.name === 'llama3.2:latest' && model.size > 1e9));
  assert.match((await client().version()).version, /^\d+\.\d+\.\d+$/);
  assert.ok((await client().show({ model: 'qwen3' })).capabilities.includes('thinking'));
});

for (const status of [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 529]) {
  test(`status ${status} is a ResponseError, whole and streamed`, async () => {
    for (const stream of [false, true]) {
      const error = await fails(Error, () => client(`status=${status}`).chat(ask('hello', { stream })));
      assert.deepEqual([error.name, error.status_code], ['ResponseError', status]);
      assert.ok(error.message.length > 3);
    }
  });
}

test('a model that is not pulled, a queue that is full', async () => {
  const error = await fails(Error, () => client().chat(ask('hello', { model: 'missing-1' })));
  assert.deepEqual([error.status_code, error.message], [404, "model 'missing-1' not found"]);
  const key = newKey();
  await control('POST', 'limits', [{ provider: 'ollama', key, concurrency: 1, queue: 'full' }]);
  try {
    const slow = client('first_ms=300', key).chat(ask('hello', { stream: true })).then(async (stream) => {
      for await (const _ of stream);
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal((await fails(Error, () => client('', key).chat(ask('hello')))).status_code, 503);
    await slow;
    await client('', key).chat(ask('hello'));
  } finally {
    await control('DELETE', 'limits');
  }
});

async function read(fault, key) {
  let text = '';
  let done = false;
  try {
    for await (const part of await client(fault, key).chat(ask('count to 9', { stream: true }))) {
      text += part.message.content;
      done ||= part.done;
    }
    return { text, done };
  } catch (error) {
    return { text, done, error };
  }
}

test('a stream may be cut, end early, carry an error or broken JSON, and the client notices what it can', async () => {
  for (const how of ['rst', 'fin']) {
    const cut = await read(`cut=3,how=${how}`);
    assert.ok(cut.error && !cut.done, JSON.stringify(cut));
  }
  const early = await read('no_end');
  assert.match(early.error.message, /Did not receive done/);
  const error = await read('error=2');
  assert.match(error.error.message, /unexpected EOF/);
  // This client skips a line that is not JSON: its text is a token short.
  assert.notEqual((await read('broken=2')).text, '1 2 3 4 5 6 7 8 9');
  assert.deepEqual(await read('empty=text'), { text: '', done: true });
});

for (const fault of ['split=1', 'split=9,seed=5', 'merge', 'unended', 'first_ms=20,gap_ms=2-5']) {
  test(`a stream written with ${fault} is read the same`, async () => {
    assert.deepEqual(await read(fault), { text: '1 2 3 4 5 6 7 8 9', done: true });
  });
}

test('a refused connection, a reset and a wrong certificate fail', async () => {
  await fails(Error, () => new Ollama({ host: 'http://127.0.0.1:1' }).chat(ask('hello')));
  if (ports.wrong) await fails(Error, () => new Ollama({ host: `https://127.0.0.1:${ports.wrong}/ollama` }).chat(ask('hello')));
  await fails(Error, () => client('drop=rst').chat(ask('hello')));
});

test('who leaves in the middle is seen to leave', async () => {
  const key = newKey();
  const stream = await client('endless,gap_ms=2', key).chat(ask('hello', { stream: true }));
  let n = 0;
  await fails(Error, async () => {
    for await (const _ of stream) if (++n === 20) stream.abort();
  });
  const went = Date.now();
  const record = await ended(key);
  assert.equal(record.end, 'cancelled');
  assert.ok(record.ended_ms - went < 500, `${record.ended_ms - went} ms`);
});
