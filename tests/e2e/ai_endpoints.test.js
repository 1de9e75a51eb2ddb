// SPDX-License-Identifier: Apache-2.0
'use strict';
/* OpenAI's own client, unchanged, against Parley's /v1: whoever answers behind it. PARLEY_URL and PARLEY_KEY say where and as whom; MODELS is the JSON of
 * { kind: "provider/model" }, one for each kind of provider that is set up; EMBEDDERS the same for embeddings; FAULTS the JSON of { fault: model }. */
const assert = require('assert');
const test = require('node:test');
const OpenAI = require('openai').default;
const { zodResponseFormat } = require('openai/helpers/zod');
const { z } = require('zod');
const { fails, checkNear, TEXTS, ORDER, TICKET, satisfies, nearness } = require('../fakes/clients/world');

const MODELS = JSON.parse(process.env.MODELS);
const EMBEDDERS = JSON.parse(process.env.EMBEDDERS);
const FAULTS = JSON.parse(process.env.FAULTS);
const client = (key = process.env.PARLEY_KEY, more = {}) => new OpenAI({ apiKey: key, baseURL: process.env.PARLEY_URL + '/v1', maxRetries: 0, ...more });
const user = (content) => [{ role: 'user', content }];
const tool = (name) => ({ type: 'function', function: { name, description: `The ${name}`, parameters: ORDER } });
const TOOLS = [tool('find_order'), tool('find_customer')];
const ONE = 'use find_order with {"id":"1234"}';
const TWO = `${ONE} and use find_customer with {"id":"häns"}`;
const COUNTED = Array.from({ length: 20 }, (_, i) => i + 1).join(' ');

for (const [kind, model] of Object.entries(MODELS)) {
  const ask = (content, more = {}) => ({ model, messages: user(content), max_tokens: 500, ...more });

  test(`${kind}: chat answers what was said, with usage, a request id and who answered`, async () => {
    const answer = await client().chat.completions.create(ask('hello there'));
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.choices[0].message.content, 'You said: hello there');
    assert.equal(answer.choices[0].finish_reason, 'stop');
    assert.match(answer._request_id, /^req_/);
    assert.ok(answer.usage.prompt_tokens > 0 && answer.usage.completion_tokens > 0, JSON.stringify(answer.usage));
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
    assert.equal(`${answer.parley.provider}/${answer.parley.model}`, model);
  });

  test(`${kind}: a stream says the same, piece by piece, and its usage last`, async () => {
    const stream = await client().chat.completions.create(ask('count to 20', { stream: true, stream_options: { include_usage: true } }));
    let text = '';
    let chunks = 0;
    let usage;
    let reason;
    const ids = new Set();
    for await (const chunk of stream) {
      chunks++;
      ids.add(chunk.id);
      text += chunk.choices[0]?.delta.content || '';
      reason = chunk.choices[0]?.finish_reason || reason;
      if (chunk.choices.length === 0) usage = chunk.usage;
      else assert.equal(chunk.usage, null);
    }
    assert.equal(text, COUNTED);
    assert.equal(reason, 'stop');
    assert.equal(ids.size, 1);
    assert.ok(chunks > 5 && usage.completion_tokens > 0, JSON.stringify({ chunks, usage }));
  });

  test(`${kind}: a stream without include_usage has none`, async () => {
    for await (const chunk of await client().chat.completions.create(ask('hello', { stream: true }))) assert.ok(!chunk.usage && chunk.choices.length === 1);
  });

  test(`${kind}: a tool is called, and its result answered`, async () => {
    const first = await client().chat.completions.create(ask(ONE, { tools: TOOLS }));
    const { message, finish_reason } = first.choices[0];
    assert.equal(finish_reason, 'tool_calls');
    assert.deepEqual(message.tool_calls.map((one) => [one.function.name, JSON.parse(one.function.arguments)]), [['find_order', { id: '1234' }]]);
    const messages = [...user(ONE), message, { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'on its way' }];
    const second = await client().chat.completions.create({ model, tools: TOOLS, messages, max_tokens: 500 });
    assert.equal(second.choices[0].message.content, 'find_order said: on its way');
  });

  test(`${kind}: the client's own stream helper puts parallel calls together`, async () => {
    const stream = client().chat.completions.stream(ask(TWO, { tools: TOOLS }));
    const { choices: [{ message, finish_reason }] } = await stream.finalChatCompletion();
    assert.equal(finish_reason, 'tool_calls');
    assert.deepEqual(message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]), [['find_order', { id: '1234' }], ['find_customer', { id: 'häns' }]]);
    assert.equal(new Set(message.tool_calls.map((call) => call.id)).size, 2);
  });

  test(`${kind}: the client's own tool loop runs to its end`, async () => {
    const seen = [];
    const run = (args) => {
      seen.push(args.id);
      return 'on its way';
    };
    const runner = client().chat.completions.runTools(ask(ONE, { tools: [{ type: 'function', function: { name: 'find_order', parameters: ORDER, function: run, parse: JSON.parse } }] }));
    assert.equal(await runner.finalContent(), 'find_order said: on its way');
    assert.deepEqual(seen, ['1234']);
  });

  test(`${kind}: a schema is satisfied, whole and streamed`, async () => {
    const shape = z.object({ subject: z.string(), urgency: z.enum(['low', 'high']), order: z.number().int(), tags: z.array(z.string()) });
    const answer = await client().chat.completions.parse(ask('order 1234 is late and of high urgency', { response_format: zodResponseFormat(shape, 'ticket') }));
    assert.equal(answer.choices[0].message.parsed.order, 1234);
    const format = { type: 'json_schema', json_schema: { name: 'ticket', strict: true, schema: TICKET } };
    satisfies(TICKET, JSON.parse(await client().chat.completions.stream(ask('order 77 is late', { response_format: format })).finalContent()));
  });

  test(`${kind}: the token limit ends an answer`, async () => {
    const cut = (await client().chat.completions.create(ask('count to 50', { max_tokens: 3 }))).choices[0];
    assert.equal(cut.finish_reason, 'length');
  });

  test(`${kind}: leaving in the middle of a stream ends it`, async () => {
    const stream = await client().chat.completions.create(ask('count to 5000', { stream: true, max_tokens: 100000 }));
    let n = 0;
    for await (const _ of stream) if (++n === 5) break;
    assert.equal(n, 5);
    assert.equal((await client().chat.completions.create(ask('hello'))).choices[0].message.content, 'You said: hello');
  });
}

