// SPDX-License-Identifier: Apache-2.0
'use strict';
const assert = require('assert');
const test = require('node:test');
const Anthropic = require('@anthropic-ai/sdk').default;
const { zodOutputFormat } = require('@anthropic-ai/sdk/helpers/zod');
const { z } = require('zod');
const { ports, url, newKey, control, counts, ended, fails, long, ORDER, TICKET, satisfies } = require('./world');

const client = (key = newKey(), fault = '', more = {}) => new Anthropic({ apiKey: key, baseURL: url(fault, '/claude'), maxRetries: 0, ...more });
const user = (content) => [{ role: 'user', content }];
const ask = (content, more = {}) => ({ model: 'claude-sonnet-5', max_tokens: 500, messages: user(content), ...more });
const tool = (name) => ({ name, description: `The ${name}`, input_schema: ORDER });
const TOOLS = [tool('find_order'), tool('find_customer')];
const ONE = 'use find_order with {"id":"1234"}';
const TWO = `${ONE} and use find_customer with {"id":"häns"}`;

test('a message is answered, with usage and a request id', async () => {
  const answer = await client().messages.create(ask('hello there', { system: 'Be brief.' }));
  assert.deepEqual(answer.content, [{ type: 'text', text: 'You said: hello there' }]);
  assert.equal(answer.stop_reason, 'end_turn');
  assert.match(answer._request_id, /^req_/);
  assert.ok(answer.usage.input_tokens > 5 && answer.usage.output_tokens === 5);
});

test('a stream says the same: input counted at its start, output at its end', async () => {
  const events = [];
  let text = '';
  for await (const event of await client().messages.create(ask('count to 20', { stream: true }))) {
    if (events.at(-1) !== event.type) events.push(event.type);
    if (event.type === 'message_start') assert.ok(event.message.usage.input_tokens > 3 && event.message.usage.output_tokens <= 1);
    if (event.type === 'content_block_delta') text += event.delta.text;
    if (event.type === 'message_delta') assert.equal(event.usage.output_tokens, 20);
  }
  assert.deepEqual(events.filter((type) => type !== 'ping'), ['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop']);
  assert.equal(text, Array.from({ length: 20 }, (_, i) => i + 1).join(' '));
});

test('a tool is called after some words, and its result answered', async () => {
  const api = client();
  const first = await api.messages.create(ask(`say Let me look. and ${ONE}`, { tools: TOOLS }));
  assert.equal(first.stop_reason, 'tool_use');
  assert.deepEqual(first.content.map((block) => block.text || block.input), ['Let me look.', { id: '1234' }]);
  const result = { type: 'tool_result', tool_use_id: first.content[1].id, content: 'on its way' };
  const second = await api.messages.create({ ...ask(''), tools: TOOLS, messages: [...user(ONE), { role: 'assistant', content: first.content }, { role: 'user', content: [result] }] });
  assert.equal(second.content[0].text, 'find_order said: on its way');
  await fails(Anthropic.BadRequestError, () => api.messages.create({ ...ask(''), messages: [...user(ONE), { role: 'assistant', content: first.content }, ...user('and?')] }));
  await fails(Anthropic.BadRequestError, () => api.messages.create({ ...ask(''), messages: user([result]) }));
});

test('two tools are called in parallel, one when that is off, and choices hold', async () => {
  const names = async (content, choice) => (await client().messages.create(ask(content, { tools: TOOLS, tool_choice: choice }))).content.filter((block) => block.type === 'tool_use').map((block) => block.name);
  assert.deepEqual(await names(TWO), ['find_order', 'find_customer']);
  assert.deepEqual(await names(TWO, { type: 'auto', disable_parallel_tool_use: true }), ['find_order']);
  assert.deepEqual(await names('hello', { type: 'any' }), ['find_order']);
  assert.deepEqual(await names('hello', { type: 'tool', name: 'find_customer' }), ['find_customer']);
  assert.deepEqual(await names(TWO, { type: 'none' }), []);
});

for (const fault of ['fragment=1', 'fragment=1,interleave', 'fragment=2,split=1', 'fragment=1,pings,comments']) {
  test(`the client's stream helper puts fragments of arguments together (${fault})`, async () => {
    const fragments = [];
    const stream = client(newKey(), fault).messages.stream(ask(TWO, { tools: TOOLS }));
    stream.on('inputJson', (fragment) => fragments.push(fragment));
    const message = await stream.finalMessage();
    assert.deepEqual(message.content.map((block) => [block.name, block.input]), [['find_order', { id: '1234' }], ['find_customer', { id: 'häns' }]]);
    assert.ok(fragments.length > 10 && fragments.every((fragment) => [...fragment].length <= 2));
    assert.equal(message.usage.output_tokens > 10, true);
  });
}

