// SPDX-License-Identifier: Apache-2.0
'use strict';
const assert = require('assert');
const test = require('node:test');
const OpenAI = require('openai').default;
const { zodResponseFormat } = require('openai/helpers/zod');
const { z } = require('zod');
const { ports, url, newKey, control, counts, ended, fails, checkNear, TEXTS, long, ORDER, TICKET, satisfies } = require('./world');

const client = (key = newKey(), fault = '', more = {}) => new OpenAI({ apiKey: key, baseURL: url(fault, '/openai/v1'), maxRetries: 0, ...more });
const user = (content) => [{ role: 'user', content }];
const ask = (content, more = {}) => ({ model: 'gpt-4.1-mini', messages: user(content), ...more });
const tool = (name) => ({ type: 'function', function: { name, description: `The ${name}`, strict: true, parameters: ORDER } });
const TOOLS = [tool('find_order'), tool('find_customer')];
const ONE = 'use find_order with {"id":"1234"}';
const TWO = `${ONE} and use find_customer with {"id":"häns"}`;

test('chat answers what was said, with usage and a request id', async () => {
  const answer = await client().chat.completions.create(ask('hello there'));
  assert.equal(answer.choices[0].message.content, 'You said: hello there');
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.match(answer._request_id, /^req_/);
  assert.ok(answer.usage.prompt_tokens > 2 && answer.usage.completion_tokens === 5, JSON.stringify(answer.usage));
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  const again = await client().chat.completions.create(ask('hello there'));
  assert.deepEqual(again.choices, answer.choices);
});

test('a stream says the same, piece by piece, and its usage last', async () => {
  const stream = await client().chat.completions.create(ask('count to 20', { stream: true, stream_options: { include_usage: true } }));
  let text = '';
  let chunks = 0;
  let usage;
  for await (const chunk of stream) {
    chunks++;
    text += chunk.choices[0]?.delta.content || '';
    if (chunk.choices.length === 0) usage = chunk.usage;
    else assert.equal(chunk.usage, null);
  }
  assert.equal(text, Array.from({ length: 20 }, (_, i) => i + 1).join(' '));
  assert.ok(chunks > 20 && usage.completion_tokens === 20, JSON.stringify(usage));
});

test('a stream without include_usage has none, and is padded unless told otherwise', async () => {
  for await (const chunk of await client().chat.completions.create(ask('hello', { stream: true }))) assert.ok(!chunk.usage && chunk.choices.length === 1 && chunk.obfuscation);
  for await (const chunk of await client().chat.completions.create(ask('hello', { stream: true, stream_options: { include_obfuscation: false } }))) assert.equal(chunk.obfuscation, undefined);
});

test('a tool is called, and its result answered', async () => {
  const api = client();
  const first = await api.chat.completions.create(ask(ONE, { tools: TOOLS }));
  const { message, finish_reason } = first.choices[0];
  assert.equal(finish_reason, 'tool_calls');
  assert.equal(message.content, null);
  assert.deepEqual(message.tool_calls.map((one) => [one.function.name, one.function.arguments]), [['find_order', '{"id":"1234"}']]);
  const second = await api.chat.completions.create({ model: 'gpt-4.1-mini', tools: TOOLS, messages: [...user(ONE), message, { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'on its way' }] });
  assert.equal(second.choices[0].message.content, 'find_order said: on its way');
});

test('two tools are called in parallel, one when parallel calls are off', async () => {
  const names = async (more) => (await client().chat.completions.create(ask(TWO, { tools: TOOLS, ...more }))).choices[0].message.tool_calls.map((one) => one.function.name);
  assert.deepEqual(await names({}), ['find_order', 'find_customer']);
  assert.deepEqual(await names({ parallel_tool_calls: false }), ['find_order']);
});

test('tool_choice forces, names and forbids a call', async () => {
  const calls = async (choice) => (await client().chat.completions.create(ask('hello', { tools: TOOLS, tool_choice: choice }))).choices[0].message.tool_calls;
  assert.equal(await calls('auto'), undefined);
  satisfies(ORDER, JSON.parse((await calls('required'))[0].function.arguments));
  assert.equal((await calls({ type: 'function', function: { name: 'find_customer' } }))[0].function.name, 'find_customer');
  assert.equal((await client().chat.completions.create(ask(ONE, { tools: TOOLS, tool_choice: 'none' }))).choices[0].message.tool_calls, undefined);
});

