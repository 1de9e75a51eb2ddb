// SPDX-License-Identifier: Apache-2.0
'use strict';
/* ElevenLabs' text to speech, the server of whisper.cpp and Piper's, over HTTP. What is spoken by one is heard by another (tones.js).
 * Each: match(method, path) -> params | null; run({ params, query, headers, bytes }) -> { status, headers, chunks: list of buffers }. */
const { readForm } = require('./form');
const { speak } = require('./tones');
const { hear } = require('./voices');
const { wav, readWav } = require('./sound_file');

const json = (status, value, headers) => ({ status, headers: { 'content-type': 'application/json', ...headers }, chunks: [Buffer.from(JSON.stringify(value))] });

// -- ElevenLabs: elevenlabs-js, resources/textToSpeech -----------------------------------------------------------------------------

const TTS_FIELDS = new Set(['text', 'model_id', 'language_code', 'voice_settings', 'pronunciation_dictionary_locators', 'seed', 'previous_text', 'next_text', 'previous_request_ids',
  'next_request_ids', 'use_pvc_as_ivc', 'apply_text_normalization', 'apply_language_text_normalization', 'audio_effects']);
const PIECE_S = 0.25;

const detail = (status, word, message) => json(status, { detail: { status: word, message } });

function elevenlabs({ params, query, headers, bytes }) {
  const key = headers['xi-api-key'] || '';
  if (!key || key.startsWith('wrong')) return detail(401, 'invalid_api_key', 'Invalid API key');
  if (key.startsWith('broke')) return detail(401, 'quota_exceeded', 'This request exceeds your quota.');
  let body;
  try {
    body = JSON.parse(bytes);
  } catch {
    return json(422, { detail: [{ type: 'json_invalid', loc: ['body', 0], msg: 'JSON decode error' }] });
  }
  for (const name of Object.keys(body)) if (!TTS_FIELDS.has(name)) return json(422, { detail: [{ type: 'extra_forbidden', loc: ['body', name], msg: 'Extra inputs are not permitted' }] });
  if (typeof body.text !== 'string') return json(422, { detail: [{ type: 'missing', loc: ['body', 'text'], msg: 'Field required' }] });
  if (params.voice.startsWith('missing')) return detail(404, 'voice_not_found', `A voice with the voice_id ${params.voice} was not found.`);
  const format = /^pcm_(8000|16000|22050|24000|44100)$/.exec(query.get('output_format') || '');
  if (!format) return detail(400, 'invalid_output_format', 'this server speaks pcm');
  const rate = Number(format[1]);
  const samples = speak(body.text, rate, body.voice_settings?.speed || 1);
  const step = Math.round(PIECE_S * rate) * 2;
  const chunks = [];
  for (let at = 0; at < samples.length; at += step) chunks.push(samples.subarray(at, at + step));
  if (!params.times) return { status: 200, headers: { 'content-type': 'audio/pcm' }, chunks };
  const characters = [...body.text];
  const each = samples.length / 2 / rate / Math.max(1, characters.length);
  return {
    status: 200, headers: { 'content-type': 'application/json' },
    chunks: chunks.map((chunk, i) => {
      const mine = characters.map((character, at) => [character, at * each]).filter(([, at]) => Math.floor(at / PIECE_S) === i);
      const alignment = mine.length ? { characters: mine.map(([c]) => c), character_start_times_seconds: mine.map(([, at]) => at), character_end_times_seconds: mine.map(([, at]) => at + each) } : null;
      return Buffer.from(`${JSON.stringify({ audio_base64: chunk.toString('base64'), alignment, normalized_alignment: alignment })}\n`);
    }),
  };
}

// -- whisper.cpp: examples/server -----------------------------------------------------------------------------------------------------

const FORM_FIELDS = new Set(['file', 'response_format', 'temperature', 'temperature_inc', 'language', 'prompt', 'translate', 'no_timestamps']);

function whisper({ headers, bytes }) {
  let form;
  try {
    form = readForm(bytes, headers);
  } catch (error) {
    return json(400, { error: error.message });
  }
  for (const name of Object.keys(form)) if (!FORM_FIELDS.has(name)) return json(400, { error: `unknown field ${name}` });
  if (!form.file?.bytes) return json(400, { error: "no 'file' field in the request" });
  const sound = readWav(form.file.bytes);
  if (!sound) return json(400, { error: 'failed to read audio data' });
  const text = hear(sound.samples, sound.rate) ?? '';
  if (form.response_format === 'json' || !form.response_format) return json(200, { text: ` ${text}\n` });
  const words = text.split(/\s+/).filter(Boolean);
  const each = sound.seconds / Math.max(1, words.length);
  const timed = words.map((word, i) => ({ word: ` ${word}`, start: i * each, end: (i + 1) * each, t_dtw: -1, probability: 0.9 }));
  return json(200, { task: 'transcribe', language: form.language || 'en', duration: sound.seconds, text: text ? ` ${text}\n` : ' [BLANK_AUDIO]\n',
    segments: [{ id: 0, text: ` ${text}`, start: 0, end: sound.seconds, tokens: [], words: timed, temperature: 0, avg_logprob: -0.1, no_speech_prob: 0 }] });
}

// -- Piper: piper.http_server ---------------------------------------------------------------------------------------------------------

function piper({ bytes }) {
  let body;
  try {
    body = JSON.parse(bytes);
  } catch {
    body = {};
  }
  if (!body.text) return { status: 500, headers: { 'content-type': 'text/html' }, chunks: [Buffer.from('<!doctype html><title>500 Internal Server Error</title>')] };
  const bytesOut = wav(speak(body.text, 22050, 1 / (body.length_scale || 1)), 22050);
  const chunks = [];
  for (let at = 0; at < bytesOut.length; at += 10001) chunks.push(bytesOut.subarray(at, at + 10001)); // pieces that end within a sample
  return { status: 200, headers: { 'content-type': 'audio/wav', 'content-length': String(bytesOut.length) }, chunks };
}

function route(method, path) {
  const voice = /^\/v1\/text-to-speech\/([^/]+)\/stream(\/with-timestamps)?$/.exec(path);
  if (method === 'POST' && voice) return { run: elevenlabs, params: { voice: decodeURIComponent(voice[1]), times: !!voice[2] } };
  if (method === 'POST' && path === '/inference') return { run: whisper, params: {} };
  if (method === 'POST' && (path === '/synthesize' || path === '/')) return { run: piper, params: {} };
  return null;
}

module.exports = { route };
