// SPDX-License-Identifier: Apache-2.0
'use strict';
/* The realtime models of tests/fakes/speech as the official clients of OpenAI and Gemini see them. SPEECH_PORT and SPEECH_TLS_PORT say where they are. */
const assert = require('assert');
const { test } = require('node:test');
const OpenAI = require('openai').default;
const { OpenAIRealtimeWS } = require('openai/realtime/ws');
const { GoogleGenAI, Modality } = require('@google/genai');
const { speak, hear } = require('../tones');

const ORDER = { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] };
const QUIET_MS = 700;

function heardIn(pcm, rate) {
  const samples = new Float64Array(pcm.length / 2);
  for (let i = 0; i < samples.length; i++) samples[i] = pcm.readInt16LE(2 * i);
  return hear(samples, rate);
}
const spoken = (text, rate) => Buffer.concat([speak(text, rate), Buffer.alloc((rate * 2 * QUIET_MS) / 1000)]);

/** A session: { socket, events, until(type) }. */
async function openai({ fault, key = 'k', model = 'gpt-realtime', session = {} } = {}) {
  const client = new OpenAI({ apiKey: key, baseURL: `https://127.0.0.1:${process.env.SPEECH_TLS_PORT}${fault ? `/_with/${fault}` : ''}/v1` });
  const socket = new OpenAIRealtimeWS({ model }, client);
  const seen = { socket, events: [], errors: [] };
  const waits = [];
  socket.on('error', (error) => seen.errors.push(error));
  socket.on('event', (event) => {
    seen.events.push(event);
    for (const wait of waits.slice()) wait();
  });
  seen.closed = new Promise((resolve) => socket.socket.on('close', (code) => resolve(code)));
  seen.until = (type, from = 0) => new Promise((resolve, reject) => {
    const look = () => {
      const found = seen.events.slice(from).find((event) => event.type === type);
      if (!found) return;
      waits.splice(waits.indexOf(look), 1);
      resolve(found);
    };
    waits.push(look);
    seen.closed.then((code) => reject(new Error(`closed with ${code} before ${type}: ${seen.errors}`)));
    look();
  });
  if (fault || key.startsWith('wrong') || model.startsWith('missing')) return seen;
  await seen.until('session.created');
  socket.send({ type: 'session.update', session: { type: 'realtime', ...session } });
  await seen.until('session.updated');
  return seen;
}

function say(seen, text) {
  const pcm = spoken(text, 24000);
  for (let at = 0; at < pcm.length; at += 4800) seen.socket.send({ type: 'input_audio_buffer.append', audio: pcm.subarray(at, at + 4800).toString('base64') });
}
const soundOf = (seen) => Buffer.concat(seen.events.filter((event) => event.type === 'response.output_audio.delta').map((event) => Buffer.from(event.delta, 'base64')));

test('OpenAI: what is said is heard, answered by voice and written down, in the order that the API has', async () => {
  const seen = await openai({ session: { instructions: 'Be brief.', audio: { input: { transcription: { model: 'gpt-4o-mini-transcribe' } } } } });
  say(seen, 'Good day');
  const { response } = await seen.until('response.done');
  const { transcript } = await seen.until('conversation.item.input_audio_transcription.completed');
  assert.equal(transcript, 'Good day');
  assert.equal(heardIn(soundOf(seen), 24000), 'You said: Good day');
  assert.equal(response.output[0].content[0].transcript, 'You said: Good day');
  assert.ok(response.usage.input_token_details.audio_tokens > 0 && response.usage.output_token_details.audio_tokens > 0);
  const types = seen.events.map((event) => event.type);
  const order = ['input_audio_buffer.speech_started', 'input_audio_buffer.speech_stopped', 'input_audio_buffer.committed', 'conversation.item.added', 'response.created', 'response.output_item.added',
    'response.content_part.added', 'response.output_audio.delta', 'response.output_audio.done', 'response.output_audio_transcript.done', 'response.content_part.done', 'response.output_item.done', 'response.done'];
  for (let i = 1; i < order.length; i++) assert.ok(types.indexOf(order[i - 1]) < types.indexOf(order[i]), `${order[i - 1]} before ${order[i]}`);
  assert.deepEqual(seen.errors, []);
  seen.socket.close();
});

