// SPDX-License-Identifier: Apache-2.0
'use strict';
const assert = require('assert');
const test = require('node:test');
const OpenAI = require('openai').default;
const { zodTextFormat } = require('openai/helpers/zod');
const { z } = require('zod');
const { url, newKey, ended, fails, long, ORDER, TICKET, satisfies } = require('./world');

const client = (key = newKey(), fault = '', more = {}) => new OpenAI({ apiKey: key, baseURL: url(fault, '/openai/v1'), maxRetries: 0, ...more });
const ask = (input, more = {}) => ({ model: 'gpt-4.1', input, ...more });
const tool = (name) => ({ type: 'function', name, strict: true, parameters: ORDER });
const TOOLS = [tool('find_order'), tool('find_customer')];
const ONE = 'use find_order with {"id":"1234"}';
const TWO = `${ONE} and use find_customer with {"id":"häns"}`;

test('a response answers what was said, with usage', async () => {
  const answer = await client().responses.create(ask('hello there', { instructions: 'Be brief.' }));
  assert.equal(answer.output_text, 'You said: hello there');
  assert.equal(answer.status, 'completed');
  assert.equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens);
  assert.match(answer._request_id, /^req_/);
});

test('its stream has all the events in order, numbered without a gap', async () => {
  const types = [];
  let text = '';
  let last;
  let number = 0;
  for await (const event of await client().responses.create(ask('count to 5', { stream: true }))) {
    assert.equal(event.sequence_number, number++);
    if (types.at(-1) !== event.type) types.push(event.type);
    if (event.type === 'response.output_text.delta') text += event.delta;
    last = event;
  }
  assert.deepEqual(types.map((type) => type.replace('response.', '')), ['created', 'in_progress', 'output_item.added', 'content_part.added', 'output_text.delta', 'output_text.done', 'content_part.done', 'output_item.done', 'completed']);
  assert.equal(text, '1 2 3 4 5');
  assert.equal(last.response.usage.output_tokens, 5);
});

test("the client's own stream helper builds the same response", async () => {
  const response = await client(newKey(), 'split=3,fragment=1').responses.stream(ask(TWO, { tools: TOOLS })).finalResponse();
  assert.deepEqual(response.output.map((item) => [item.type, item.name, item.arguments]), [['function_call', 'find_order', '{"id":"1234"}'], ['function_call', 'find_customer', '{"id":"häns"}']]);
});

test('calls are answered in a next response, by items or by previous_response_id', async () => {
  const api = client();
  const first = await api.responses.create(ask(TWO, { tools: TOOLS }));
  const results = first.output.map((item) => ({ type: 'function_call_output', call_id: item.call_id, output: `${item.name} ok` }));
  const expected = 'find_order said: find_order ok\nfind_customer said: find_customer ok';
  assert.equal((await api.responses.create(ask([{ role: 'user', content: TWO }, ...first.output, ...results], { tools: TOOLS }))).output_text, expected);
  assert.equal((await api.responses.create(ask(results, { tools: TOOLS, previous_response_id: first.id }))).output_text, expected);
  await fails(OpenAI.BadRequestError, () => api.responses.create(ask(results.slice(0, 1), { tools: TOOLS, previous_response_id: first.id })));
  await fails(OpenAI.BadRequestError, () => api.responses.create(ask(results, { tools: TOOLS })));
});

test('streamed arguments of parallel calls may come in turns', async () => {
  const calls = new Map();
  const order = [];
  for await (const event of await client(newKey(), 'interleave,fragment=2').responses.create(ask(TWO, { tools: TOOLS, stream: true }))) {
    if (event.type !== 'response.function_call_arguments.delta') continue;
    calls.set(event.output_index, (calls.get(event.output_index) || '') + event.delta);
    order.push(event.output_index);
  }
  assert.deepEqual([...calls.values()].map(JSON.parse), [{ id: '1234' }, { id: 'häns' }]);
  assert.ok(order.join('').startsWith('0101'), order.join(''));
});

test('a schema is satisfied', async () => {
  const answer = await client().responses.parse(ask('order 1234 is late', { text: { format: zodTextFormat(z.object({ order: z.number().int(), late: z.boolean() }), 'ticket') } }));
  assert.deepEqual(answer.output_parsed, { order: 1234, late: true });
  const plain = await client().responses.create(ask('a high one', { text: { format: { type: 'json_schema', name: 'ticket', strict: true, schema: TICKET } } }));
  satisfies(TICKET, JSON.parse(plain.output_text));
});

test('reasoning is an item of its own and counted inside the output', async () => {
  const answer = await client().responses.create(ask('hello', { model: 'gpt-5.4', reasoning: { effort: 'low', summary: 'auto' }, include: ['reasoning.encrypted_content'], store: false }));
  assert.deepEqual(answer.output.map((item) => item.type), ['reasoning', 'message']);
  assert.ok(answer.output[0].encrypted_content && answer.output[0].summary[0].text);
  assert.ok(answer.usage.output_tokens_details.reasoning_tokens > 0);
});

test('an answer may be incomplete, refused or failed', async () => {
  const cut = await client().responses.create(ask('count to 50', { max_output_tokens: 16 }));
  assert.deepEqual([cut.status, cut.incomplete_details.reason], ['incomplete', 'max_output_tokens']);
  const refused = await client().responses.create(ask('please refuse this'));
  assert.equal(refused.output[0].content[0].type, 'refusal');
  const events = async (fault) => {
    const types = [];
    try {
      for await (const event of await client(newKey(), fault).responses.create(ask('count to 9', { stream: true }))) types.push(event.type);
    } catch (error) {
      types.push(error.constructor.name);
    }
    return types.at(-1);
  };
  assert.equal(await events('error=2,error_as=failed'), 'response.failed');
  assert.equal(await events('error=2'), 'error');
  assert.equal(await events('no_end'), 'response.output_item.done');
  assert.equal(await events('broken=2'), 'SyntaxError');
  assert.notEqual(await events('cut=2'), 'response.completed');
});

test('a long prompt is cached the second time', async () => {
  const api = client();
  const usage = async (input) => (await api.responses.create(ask(input, { instructions: long('responses') }))).usage;
  assert.equal((await usage('one')).input_tokens_details.cached_tokens, 0);
  assert.ok((await usage('two')).input_tokens_details.cached_tokens >= 1024);
});

test('who leaves is seen to leave', async () => {
  const key = newKey();
  const stream = await client(key, 'endless,gap_ms=2').responses.create(ask('hello', { stream: true }));
  let n = 0;
  for await (const event of stream) if (event.type === 'response.output_text.delta' && ++n === 20) break;
  const went = Date.now();
  const record = await ended(key);
  assert.equal(record.end, 'cancelled');
  assert.ok(record.ended_ms - went < 500);
});

test('status errors have their classes here too', async () => {
  await fails(OpenAI.RateLimitError, () => client(newKey(), 'status=429').responses.create(ask('hello')));
  await fails(OpenAI.AuthenticationError, () => client('wrong').responses.create(ask('hello')));
  const error = await fails(OpenAI.BadRequestError, () => client().responses.create(ask('hello', { max_tokens: 3 })));
  assert.equal(error.code, 'unknown_parameter');
});