test('a call without arguments has an empty object', async () => {
  const tools = [{ name: 'hang_up', input_schema: { type: 'object', properties: {} } }];
  const message = await client().messages.stream(ask('use hang_up', { tools })).finalMessage();
  assert.deepEqual(message.content[0].input, {});
  assert.deepEqual((await client().messages.create(ask('use hang_up', { tools }))).content[0].input, {});
});

test('arguments cut by max_tokens end without the stop of their block', async () => {
  const types = [];
  let json = '';
  for await (const event of await client(newKey(), 'fragment=1').messages.create(ask(ONE, { tools: TOOLS, max_tokens: 2, stream: true }))) {
    types.push(event.type);
    if (event.delta?.type === 'input_json_delta') json += event.delta.partial_json;
    if (event.type === 'message_delta') assert.equal(event.delta.stop_reason, 'max_tokens');
  }
  assert.ok(!types.includes('content_block_stop') && types.at(-1) === 'message_stop');
  assert.throws(() => JSON.parse(json));
});

test("the client's own tool loop runs to its end", async () => {
  const seen = [];
  const { betaTool } = require('@anthropic-ai/sdk/helpers/beta/json-schema');
  const find = betaTool({ name: 'find_order', description: 'x', inputSchema: ORDER, run: (input) => (seen.push(input.id), 'on its way') });
  const message = await client().beta.messages.toolRunner(ask(ONE, { tools: [find] }));
  assert.equal(message.content[0].text, 'find_order said: on its way');
  assert.deepEqual(seen, ['1234']);
});

test('a schema is satisfied', async () => {
  const message = await client().messages.parse(ask('order 1234 is late', { output_config: { format: zodOutputFormat(z.object({ order: z.number().int(), late: z.boolean() })) } }));
  assert.deepEqual(message.parsed_output, { order: 1234, late: true });
  const plain = await client().messages.create(ask('of high urgency', { output_config: { format: { type: 'json_schema', schema: TICKET } } }));
  satisfies(TICKET, JSON.parse(plain.content[0].text));
});

test('thinking comes first with its signature, which must come back unchanged', async () => {
  const api = client();
  const more = { thinking: { type: 'adaptive' }, tools: TOOLS };
  const first = await api.messages.stream(ask(ONE, more)).finalMessage();
  assert.deepEqual(first.content.map((block) => block.type), ['thinking', 'tool_use']);
  assert.ok(first.usage.output_tokens_details.thinking_tokens > 0);
  const next = (content) => api.messages.create({ ...ask('', more), messages: [...user(ONE), { role: 'assistant', content }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: first.content[1].id, content: 'ok' }] }] });
  assert.equal((await next(first.content)).content.at(-1).text, 'find_order said: ok');
  await fails(Anthropic.BadRequestError, () => next([{ ...first.content[0], signature: 'x' }, first.content[1]]));
});

test('a stop text, the token limit and a refusal end an answer', async () => {
  const end = async (content, more) => {
    const { content: blocks, stop_reason, stop_sequence, stop_details } = await client().messages.create(ask(content, more));
    return [stop_reason, stop_sequence, blocks[0]?.text, stop_details?.type];
  };
  assert.deepEqual(await end('count to 9', { stop_sequences: [' 4'] }), ['stop_sequence', ' 4', '1 2 3', undefined]);
  assert.deepEqual(await end('count to 9', { max_tokens: 3 }), ['max_tokens', null, '1 2 3', undefined]);
  assert.deepEqual(await end('hello', { max_tokens: 0 }), ['max_tokens', null, undefined, undefined]);
  assert.deepEqual(await end('please refuse this'), ['refusal', null, undefined, 'refusal']);
  assert.equal((await client().messages.stream(ask('please refuse this')).finalMessage()).stop_reason, 'refusal');
});

test('a marked prompt is written once and read then, outside input_tokens', async () => {
  const api = client();
  const usage = async (question, ttl) => {
    const system = [{ type: 'text', text: long(`claude ${ttl}`), cache_control: { type: 'ephemeral', ...(ttl ? { ttl } : {}) } }];
    return (await api.messages.create(ask(question, { system }))).usage;
  };
  for (const [ttl, field] of [[undefined, 'ephemeral_5m_input_tokens'], ['1h', 'ephemeral_1h_input_tokens']]) {
    const first = await usage('one', ttl);
    assert.ok(first.cache_creation_input_tokens >= 1024 && first.cache_read_input_tokens === 0 && first.input_tokens < 50, JSON.stringify(first));
    assert.equal(first.cache_creation[field], first.cache_creation_input_tokens);
    const second = await usage('two', ttl);
    assert.equal(second.cache_read_input_tokens, first.cache_creation_input_tokens);
    assert.equal(second.cache_creation_input_tokens, 0);
  }
  const short = await api.messages.create(ask('hello', { system: [{ type: 'text', text: 'short', cache_control: { type: 'ephemeral' } }] }));
  assert.equal(short.usage.cache_creation_input_tokens, 0);
});