for (const [kind, model] of Object.entries(EMBEDDERS)) {
  test(`${kind}: embeddings: near texts are near, base64 and float say the same`, async () => {
    const decoded = (await client().embeddings.create({ model, input: TEXTS })).data.map((one) => Array.from(one.embedding));
    checkNear(decoded);
    const plain = (await client().embeddings.create({ model, input: TEXTS[0], encoding_format: 'float' })).data[0].embedding;
    assert.equal(plain.length, decoded[0].length);
    assert.ok(nearness(plain, decoded[0]) > 0.9999);
  });
}

test('a model may be left to the policy', async () => {
  const answer = await client().chat.completions.create({ model: 'auto', messages: user('hello') });
  assert.equal(answer.choices[0].message.content, 'You said: hello');
});

test('models are listed and found', async () => {
  const names = [];
  for await (const model of client().models.list()) names.push(model.id);
  for (const name of ['auto', 'cost', ...Object.values(MODELS), ...Object.values(EMBEDDERS)]) assert.ok(names.includes(name), name);
  const [some] = Object.values(MODELS);
  assert.equal((await client().models.retrieve(some)).id, some);
  await fails(OpenAI.NotFoundError, () => client().models.retrieve('gpt-1'));
});

test('errors are of the classes that the client knows', async () => {
  const ask = (more) => client().chat.completions.create({ model: 'auto', messages: user('hello'), ...more });
  const error = await fails(OpenAI.NotFoundError, () => ask({ model: 'missing-1' }));
  assert.deepEqual([error.code, error.param, error.type], ['model_not_found', 'model', 'invalid_request_error']);
  const key = await fails(OpenAI.AuthenticationError, () => client('pk_wrong_0000').chat.completions.create({ model: 'auto', messages: user('x') }));
  assert.equal(key.code, 'invalid_api_key');
  const scope = await fails(OpenAI.PermissionDeniedError, () => client(process.env.PARLEY_OTHER_KEY).chat.completions.create({ model: 'auto', messages: user('x') }));
  assert.equal(scope.code, 'scope_missing');
  assert.equal((await fails(OpenAI.BadRequestError, () => ask({ messages: [] }))).param, 'messages');
  assert.equal((await fails(OpenAI.BadRequestError, () => ask({ n: 3 }))).param, 'n');
  assert.equal((await fails(OpenAI.BadRequestError, () => ask({ temperature: 'hot' }))).param, 'temperature');
  assert.equal((await fails(OpenAI.BadRequestError, () => ask({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] }))).code, 'unsupported_value');
  await fails(OpenAI.BadRequestError, () => client().embeddings.create({ model: 'auto', input: [] }));
});

test('failures of providers have their status, and say whether to come again', async () => {
  const ask = (fault) => client().chat.completions.create({ model: FAULTS[fault], messages: user('hello') });
  const limited = await fails(OpenAI.RateLimitError, () => ask('status=429,retry_after=7'));
  assert.equal(limited.code, 'rate_limit_exceeded');
  assert.equal(limited.headers.get('retry-after'), '7');
  const broken = await fails(OpenAI.InternalServerError, () => ask('status=500'));
  assert.equal(broken.status, 502);
  await fails(OpenAI.BadRequestError, () => ask('status=400'));
});

test('a stream that breaks off raises, and is never taken for a whole answer', async () => {
  const read = async () => {
    let text = '';
    for await (const chunk of await client().chat.completions.create({ model: FAULTS['cut=4'], messages: user('count to 50'), stream: true })) text += chunk.choices[0]?.delta.content || '';
    return text;
  };
  await fails(OpenAI.APIError, read);
});

test('speech is a WAV file, and what needs a recogniser says that there is none', async () => {
  const spoken = await client().audio.speech.create({ model: 'tts-1', voice: 'alloy', input: 'Your order is on its way.' });
  assert.equal(spoken.headers.get('content-type'), 'audio/wav');
  const wav = Buffer.from(await spoken.arrayBuffer());
  assert.equal(wav.subarray(0, 4).toString() + wav.subarray(8, 12).toString(), 'RIFFWAVE');
  assert.ok(wav.length > 10000, wav.length);
  await fails(OpenAI.BadRequestError, () => client().audio.speech.create({ model: 'tts-1', voice: '../../etc/passwd', input: 'x' }));
  await fails(OpenAI.BadRequestError, () => client().audio.speech.create({ model: 'tts-1', voice: 'alloy', input: 'x', response_format: 'mp3' }));
  const file = await OpenAI.toFile(wav, 'said.wav');
  const refused = await fails(OpenAI.InternalServerError, () => client(undefined, { maxRetries: 2 }).audio.transcriptions.create({ model: 'whisper-1', file }));
  assert.deepEqual([refused.status, refused.code], [501, 'no_recogniser']);
});
