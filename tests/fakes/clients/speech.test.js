// SPDX-License-Identifier: Apache-2.0
'use strict';
/* tests/fakes/speech as the official clients of Deepgram and ElevenLabs see it. SPEECH_PORT says where it is. */
const assert = require('assert');
const { test } = require('node:test');
const { DeepgramClient } = require('@deepgram/sdk');
const { ElevenLabsClient } = require('@elevenlabs/elevenlabs-js');
const { speak } = require('../tones');

const base = `http://127.0.0.1:${process.env.SPEECH_PORT}`;
const TEXT = 'Where is my order?';
const eleven = (fault, apiKey = 'k') => new ElevenLabsClient({ apiKey, baseUrl: base + (fault ? `/_with/${fault}` : ''), maxRetries: 0 });
const wanted = { text: TEXT, modelId: 'eleven_flash_v2_5', outputFormat: 'pcm_8000' };

async function bytesOf(stream) {
  const parts = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

test('ElevenLabs: a stream of sound is the text spoken', async () => {
  const sound = await bytesOf(await eleven().textToSpeech.stream('voice', wanted));
  assert.deepEqual(sound, speak(TEXT, 8000));
});

test('ElevenLabs: a stream with times has sound and the time of each character', async () => {
  const parts = [];
  let said = '';
  let last = 0;
  for await (const chunk of await eleven().textToSpeech.streamWithTimestamps('voice', wanted)) {
    parts.push(Buffer.from(chunk.audioBase64, 'base64'));
    if (!chunk.alignment) continue;
    said += chunk.alignment.characters.join('');
    for (const at of chunk.alignment.characterStartTimesSeconds) {
      assert.ok(at >= last);
      last = at;
    }
  }
  assert.equal(said, TEXT);
  assert.deepEqual(Buffer.concat(parts), speak(TEXT, 8000));
});

test('ElevenLabs: refusals have their status', async () => {
  const statusOf = async (client, voice = 'voice') => {
    try {
      await bytesOf(await client.textToSpeech.stream(voice, wanted));
    } catch (error) {
      return error.statusCode;
    }
    return 200;
  };
  assert.equal(await statusOf(eleven(undefined, 'wrong')), 401);
  assert.equal(await statusOf(eleven(), 'missing'), 404);
  for (const status of [429, 500, 503]) assert.equal(await statusOf(eleven(`status=${status}`)), status);
});

/** Listens: the messages and how it closed. */
async function listen(options, work, fault) {
  const client = new DeepgramClient({ apiKey: options.key || 'k', baseUrl: `ws://127.0.0.1:${process.env.SPEECH_PORT}${fault ? `/_with/${fault}` : ''}` });
  const socket = await client.listen.v1.connect({ model: 'nova-3', encoding: 'linear16', sample_rate: 8000, interim_results: 'true', vad_events: 'true', reconnectAttempts: 0, ...options.query });
  const seen = { messages: [], errors: [] };
  const closed = new Promise((resolve) => socket.on('close', (event) => resolve(event)));
  socket.on('message', (message) => seen.messages.push(message));
  socket.on('error', (error) => seen.errors.push(error));
  socket.connect();
  if (work) {
    await socket.waitForOpen();
    await work(socket);
  }
  seen.close = await closed;
  socket.close();
  return seen;
}

const sound = Buffer.concat([speak(TEXT, 8000), Buffer.alloc(16000)]);
function feed(socket) {
  for (let at = 0; at < sound.length; at += 1600) socket.sendMedia(sound.subarray(at, at + 1600));
}
const textOf = (messages) => messages.filter((m) => m.type === 'Results' && m.is_final).map((m) => m.channel.alternatives[0].transcript).join('');

test('Deepgram: speech is heard, partial texts first, its end by silence', async () => {
  const seen = await listen({ query: { endpointing: 300 } }, async (socket) => {
    feed(socket);
    socket.sendCloseStream({ type: 'CloseStream' });
  });
  const types = seen.messages.map((m) => m.type);
  assert.equal(textOf(seen.messages), TEXT);
  assert.ok(types.includes('SpeechStarted'));
  assert.ok(seen.messages.some((m) => m.type === 'Results' && !m.is_final));
  assert.ok(seen.messages.some((m) => m.speech_final));
  assert.equal(types.at(-1), 'Metadata');
  assert.equal(seen.close.code, 1000);
});

test('Deepgram: Finalize is answered at once', async () => {
  const seen = await listen({ query: { endpointing: 'false' } }, async (socket) => {
    socket.sendKeepAlive({ type: 'KeepAlive' });
    feed(socket);
    socket.sendFinalize({ type: 'Finalize' });
    socket.sendCloseStream({ type: 'CloseStream' });
  });
  const [final] = seen.messages.filter((m) => m.from_finalize);
  assert.equal(final.channel.alternatives[0].transcript, TEXT);
  assert.equal(final.channel.alternatives[0].words.length, 4);
});

test('Deepgram: who says nothing is closed', async () => {
  const seen = await listen({}, async () => {}, 'idle_s=1');
  assert.equal(seen.close.code, 1011);
});

test('Deepgram: a key that is not valid opens nothing', async () => {
  const seen = await listen({ key: 'wrong' });
  assert.equal(seen.messages.length, 0);
  assert.ok(seen.errors.length > 0);
});
