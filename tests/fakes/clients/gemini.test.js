// SPDX-License-Identifier: Apache-2.0
'use strict';
const assert = require('assert');
const test = require('node:test');
const { GoogleGenAI, ApiError, Type, FunctionCallingConfigMode } = require('@google/genai');
const { ports, url, newKey, counts, ended, fails, checkNear, TEXTS, long, ORDER, TICKET, satisfies, control } = require('./world');

const client = (key = newKey(), fault = '', more = {}) => new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url(fault, '/gemini'), ...more } });
const ask = (contents, config = {}, more = {}) => ({ model: 'gemini-3.8-flash', contents, config, ...more });
const declare = (name) => ({ name, description: `The ${name}`, parametersJsonSchema: ORDER });
const TOOLS = [{ functionDeclarations: [declare('find_order'), declare('find_customer')] }];
const ONE = 'use find_order with {"id":"1234"}';
const TWO = `${ONE} and use find_customer with {"id":"häns"}`;

test('content is generated, with thoughts counted outside the candidates', async () => {
  const answer = await client().models.generateContent(ask('hello there', { systemInstruction: 'Be brief.' }));
  assert.equal(answer.text, 'You said: hello there');
  assert.equal(answer.candidates[0].finishReason, 'STOP');
  const { promptTokenCount, candidatesTokenCount, thoughtsTokenCount, totalTokenCount } = answer.usageMetadata;
  assert.ok(thoughtsTokenCount > 0 && candidatesTokenCount === 5, JSON.stringify(answer.usageMetadata));
  assert.equal(totalTokenCount, promptTokenCount + candidatesTokenCount + thoughtsTokenCount);
  const plain = await client().models.generateContent(ask('hello', { thinkingConfig: { thinkingBudget: 0 } }));
  assert.equal(plain.usageMetadata.thoughtsTokenCount, undefined);
  assert.equal(plain.modelVersion, 'gemini-3.8-flash');
});

test('a stream says the same: usage in each chunk, growing, the reason in the last', async () => {
  let text = '';
  const counted = [];
  let reason;
  for await (const chunk of await client().models.generateContentStream(ask('count to 20'))) {
    text += chunk.text || '';
    counted.push(chunk.usageMetadata.candidatesTokenCount);
    assert.equal(reason, undefined);
    reason = chunk.candidates[0].finishReason;
  }
  assert.equal(text, Array.from({ length: 20 }, (_, i) => i + 1).join(' '));
  assert.deepEqual(counted, [...counted].sort((a, b) => a - b));
  assert.deepEqual([counted.at(-1), reason], [20, 'STOP']);
});

test('thoughts are shown when asked for, apart from the text', async () => {
  const answer = await client().models.generateContent(ask('hello', { thinkingConfig: { includeThoughts: true } }));
  assert.ok(answer.candidates[0].content.parts[0].thought);
  assert.equal(answer.text, 'You said: hello');
});

test('functions are called, whole, also in a stream, and the stop reason does not tell', async () => {
  const one = await client().models.generateContent(ask(ONE, { tools: TOOLS }));
  assert.deepEqual(one.functionCalls.map((call) => [call.name, call.args]), [['find_order', { id: '1234' }]]);
  assert.equal(one.candidates[0].finishReason, 'STOP');
  const calls = [];
  for await (const chunk of await client().models.generateContentStream(ask(TWO, { tools: TOOLS }))) calls.push(...(chunk.functionCalls || []));
  assert.deepEqual(calls.map((call) => [call.name, call.args]), [['find_order', { id: '1234' }], ['find_customer', { id: 'häns' }]]);
});