for (const [name, fault] of [['one after the other', 'fragment=3'], ['a character at a time', 'fragment=1'], ['in turns', 'fragment=2,interleave']]) {
  test(`streamed arguments come in fragments: ${name}`, async () => {
    const stream = await client(newKey(), fault).chat.completions.create(ask(TWO, { tools: TOOLS, stream: true }));
    const calls = [];
    const order = [];
    let reason;
    for await (const { choices: [choice] } of stream) {
      for (const delta of choice.delta.tool_calls || []) {
        const call = (calls[delta.index] ||= { id: delta.id, name: delta.function.name, text: '', n: 0 });
        call.text += delta.function.arguments;
        call.n++;
        order.push(delta.index);
      }
      reason = choice.finish_reason || reason;
    }
    assert.equal(reason, 'tool_calls');
    assert.deepEqual(calls.map((call) => [call.name, JSON.parse(call.text)]), [['find_order', { id: '1234' }], ['find_customer', { id: 'häns' }]]);
    assert.ok(calls.every((call) => call.n >= 5 && call.id.startsWith('call_')));
    assert.equal(order.join('').includes('101'), fault.includes('interleave'));
  });
}

test("the client's own stream helper puts the calls together", async () => {
  const stream = client(newKey(), 'fragment=1').chat.completions.stream(ask(TWO, { tools: TOOLS }));
  const done = [];
  stream.on('tool_calls.function.arguments.done', (event) => done.push([event.name, event.parsed_arguments]));
  const { choices: [{ message }] } = await stream.finalChatCompletion();
  assert.deepEqual(done, [['find_order', { id: '1234' }], ['find_customer', { id: 'häns' }]]);
  assert.equal(message.tool_calls.length, 2);
});

test("the client's own tool loop runs to its end", async () => {
  const seen = [];
  const run = (args) => {
    seen.push(args.id);
    return 'on its way';
  };
  const runner = client().chat.completions.runTools(ask(ONE, { tools: [{ type: 'function', function: { name: 'find_order', parameters: ORDER, function: run, parse: JSON.parse } }] }));
  assert.equal(await runner.finalContent(), 'find_order said: on its way');
  assert.deepEqual(seen, ['1234']);
});

test('a schema is satisfied, whole and streamed', async () => {
  const shape = z.object({ subject: z.string(), urgency: z.enum(['low', 'high']), order: z.number().int(), tags: z.array(z.string()), contact: z.object({ email: z.string().nullable(), agreed: z.boolean() }) });
  const format = zodResponseFormat(shape, 'ticket');
  const answer = await client().chat.completions.parse(ask('order 1234 is late and of high urgency', { response_format: format }));
  const { parsed } = answer.choices[0].message;
  assert.equal(parsed.order, 1234);
  assert.equal(parsed.urgency, 'high');
  const streamed = await client().chat.completions.stream(ask('order 77 is late', { response_format: { type: 'json_schema', json_schema: { name: 'ticket', strict: true, schema: TICKET } } })).finalContent();
  satisfies(TICKET, JSON.parse(streamed));
  const json = await client().chat.completions.create(ask('answer in JSON', { response_format: { type: 'json_object' } }));
  assert.deepEqual(JSON.parse(json.choices[0].message.content), { answer: 'answer in JSON' });
});

test('the token limit, a stop text, a refusal and a filter end an answer', async () => {
  const end = async (content, more) => (await client().chat.completions.create(ask(content, more))).choices[0];
  const cut = await end('count to 50', { max_completion_tokens: 3 });
  assert.deepEqual([cut.finish_reason, cut.message.content], ['length', '1 2 3']);
  const stopped = await end('count to 50', { stop: [' 4'] });
  assert.deepEqual([stopped.finish_reason, stopped.message.content], ['stop', '1 2 3']);
  const refused = await end('please refuse this');
  assert.deepEqual([refused.finish_reason, refused.message.content, refused.message.refusal], ['stop', null, 'I cannot help with that.']);
  assert.equal((await end('please filter this')).finish_reason, 'content_filter');
});