test('tokens are counted as the answer counts them, and models are listed', async () => {
  const api = client();
  const { max_tokens: _, ...counting } = ask('hello there');
  assert.equal((await api.messages.countTokens(counting)).input_tokens, (await api.messages.create(ask('hello there'))).usage.input_tokens);
  const ids = [];
  for await (const model of api.models.list({ limit: 2 })) ids.push(model.id);
  assert.ok(ids.includes('claude-sonnet-5') && new Set(ids).size === ids.length && ids.length > 4, ids.join());
  assert.equal((await api.models.retrieve('claude-sonnet-5')).display_name, 'Claude Sonnet 5');
  await fails(Anthropic.NotFoundError, () => api.models.retrieve('claude-0'));
  await fails(Anthropic.NotFoundError, () => api.messages.create(ask('hello', { model: 'missing-1' })));
});

const CLASSES = {
  400: [Anthropic.BadRequestError, 1, 'invalid_request_error'], 401: [Anthropic.AuthenticationError, 1, 'authentication_error'], 403: [Anthropic.PermissionDeniedError, 1, 'permission_error'],
  404: [Anthropic.NotFoundError, 1, 'not_found_error'], 408: [Anthropic.APIError, 3, 'timeout_error'], 409: [Anthropic.ConflictError, 3, 'conflict_error'],
  413: [Anthropic.APIError, 1, 'request_too_large'], 422: [Anthropic.UnprocessableEntityError, 1, 'invalid_request_error'], 429: [Anthropic.RateLimitError, 3, 'rate_limit_error'],
  500: [Anthropic.InternalServerError, 3, 'api_error'], 503: [Anthropic.InternalServerError, 3, 'api_error'], 529: [Anthropic.InternalServerError, 3, 'overloaded_error'],
};
for (const [status, [type, tries, name]] of Object.entries(CLASSES)) {
  test(`status ${status} is ${type.name} and ${name} to the client, after ${tries} request${tries > 1 ? 's' : ''}`, async () => {
    const key = newKey();
    const error = await fails(type, () => client(key, `status=${status},retry_after_ms=1`, { maxRetries: 2 }).messages.create(ask('hello')));
    assert.deepEqual([error.status, error.error.error.type, error.error.request_id], [Number(status), name, error.requestID]);
    assert.equal((await counts(key)).requests, tries);
  });
}

test('the client waits for Retry-After and then succeeds', async () => {
  const key = newKey();
  await control('POST', 'faults', { match: { key }, fault: 'status=429,retry_after=1', times: 1 });
  const began = Date.now();
  await client(key, '', { maxRetries: 2 }).messages.create(ask('hello'));
  assert.ok(Date.now() - began >= 1000);
  assert.equal((await counts(key)).requests, 2);
});

test('the spend limit is a 429 without Retry-After, with its own code', async () => {
  const error = await fails(Anthropic.RateLimitError, () => client('broke').messages.create(ask('hello')));
  assert.equal(error.headers.get('retry-after'), null);
  assert.equal(error.error.error.details.error_code, 'enforced_spend_limit_reached');
});