test('a chat sends the signature back, and the call is refused without it', async () => {
  const api = client();
  const chat = api.chats.create({ model: 'gemini-3.8-flash', config: { tools: TOOLS } });
  const first = await chat.sendMessage({ message: ONE });
  const { id, name } = first.functionCalls[0];
  const second = await chat.sendMessage({ message: { functionResponse: { id, name, response: { output: 'on its way' } } } });
  assert.equal(second.text, 'find_order said: on its way');
  const bare = first.candidates[0].content.parts.map(({ thoughtSignature: _, ...part }) => part);
  const error = await fails(ApiError, () => api.models.generateContent(ask([{ role: 'user', parts: [{ text: ONE }] }, { role: 'model', parts: bare }, { role: 'user', parts: [{ functionResponse: { id, name, response: { output: 'x' } } }] }], { tools: TOOLS })));
  assert.match(error.message, /thought_signature/);
});

test('modes of calling hold', async () => {
  const names = async (content, functionCallingConfig) => (await client().models.generateContent(ask(content, { tools: TOOLS, toolConfig: { functionCallingConfig } }))).functionCalls?.map((call) => call.name);
  assert.deepEqual(await names('hello', { mode: FunctionCallingConfigMode.ANY }), ['find_order']);
  assert.deepEqual(await names('hello', { mode: FunctionCallingConfigMode.ANY, allowedFunctionNames: ['find_customer'] }), ['find_customer']);
  assert.deepEqual(await names(ONE, { mode: FunctionCallingConfigMode.NONE }), undefined);
});

test('a schema is satisfied, in both forms', async () => {
  const json = await client().models.generateContent(ask('order 1234, high urgency', { responseMimeType: 'application/json', responseJsonSchema: TICKET }));
  satisfies(TICKET, JSON.parse(json.text));
  const schema = { type: Type.OBJECT, properties: { order: { type: Type.INTEGER }, late: { type: Type.BOOLEAN }, note: { type: Type.STRING, nullable: true } }, required: ['order', 'late'] };
  const open = JSON.parse((await client().models.generateContent(ask('order 1234 is late', { responseMimeType: 'application/json', responseSchema: schema }))).text);
  assert.deepEqual([open.order, open.late], [1234, true]);
  await fails(ApiError, () => client().models.generateContent(ask('x', { responseJsonSchema: TICKET })));
});

test('limits, stop texts, safety, a blocked prompt and a malformed call end an answer', async () => {
  const end = async (content, config) => {
    const answer = await client().models.generateContent(ask(content, { thinkingConfig: { thinkingBudget: 0 }, ...config }));
    return [answer.candidates?.[0].finishReason, answer.candidates?.[0].content?.parts[0].text, answer.promptFeedback?.blockReason];
  };
  assert.deepEqual(await end('count to 9', { maxOutputTokens: 3 }), ['MAX_TOKENS', '1 2 3', undefined]);
  assert.deepEqual(await end('count to 9', { stopSequences: [' 4'] }), ['STOP', '1 2 3', undefined]);
  assert.deepEqual(await end('please refuse this'), ['SAFETY', undefined, undefined]);
  assert.deepEqual(await end('please filter this'), [undefined, undefined, 'PROHIBITED_CONTENT']);
  assert.equal((await end(ONE, { tools: TOOLS, maxOutputTokens: 2 }))[0], 'MALFORMED_FUNCTION_CALL');
});

test('a long prompt is cached the second time, inside its count', async () => {
  const api = client();
  const usage = async (question) => (await api.models.generateContent(ask(question, { systemInstruction: long('gemini') }))).usageMetadata;
  assert.equal((await usage('one')).cachedContentTokenCount, undefined);
  const second = await usage('two');
  assert.ok(second.cachedContentTokenCount >= 1024 && second.cachedContentTokenCount < second.promptTokenCount);
});

test('embeddings: near texts are near, dimensions are kept', async () => {
  const { embeddings } = await client().models.embedContent({ model: 'gemini-embedding-001', contents: TEXTS });
  checkNear(embeddings.map((one) => one.values));
  const small = await client().models.embedContent({ model: 'gemini-embedding-001', contents: 'x', config: { outputDimensionality: 256, taskType: 'RETRIEVAL_QUERY' } });
  assert.equal(small.embeddings[0].values.length, 256);
});