test('arguments that the token limit cut are no JSON, and say so', async () => {
  const { finish_reason, message } = (await client().chat.completions.create(ask(ONE, { tools: TOOLS, max_completion_tokens: 2 }))).choices[0];
  assert.equal(finish_reason, 'length');
  assert.throws(() => JSON.parse(message.tool_calls[0].function.arguments));
});

test('a reasoning model counts its reasoning inside its output', async () => {
  const { usage } = await client().chat.completions.create(ask('hello', { model: 'gpt-5.4' }));
  assert.ok(usage.completion_tokens_details.reasoning_tokens > 0 && usage.completion_tokens > usage.completion_tokens_details.reasoning_tokens);
  await fails(OpenAI.BadRequestError, () => client().chat.completions.create(ask('hello', { model: 'gpt-5.4', max_tokens: 9 })));
});

test('a long prompt that begins as an earlier one is cached, inside its count, and only for its key', async () => {
  const api = client();
  const messages = (question) => [{ role: 'system', content: long('openai') }, ...user(question)];
  const usage = async (one, question) => (await one.chat.completions.create({ model: 'gpt-4.1', messages: messages(question) })).usage;
  assert.equal((await usage(api, 'first')).prompt_tokens_details.cached_tokens, 0);
  const second = await usage(api, 'second');
  assert.ok(second.prompt_tokens_details.cached_tokens >= 1024 && second.prompt_tokens_details.cached_tokens < second.prompt_tokens, JSON.stringify(second));
  assert.equal((await usage(client(), 'third')).prompt_tokens_details.cached_tokens, 0);
});

test('embeddings: near texts are near, base64 and float say the same, dimensions are kept', async () => {
  const api = client();
  const decoded = (await api.embeddings.create({ model: 'text-embedding-3-small', input: TEXTS })).data.map((one) => Array.from(one.embedding));
  checkNear(decoded);
  const plain = await api.embeddings.create({ model: 'text-embedding-3-small', input: TEXTS[0], encoding_format: 'float' });
  assert.equal(plain.data[0].embedding.length, 1536);
  assert.ok(plain.data[0].embedding.every((x, i) => Math.abs(x - decoded[0][i]) < 1e-6));
  assert.equal((await api.embeddings.create({ model: 'text-embedding-3-large', input: 'x', dimensions: 256 })).data[0].embedding.length, 256);
  assert.ok(plain.usage.total_tokens > 0);
  await fails(OpenAI.BadRequestError, () => api.embeddings.create({ model: 'text-embedding-3-small', input: ['a', ''] }));
});

test('models are listed and found', async () => {
  const api = client();
  const names = [];
  for await (const model of api.models.list()) names.push(model.id);
  assert.ok(names.includes('gpt-5.4-mini') && names.includes('text-embedding-3-small'));
  assert.equal((await api.models.retrieve('gpt-4o')).id, 'gpt-4o');
  await fails(OpenAI.NotFoundError, () => api.models.retrieve('gpt-1'));
  const error = await fails(OpenAI.NotFoundError, () => api.chat.completions.create(ask('hello', { model: 'missing-1' })));
  assert.equal(error.code, 'model_not_found');
});