test('OpenAI: a call waits for its result and for response.create', async () => {
  const seen = await openai({ session: { tools: [{ type: 'function', name: 'find_order', parameters: ORDER }] } });
  say(seen, 'use find_order with {"id":"7"}');
  const call = await seen.until('response.function_call_arguments.done');
  assert.deepEqual(JSON.parse(call.arguments), { id: '7' });
  await seen.until('response.done');
  const from = seen.events.length;
  seen.socket.send({ type: 'conversation.item.create', item: { type: 'function_call_output', call_id: call.call_id, output: 'sent' } });
  seen.socket.send({ type: 'response.create' });
  const { response } = await seen.until('response.done', from);
  assert.equal(response.output[0].content[0].transcript, 'find_order said: sent');
  seen.socket.close();
});

test('OpenAI: who speaks interrupts, and what was not heard is cut; not more than there is', async () => {
  const seen = await openai({ session: { audio: { output: { format: { type: 'audio/pcmu' } } } } });
  say(seen, 'count to 60');
  const { item_id: id } = await seen.until('response.output_audio.delta');
  say(seen, 'Stop');
  const { response } = await seen.until('response.done');
  assert.equal(response.status, 'cancelled');
  assert.equal(response.status_details.reason, 'turn_detected');
  seen.socket.send({ type: 'conversation.item.truncate', item_id: id, content_index: 0, audio_end_ms: 1e6 });
  seen.socket.send({ type: 'conversation.item.truncate', item_id: id, content_index: 0, audio_end_ms: 50 });
  assert.equal((await seen.until('conversation.item.truncated')).audio_end_ms, 50);
  assert.match(seen.errors[0].error.message, /already shorter/);
  seen.socket.close();
});

test('OpenAI: refusals, mistakes and ends are those of the API', async () => {
  for (const asked of [{ key: 'wrong' }, { model: 'missing' }, { fault: 'status=429' }]) {
    const seen = await openai(asked);
    await seen.closed;
    assert.equal(seen.events.length, 0);
    assert.match(String(seen.errors[0]), /401|404|429/);
  }
  const seen = await openai();
  seen.socket.send({ type: 'response.cancel' });
  const { error } = await seen.until('error');
  assert.equal(error.code, 'response_cancel_not_active');
  seen.socket.send({ type: 'session.update', session: { type: 'realtime', voice: 'alloy' } });
  while (seen.errors.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(seen.errors[1].error.code, 'unknown_parameter');
  seen.socket.close();
  const limited = await openai({ fault: 'limit_s=0.2' });
  assert.equal((await limited.until('error')).error.code, 'session_expired');
  assert.equal(await limited.closed, 1001);
});

/** A session: { session, messages, until(test), closed }. */
async function gemini({ fault, apiKey = 'k', model = 'gemini-3.8-live', config = {} } = {}) {
  const ai = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: `http://127.0.0.1:${process.env.SPEECH_PORT}${fault ? `/_with/${fault}` : ''}` } });
  const seen = { messages: [] };
  const waits = new Set();
  seen.until = (test_) => new Promise((resolve) => {
    const look = () => {
      const found = seen.messages.find(test_);
      if (found) resolve(found);
    };
    waits.add(look);
    look();
  });
  let closed;
  seen.closed = new Promise((resolve) => { closed = resolve; });
  const connecting = ai.live.connect({ model, config: { responseModalities: [Modality.AUDIO], inputAudioTranscription: {}, outputAudioTranscription: {}, ...config },
    callbacks: { onmessage: (message) => { seen.messages.push(message); for (const look of waits) look(); }, onclose: (event) => closed(event), onerror: () => {} } });
  seen.session = await Promise.race([connecting, seen.closed.then(() => null)]);
  return seen;
}

function tell(seen, text) {
  const pcm = spoken(text, 16000);
  for (let at = 0; at < pcm.length; at += 3200) seen.session.sendRealtimeInput({ audio: { data: pcm.subarray(at, at + 3200).toString('base64'), mimeType: 'audio/pcm;rate=16000' } });
}
const textIn = (seen, key) => seen.messages.map((message) => message.serverContent?.[key]?.text || '').join('');
const soundIn = (seen) => Buffer.concat(seen.messages.flatMap((message) => message.serverContent?.modelTurn?.parts || []).map((part) => Buffer.from(part.inlineData.data, 'base64')));