test('models are listed page by page, found, and their tokens counted', async () => {
  const api = client();
  const names = [];
  for await (const model of await api.models.list({ config: { pageSize: 2 } })) names.push(model.name);
  assert.ok(names.length >= 5 && names.includes('models/gemini-3.8-flash'), names.join());
  assert.equal((await api.models.get({ model: 'gemini-3.8-flash' })).displayName, 'Gemini 3.8 Flash');
  assert.equal((await fails(ApiError, () => api.models.get({ model: 'gemini-0' }))).status, 404);
  assert.ok((await api.models.countTokens({ model: 'gemini-3.8-flash', contents: 'hello there' })).totalTokens > 1);
});

for (const [status, name] of Object.entries({ 400: 'INVALID_ARGUMENT', 401: 'UNAUTHENTICATED', 403: 'PERMISSION_DENIED', 404: 'NOT_FOUND', 408: 'DEADLINE_EXCEEDED', 409: 'ABORTED', 413: 'INVALID_ARGUMENT',
  422: 'INVALID_ARGUMENT', 429: 'RESOURCE_EXHAUSTED', 500: 'INTERNAL', 503: 'UNAVAILABLE', 529: 'UNKNOWN' })) {
  test(`status ${status} is an ApiError with ${name}, whole and streamed`, async () => {
    const key = newKey();
    const api = client(key, `status=${status}`);
    for (const run of [() => api.models.generateContent(ask('hello')), () => api.models.generateContentStream(ask('hello'))]) {
      const error = await fails(ApiError, run);
      assert.equal(error.status, Number(status));
      assert.equal(JSON.parse(error.message).error.status, name);
    }
    assert.equal((await counts(key)).requests, 2);
  });
}

test('retries are off unless asked for, and then on for what may pass', async () => {
  const tries = async (status) => {
    const key = newKey();
    await client(key, `status=${status}`, { retryOptions: { attempts: 3, initialDelay: 0.01, maxDelay: 0.02, jitter: 0 } }).models.generateContent(ask('hello')).catch(() => {});
    return (await counts(key)).requests;
  };
  assert.deepEqual([await tries(503), await tries(429), await tries(408), await tries(400)], [3, 3, 3, 1]);
});

test('a rate limit tells the quota and the delay in its details', async () => {
  const key = newKey();
  await control('POST', 'limits', [{ key, requests_per_minute: 1 }]);
  try {
    await client(key).models.generateContent(ask('hello'));
    const error = await fails(ApiError, () => client(key).models.generateContent(ask('hello')));
    const { details } = JSON.parse(error.message).error;
    assert.match(details[0]['@type'], /QuotaFailure$/);
    assert.ok(parseFloat(details[1].retryDelay) >= 55);
  } finally {
    await control('DELETE', 'limits');
  }
});

test('unknown fields and shapes are refused with their place', async () => {
  const post = async (body) => {
    const answer = await fetch(url('', '/gemini/v1beta/models/gemini-3.8-flash:generateContent'), { method: 'POST', headers: { 'x-goog-api-key': 'k' }, body: JSON.stringify(body) });
    assert.equal(answer.status, 400);
    return (await answer.json()).error.message;
  };
  const contents = [{ role: 'user', parts: [{ text: 'hello' }] }];
  assert.match(await post({ contents, max_tokens: 1 }), /Unknown name "max_tokens"/);
  assert.match(await post({ contents, generationConfig: { maxTokens: 1 } }), /Unknown name "maxTokens" at 'generation_config'/);
  assert.match(await post({ contents: [{ role: 'assistant', parts: [{ text: 'x' }] }] }), /valid role/);
  assert.match(await post({ contents, tools: [{ functionDeclarations: [{ name: 'x', parameters: ORDER }] }] }), /additionalProperties/);
});