test('what is spoken is heard again, as wav and as mp3, whole and streamed', async () => {
  const api = client();
  for (const response_format of ['wav', 'mp3']) {
    const spoken = await api.audio.speech.create({ model: 'gpt-4o-mini-tts', voice: 'marin', input: 'Your order is on its way, Jürgen.', response_format });
    assert.equal(spoken.headers.get('content-type'), response_format === 'wav' ? 'audio/wav' : 'audio/mpeg');
    const file = await OpenAI.toFile(Buffer.from(await spoken.arrayBuffer()), `said.${response_format}`);
    const heard = await api.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file });
    assert.equal(heard.text, 'Your order is on its way, Jürgen.');
    assert.ok(heard.usage.input_token_details.audio_tokens > 0);
    let text = '';
    let done;
    for await (const event of await api.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file, stream: true })) {
      if (event.type === 'transcript.text.delta') text += event.delta;
      if (event.type === 'transcript.text.done') done = event;
    }
    assert.equal(text, heard.text);
    assert.equal(done.text, heard.text);
    const words = await api.audio.transcriptions.create({ model: 'whisper-1', file, response_format: 'verbose_json', timestamp_granularities: ['word'] });
    assert.equal(words.words.length, 7);
    assert.match(await api.audio.transcriptions.create({ model: 'whisper-1', file, response_format: 'vtt' }), /^WEBVTT\n\n00:00:00.000 --> /);
  }
  const pcm = await api.audio.speech.create({ model: 'gpt-4o-mini-tts', voice: 'marin', input: 'hi', response_format: 'pcm' });
  assert.equal((await pcm.arrayBuffer()).byteLength, (0.06 + 4 * 0.03) * 24000 * 2);
  await fails(OpenAI.BadRequestError, () => api.audio.speech.create({ model: 'gpt-4o-mini-tts', voice: 'nobody', input: 'hi' }));
});

const CLASSES = {
  400: [OpenAI.BadRequestError, 1], 401: [OpenAI.AuthenticationError, 1], 403: [OpenAI.PermissionDeniedError, 1], 404: [OpenAI.NotFoundError, 1], 408: [OpenAI.APIError, 3],
  409: [OpenAI.ConflictError, 3], 413: [OpenAI.APIError, 1], 422: [OpenAI.UnprocessableEntityError, 1], 429: [OpenAI.RateLimitError, 3], 500: [OpenAI.InternalServerError, 3],
  503: [OpenAI.InternalServerError, 3], 529: [OpenAI.InternalServerError, 3],
};
for (const [status, [type, tries]] of Object.entries(CLASSES)) {
  test(`status ${status} is ${type.name} to the client, after ${tries} request${tries > 1 ? 's' : ''}`, async () => {
    const key = newKey();
    const error = await fails(type, () => client(key, `status=${status},retry_after_ms=1`, { maxRetries: 2 }).chat.completions.create(ask('hello')));
    assert.equal(error.status, Number(status));
    assert.ok(error.requestID && error.error.message && error.type, JSON.stringify(error));
    assert.equal((await counts(key)).requests, tries);
  });
}

test('x-should-retry overrules the status, both ways', async () => {
  const tries = async (fault) => {
    const key = newKey();
    await fails(OpenAI.APIError, () => client(key, fault, { maxRetries: 2 }).chat.completions.create(ask('hello')));
    return (await counts(key)).requests;
  };
  assert.equal(await tries('status=503,should_retry=false'), 1);
  assert.equal(await tries('status=400,should_retry=true,retry_after_ms=1'), 3);
});

for (const [name, fault, least, most] of [['seconds', 'retry_after=1', 1000, 2500], ['milliseconds', 'retry_after_ms=300', 300, 900], ['a date', 'retry_after_date=2', 900, 3500]]) {
  test(`the client waits for Retry-After in ${name} and then succeeds`, async () => {
    const key = newKey();
    await control('POST', 'faults', { match: { key }, fault: `status=429,${fault}`, times: 1 });
    const began = Date.now();
    await client(key, '', { maxRetries: 2 }).chat.completions.create(ask('hello'));
    const took = Date.now() - began;
    assert.ok(took >= least && took < most, `${took} ms`);
    assert.deepEqual([(await counts(key)).requests, (await counts(key)).ok], [2, 1]);
  });
}

test('a quota that is spent has its own code and no Retry-After', async () => {
  const error = await fails(OpenAI.RateLimitError, () => client('broke').chat.completions.create(ask('hello')));
  assert.equal(error.code, 'insufficient_quota');
  assert.equal(error.headers.get('retry-after'), null);
});