test('Gemini: what is said is heard, answered by voice and written down', async () => {
  const seen = await gemini({ config: { systemInstruction: 'Be brief.', sessionResumption: {}, contextWindowCompression: { slidingWindow: {} } } });
  tell(seen, 'Good day');
  await seen.until((message) => message.serverContent?.generationComplete);
  const at = seen.messages.length;
  await seen.until((message) => message.serverContent?.turnComplete);
  assert.ok(seen.messages.length > at);
  assert.equal(textIn(seen, 'inputTranscription'), 'Good day');
  assert.equal(textIn(seen, 'outputTranscription'), 'You said: Good day');
  assert.equal(heardIn(soundIn(seen), 24000), 'You said: Good day');
  const { usageMetadata } = await seen.until((message) => message.usageMetadata);
  assert.ok(usageMetadata.responseTokensDetails.some((one) => one.modality === 'AUDIO' && one.tokenCount > 0));
  const { sessionResumptionUpdate } = await seen.until((message) => message.sessionResumptionUpdate?.resumable);
  seen.session.close();
  const next = await gemini({ config: { sessionResumption: { handle: sessionResumptionUpdate.newHandle } } });
  next.session.sendRealtimeInput({ text: 'go on' });
  await next.until((message) => message.serverContent?.turnComplete);
  next.session.close();
  const lost = await gemini({ config: { sessionResumption: { handle: 'none' } } });
  assert.equal(lost.session, null);
  assert.match((await lost.closed).reason, /session not found/);
});

test('Gemini: a call is answered, or taken back when the caller speaks', async () => {
  const tools = [{ functionDeclarations: [{ name: 'find_order', parametersJsonSchema: ORDER }] }];
  const seen = await gemini({ config: { tools } });
  tell(seen, 'use find_order with {"id":"7"}');
  const { toolCall } = await seen.until((message) => message.toolCall);
  assert.deepEqual(toolCall.functionCalls[0].args, { id: '7' });
  seen.session.sendToolResponse({ functionResponses: [{ id: toolCall.functionCalls[0].id, name: 'find_order', response: { output: 'sent' } }] });
  await seen.until((message) => message.serverContent?.turnComplete);
  assert.equal(textIn(seen, 'outputTranscription'), 'find_order said: sent');
  seen.session.close();
  const other = await gemini({ config: { tools } });
  tell(other, 'use find_order with {"id":"8"}');
  const call = await other.until((message) => message.toolCall);
  tell(other, 'No');
  const { toolCallCancellation } = await other.until((message) => message.toolCallCancellation);
  assert.deepEqual(toolCallCancellation.ids, [call.toolCall.functionCalls[0].id]);
  other.session.close();
});

test('Gemini: who speaks interrupts', async () => {
  const seen = await gemini();
  tell(seen, 'count to 60');
  await seen.until((message) => message.serverContent?.modelTurn);
  tell(seen, 'Stop');
  await seen.until((message) => message.serverContent?.interrupted);
  await seen.until((message) => message.serverContent?.turnComplete);
  assert.ok(!seen.messages.slice(0, seen.messages.findIndex((message) => message.serverContent?.turnComplete)).some((message) => message.serverContent?.generationComplete));
  seen.session.close();
});

// The mode in which a setup announces it (historyConfig) is in this client's types alone: it does not send it.
test('Gemini: a history that is not complete is not answered', async () => {
  const seen = await gemini();
  seen.session.sendClientContent({ turns: [{ role: 'user', parts: [{ text: 'count to 3' }] }, { role: 'model', parts: [{ text: '1 2' }] }], turnComplete: false });
  seen.session.sendRealtimeInput({ text: 'go on' });
  await seen.until((message) => message.serverContent?.turnComplete);
  assert.equal(textIn(seen, 'outputTranscription'), '3');
  seen.session.close();
});

test('Gemini: refusals, mistakes and ends are those of the API', async () => {
  assert.match((await (await gemini({ apiKey: 'wrong' })).closed).reason, /API key not valid/);
  const missing = await (await gemini({ model: 'missing' })).closed;
  assert.equal(missing.code, 1008);
  assert.match(missing.reason, /is not found/);
  const seen = await gemini({ fault: 'goaway=0.1' });
  const { goAway } = await seen.until((message) => message.goAway);
  assert.equal(goAway.timeLeft, '2s');
  assert.equal((await seen.closed).code, 1011);
});