test('a refused connection, a reset and a wrong certificate fail, and so does a key that is wrong', async () => {
  const at = (baseUrl) => new GoogleGenAI({ apiKey: 'k', httpOptions: { baseUrl } }).models.generateContent(ask('hello'));
  await fails(Error, () => at('http://127.0.0.1:1'));
  if (ports.wrong) await fails(Error, () => at(`https://127.0.0.1:${ports.wrong}/gemini`));
  await fails(Error, () => client(newKey(), 'drop=rst').models.generateContent(ask('hello')));
  await fails(Error, () => client(newKey(), 'head_ms=2000', { timeout: 100 }).models.generateContent(ask('hello')));
  const wrong = await fails(ApiError, () => client('wrong').models.generateContent(ask('hello')));
  assert.deepEqual([wrong.status, JSON.parse(wrong.message).error.details[0].reason], [400, 'API_KEY_INVALID']);
});

async function read(fault, model = 'gemini-3.8-flash') {
  let text = '';
  let reason = null;
  try {
    for await (const chunk of await client(newKey(), fault).models.generateContentStream(ask('count to 9', {}, { model }))) {
      text += chunk.text || '';
      reason = chunk.candidates?.[0].finishReason || reason;
    }
    return { text, reason };
  } catch (error) {
    return { text, reason, error };
  }
}

test('a stream may be cut, end early, carry an error or broken JSON, and the client notices what it can', async () => {
  for (const how of ['rst', 'fin']) {
    const cut = await read(`cut=3,how=${how}`);
    assert.ok(cut.error && cut.reason === null, JSON.stringify(cut));
  }
  assert.deepEqual(await read('no_end'), { text: '1 2 3 4 5 6 7 8 9', reason: null });
  for (const fault of ['error=2,gap_ms=20', 'error=2,error_bare']) {
    const failed = await read(fault);
    assert.ok(failed.error instanceof ApiError && failed.error.status === 503 && failed.text === '1 2', JSON.stringify(failed));
  }
  assert.ok((await read('broken=2')).error instanceof Error);
  assert.deepEqual(await read('empty=text'), { text: '', reason: 'STOP' });
  assert.equal((await read('', 'gemini-3.8-flash@status=503')).error.status, 503);
});

for (const fault of ['split=1', 'merge', 'trailing', 'split=2,crlf', 'first_ms=20,gap_ms=2-5']) {
  test(`a stream written with ${fault} is read the same`, async () => {
    assert.deepEqual(await read(fault), { text: '1 2 3 4 5 6 7 8 9', reason: 'STOP' });
  });
}

test('without alt=sse a stream is one JSON array', async () => {
  const answer = await fetch(url('split=5', '/gemini/v1beta/models/gemini-3.8-flash:streamGenerateContent'), { method: 'POST', headers: { 'x-goog-api-key': 'k' }, body: JSON.stringify({ contents: [{ parts: [{ text: 'count to 4' }] }] }) });
  const chunks = await answer.json();
  assert.equal(chunks.map((chunk) => chunk.candidates[0].content.parts[0].text).join(''), '1 2 3 4');
  const failed = await fetch(url('status=503', '/gemini/v1beta/models/gemini-3.8-flash:streamGenerateContent'), { method: 'POST', body: '{}' });
  assert.equal((await failed.json())[0].error.status, 'UNAVAILABLE');
});

test('who leaves in the middle is seen to leave', async () => {
  const key = newKey();
  const abort = new AbortController();
  let n = 0;
  await fails(Error, async () => {
    for await (const _ of await client(key, 'endless,gap_ms=2').models.generateContentStream(ask('hello', { abortSignal: abort.signal }))) if (++n === 20) abort.abort();
  });
  const went = Date.now();
  const record = await ended(key);
  assert.equal(record.end, 'cancelled');
  assert.ok(record.ended_ms - went < 500);
});