test('a token bucket lets through what it holds, says so in headers, and refuses the rest with the time to wait', async () => {
  const key = newKey();
  await control('POST', 'limits', [{ key, requests_per_minute: 3, tokens_per_minute: 6000 }]);
  try {
    const api = client(key);
    for (let left = 2; left >= 0; left--) {
      const { response } = await api.chat.completions.create(ask('hello')).withResponse();
      assert.equal(response.headers.get('x-ratelimit-limit-requests'), '3');
      assert.equal(response.headers.get('x-ratelimit-remaining-requests'), String(left));
      assert.match(response.headers.get('x-ratelimit-reset-requests'), /^(\d+m)?[\d.]+s$/);
      assert.ok(Number(response.headers.get('x-ratelimit-remaining-tokens')) < 6000);
    }
    const error = await fails(OpenAI.RateLimitError, () => api.chat.completions.create(ask('hello')));
    assert.ok(Number(error.headers.get('retry-after')) >= 15 && Number(error.headers.get('retry-after')) <= 20, error.headers.get('retry-after'));
    assert.equal(error.code, 'rate_limit_exceeded');
  } finally {
    await control('DELETE', 'limits');
  }
});

test('wrong and missing fields are refused with their name', async () => {
  const refuse = async (more, name) => {
    const error = await fails(OpenAI.BadRequestError, () => client().chat.completions.create({ ...ask('hello'), ...more }));
    assert.ok(error.message.includes(name), error.message);
  };
  await refuse({ max_output_tokens: 5 }, 'max_output_tokens');
  await refuse({ messages: [] }, 'messages');
  await refuse({ messages: [{ role: 'robot', content: 'x' }] }, 'robot');
  await refuse({ messages: [...user('x'), { role: 'tool', tool_call_id: 'none', content: 'x' }] }, 'tool_calls');
  await refuse({ tools: [{ type: 'function', function: { name: 'a b', parameters: ORDER } }] }, 'pattern');
  await refuse({ tools: [{ type: 'function', function: { name: 'ab', strict: true, parameters: { ...ORDER, required: [] } } }] }, "Missing 'id'");
  await refuse({ response_format: { type: 'json_object' } }, "the word 'json'");
  await refuse({ stream_options: { include_usage: true } }, 'stream_options');
});

test('a refused connection, a wrong certificate, a reset and a late head are connection errors', async () => {
  const refused = new OpenAI({ apiKey: 'k', baseURL: 'http://127.0.0.1:1/v1', maxRetries: 0 });
  await fails(OpenAI.APIConnectionError, () => refused.chat.completions.create(ask('hello')));
  if (ports.wrong) {
    const wrong = new OpenAI({ apiKey: 'k', baseURL: `https://127.0.0.1:${ports.wrong}/openai/v1`, maxRetries: 0 });
    const error = await fails(OpenAI.APIConnectionError, () => wrong.chat.completions.create(ask('hello')));
    assert.match(String(error.cause?.cause?.code || error.cause?.code), /CERT|SELF_SIGNED/);
  }
  const key = newKey();
  await fails(OpenAI.APIConnectionError, () => client(key, 'drop=rst', { maxRetries: 1 }).chat.completions.create(ask('hello')));
  assert.equal((await counts(key)).requests, 2);
  await fails(OpenAI.APIConnectionTimeoutError, () => client(newKey(), 'head_ms=3000', { timeout: 100 }).chat.completions.create(ask('hello')));
});

async function read(key, fault) {
  let text = '';
  let finish = null;
  const stream = await client(key, fault).chat.completions.create(ask('count to 9', { stream: true }));
  try {
    for await (const { choices } of stream) {
      text += choices[0]?.delta.content || '';
      finish = choices[0]?.finish_reason || finish;
    }
    return { text, finish };
  } catch (error) {
    return { text, finish, error };
  }
}