test('token buckets by requests, input and output, with their headers', async () => {
  const key = newKey();
  await control('POST', 'limits', [{ key, requests_per_minute: 50, input_tokens_per_minute: 10000, output_tokens_per_minute: 30 }]);
  try {
    const api = client(key);
    const { response } = await api.messages.create(ask('count to 60')).withResponse();
    assert.equal(response.headers.get('anthropic-ratelimit-requests-remaining'), '49');
    assert.equal(response.headers.get('anthropic-ratelimit-output-tokens-limit'), '30');
    assert.match(response.headers.get('anthropic-ratelimit-input-tokens-reset'), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const error = await fails(Anthropic.RateLimitError, () => api.messages.create(ask('hello')));
    assert.match(error.message, /output_tokens/);
    assert.ok(Number(error.headers.get('retry-after')) > 50);
  } finally {
    await control('DELETE', 'limits');
  }
});

test('wrong and missing fields are refused as the API refuses them', async () => {
  const refuse = async (more, words) => {
    const error = await fails(Anthropic.BadRequestError, () => client().messages.create({ ...ask('hello'), ...more }));
    assert.ok(error.message.includes(words), error.message);
  };
  await refuse({ frequency_penalty: 1 }, 'Extra inputs are not permitted');
  await refuse({ max_tokens: undefined }, 'max_tokens: Field required');
  await refuse({ messages: [] }, 'at least one message');
  await refuse({ temperature: 0.3 }, '`temperature` is deprecated for this model.');
  await refuse({ messages: [...user('x'), { role: 'assistant', content: 'y' }] }, 'prefill');
  await refuse({ messages: user('') }, 'non-empty');
  await refuse({ messages: [{ role: 'system', content: 'x' }] }, 'Unexpected role');
  const old = await client().messages.create({ ...ask('count to 5', { model: 'claude-sonnet-4-5', temperature: 0.3 }), messages: [...user('count to 5'), { role: 'assistant', content: '1 2' }] });
  assert.equal(old.content[0].text, ' 3 4 5');
  const headless = await fetch(url('', '/claude/v1/messages'), { method: 'POST', headers: { 'x-api-key': 'k' }, body: JSON.stringify(ask('hello')) });
  assert.equal(headless.status, 400);
});

test('a refused connection, a wrong certificate, a reset and a late head are connection errors', async () => {
  await fails(Anthropic.APIConnectionError, () => new Anthropic({ apiKey: 'k', baseURL: 'http://127.0.0.1:1', maxRetries: 0 }).messages.create(ask('hello')));
  if (ports.wrong) await fails(Anthropic.APIConnectionError, () => new Anthropic({ apiKey: 'k', baseURL: `https://127.0.0.1:${ports.wrong}/claude`, maxRetries: 0 }).messages.create(ask('hello')));
  await fails(Anthropic.APIConnectionError, () => client(newKey(), 'drop=fin').messages.create(ask('hello')));
  await fails(Anthropic.APIConnectionTimeoutError, () => client(newKey(), 'head_ms=3000', { timeout: 100 }).messages.create(ask('hello')));
});

async function read(fault) {
  let text = '';
  let last = null;
  try {
    for await (const event of await client(newKey(), fault).messages.create(ask('count to 9', { stream: true }))) {
      if (event.type === 'content_block_delta') text += event.delta.text;
      last = event.type;
    }
    return { text, last };
  } catch (error) {
    return { text, last, error };
  }
}

test('a stream may be cut, end early, carry an error or broken JSON, and the client notices what it can', async () => {
  for (const how of ['rst', 'fin']) {
    const cut = await read(`cut=3,how=${how}`);
    assert.ok(cut.error && cut.text === '1 2 3', JSON.stringify(cut));
  }
  assert.deepEqual(await read('no_end'), { text: '1 2 3 4 5 6 7 8 9', last: 'content_block_stop' });
  const error = await read('error=2');
  assert.ok(error.error instanceof Anthropic.APIError && error.text === '1 2', JSON.stringify(error));
  assert.match(error.error.message, /overloaded_error/);
  assert.ok((await read('broken=2')).error instanceof Error);
  assert.deepEqual(await read('empty=text'), { text: '', last: 'message_stop' });
  await fails(Anthropic.AnthropicError, () => client(newKey(), 'empty').messages.stream(ask('hello')).finalMessage());
  await fails(Anthropic.AnthropicError, () => client(newKey(), 'no_end').messages.stream(ask('hello')).finalMessage());
});

for (const fault of ['split=1', 'merge', 'crlf', 'comments', 'trailing', 'pings', 'split=2,crlf,comments', 'first_ms=20,gap_ms=2-5']) {
  test(`a stream written with ${fault} is read the same`, async () => {
    assert.deepEqual(await read(fault), { text: '1 2 3 4 5 6 7 8 9', last: 'message_stop' });
  });
}

test('an event without the blank line after it is none to the client', async () => {
  assert.deepEqual(await read('unended'), { text: '1 2 3 4 5 6 7 8 9', last: 'message_delta' });
});

test('who leaves in the middle is seen to leave', async () => {
  const key = newKey();
  const stream = client(key, 'endless,gap_ms=2').messages.stream(ask('hello'));
  let n = 0;
  stream.on('text', () => ++n === 20 && stream.abort());
  await fails(Anthropic.APIUserAbortError, () => stream.finalMessage());
  const went = Date.now();
  const record = await ended(key);
  assert.equal(record.end, 'cancelled');
  assert.ok(record.ended_ms - went < 500);
});