test('a stream may be cut, end early, carry an error or broken JSON, and the client notices what it can', async () => {
  for (const how of ['rst', 'fin']) {
    const cut = await read(newKey(), `cut=3,how=${how}`);
    assert.ok(cut.error, `a stream cut by ${how} gave ${JSON.stringify(cut)}`);
    assert.equal(cut.finish, null);
    assert.equal(cut.text, '1 2 3');
  }
  assert.deepEqual(await read(newKey(), 'no_end'), { text: '1 2 3 4 5 6 7 8 9', finish: null });
  assert.deepEqual(await read(newKey(), 'no_end=1'), { text: '1 2 3 4 5 6 7 8 9', finish: 'stop' });
  const error = await read(newKey(), 'error=2');
  assert.ok(error.error instanceof OpenAI.APIError && error.text === '1 2', JSON.stringify(error));
  const broken = await read(newKey(), 'broken=2');
  assert.ok(broken.error instanceof SyntaxError && broken.text === '1 2', JSON.stringify(broken));
  assert.deepEqual(await read(newKey(), 'empty'), { text: '', finish: null });
  assert.deepEqual(await read(newKey(), 'empty=text'), { text: '', finish: 'stop' });
});

for (const fault of ['split=1', 'split=7,seed=3', 'merge', 'crlf', 'comments', 'trailing', 'unended', 'split=2,crlf,comments', 'first_ms=20,gap_ms=2-5']) {
  test(`a stream written with ${fault} is read the same`, async () => {
    assert.deepEqual(await read(newKey(), fault), { text: '1 2 3 4 5 6 7 8 9', finish: 'stop' });
  });
}

test('who leaves in the middle of an endless answer or a stall is seen to leave', async () => {
  for (const fault of ['endless,gap_ms=2', 'stall=3']) {
    const key = newKey();
    const abort = new AbortController();
    const stream = await client(key, fault).chat.completions.create(ask('count to 9', { stream: true }), { signal: abort.signal });
    let text = '';
    for await (const { choices } of stream) {
      text += choices[0].delta.content || '';
      if (text.startsWith('1 2 3')) abort.abort();
    }
    const went = Date.now();
    const record = await ended(key);
    assert.equal(record.end, 'cancelled');
    assert.ok(record.ended_ms - went < 500, `${record.ended_ms - went} ms`);
  }
});

test('a model name and a header bring faults too, and chaos comes at its rate', async () => {
  await fails(OpenAI.InternalServerError, () => client().chat.completions.create(ask('hello', { model: 'gpt-4.1@status=503' })));
  await fails(OpenAI.ConflictError, () => client().chat.completions.create(ask('hello'), { headers: { 'x-fake-fault': 'status=409' } }));
  const key = newKey();
  const api = client(key);
  await control('POST', 'faults?seed=11', { match: { key }, fault: { chaos: 0.3 } });
  let failed = 0;
  for (let i = 0; i < 200; i++) await api.chat.completions.create(ask('hello')).catch(() => failed++);
  assert.ok(failed > 35 && failed < 85, `${failed} of 200`);
});

test('a script is followed to the letter, and used up', async () => {
  const key = newKey();
  await control('POST', 'script', { match: { key, contains: 'hello' }, answers: [
    { text: 'first', usage: { input: 100, cached: 60, output: 7 } }, { tool_calls: [{ id: 'call_x', name: 'find_order', arguments: '{"id":' }] }, { pieces: ['a', 'b'], text: 'ab' }, { fault: 'status=500' }] });
  const api = client(key);
  const first = await api.chat.completions.create(ask('hello'));
  assert.deepEqual([first.choices[0].message.content, first.usage.prompt_tokens_details.cached_tokens, first.usage.total_tokens], ['first', 60, 107]);
  assert.equal((await api.chat.completions.create(ask('hello'))).choices[0].message.tool_calls[0].function.arguments, '{"id":');
  const pieces = [];
  for await (const { choices } of await api.chat.completions.create(ask('hello', { stream: true }))) if (choices[0].delta.content) pieces.push(choices[0].delta.content);
  assert.deepEqual(pieces, ['a', 'b']);
  await fails(OpenAI.InternalServerError, () => api.chat.completions.create(ask('hello')));
  assert.equal((await api.chat.completions.create(ask('hello'))).choices[0].message.content, 'You said: hello');
});

test('an answer that was cut is taken up where it ended', async () => {
  const { choices } = await client().chat.completions.create({ model: 'gpt-4.1', messages: [...user('count to 6'), { role: 'assistant', content: '1 2 3' }, ...user('Please continue exactly where you stopped.')] });
  assert.equal(choices[0].message.content, '4 5 6');
});
