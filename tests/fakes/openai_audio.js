// SPDX-License-Identifier: Apache-2.0
'use strict';
/* OpenAI's /v1/audio/speech and /v1/audio/transcriptions. What is spoken by the one is heard by the other (voices.js); of any other sound its length is told.
 * Formats of speech: mp3 (silence, see sound_file.js), wav, pcm; opus, aac and flac are refused, for nothing here can encode them. */
const { Failure } = require('./failure');
const { readForm } = require('./form');
const { count, pieces } = require('./tokens');
const { HEADERS, data } = require('./sse');
const { speak } = require('./tones');
const { hear } = require('./voices');
const { wav, mp3, readWav, readMp3 } = require('./sound_file');

const RATE = 24000; // Hz of pcm and wav
const MOST_CHARACTERS = 4096;
const SPEECH_FIELDS = new Set(['input', 'model', 'voice', 'instructions', 'response_format', 'speed', 'stream_format']);
const VOICES = ['alloy', 'ash', 'ballad', 'coral', 'echo', 'fable', 'onyx', 'nova', 'sage', 'shimmer', 'verse', 'marin', 'cedar'];
const FORM_FIELDS = new Set(['file', 'model', 'chunking_strategy', 'include', 'known_speaker_names', 'known_speaker_references', 'language', 'prompt', 'response_format', 'stream',
  'temperature', 'timestamp_granularities', 'keywords', 'languages']);
const EXTENSIONS = ['flac', 'mp3', 'mp4', 'mpeg', 'mpga', 'm4a', 'ogg', 'wav', 'webm'];
const CHUNK = 4800; // bytes of a delta: 100 ms of pcm
const SECOND_BYTES = 4000; // of a format that cannot be read: as at 32 kbit/s

const bad = (text, param = null, code = null) => new Failure(400, text, { param, code });

function speech(call) {
  const { body } = call;
  for (const name of Object.keys(body)) if (!SPEECH_FIELDS.has(name)) throw bad(`Unrecognized request argument supplied: ${name}`);
  if (typeof body.input !== 'string' || !body.input) throw bad("Missing required parameter: 'input'.", 'input', 'missing_required_parameter');
  if (body.input.length > MOST_CHARACTERS) throw bad(`Invalid 'input': string too long. Expected a string with maximum length ${MOST_CHARACTERS}.`, 'input', 'string_above_max_length');
  const voice = body.voice?.id ? 'alloy' : body.voice;
  if (!VOICES.includes(voice)) throw bad(`Invalid value: '${voice}'. Supported values are: ${VOICES.join(', ')}.`, 'voice', 'invalid_value');
  const { response_format: format = 'mp3', speed = 1, stream_format: streaming = 'audio' } = body;
  if (!(speed >= 0.25 && speed <= 4)) throw bad("Invalid 'speed': must be between 0.25 and 4.", 'speed');
  if (!['mp3', 'wav', 'pcm'].includes(format)) throw bad(`This server speaks mp3, wav and pcm, not '${format}'.`, 'response_format', 'invalid_value');
  if (streaming === 'sse' && /^tts-1/.test(call.model)) throw bad('sse is not supported with this model.', 'stream_format');
  const input = count(body.input);
  call.take(input);
  const samples = speak(body.input, RATE, speed);
  const seconds = samples.length / 2 / RATE;
  const bytes = format === 'pcm' ? samples : format === 'wav' ? wav(samples, RATE) : mp3(body.input, seconds);
  const output = Math.ceil(seconds * 20);
  const usage = { input_tokens: input, output_tokens: output, total_tokens: input + output };
  const used = { input, output };
  const chunks = [];
  for (let at = 0; at < bytes.length; at += CHUNK) chunks.push(bytes.subarray(at, at + CHUNK));
  if (streaming !== 'sse') return { bytes, headers: { 'content-type': { mp3: 'audio/mpeg', wav: 'audio/wav', pcm: 'audio/pcm' }[format] }, usage: used };
  return {
    headers: HEADERS, usage: used,
    plan: {
      form: 'sse',
      frames: [...chunks.map((chunk) => ({ mark: 'content', text: data({ type: 'speech.audio.delta', audio: chunk.toString('base64') }) })), { mark: 'terminal', text: data({ type: 'speech.audio.done', usage }) }],
      more: () => data({ type: 'speech.audio.delta', audio: Buffer.alloc(CHUNK).toString('base64') }),
      error: () => data({ error: { message: 'The server had an error.', type: 'server_error', param: null, code: null } }),
    },
  };
}

/** What is heard in a file: { text, seconds }. */
function listen(file) {
  const tagged = readMp3(file.bytes);
  if (tagged) return tagged;
  const sound = readWav(file.bytes);
  if (!sound && /\.wav$/i.test(file.name)) throw bad('Audio file might be corrupted or unsupported', 'file', 'invalid_value');
  const seconds = sound ? sound.seconds : file.bytes.length / SECOND_BYTES;
  const heard = sound && hear(sound.samples, sound.rate);
  return { text: heard ?? `${seconds.toFixed(1)} seconds of sound`, seconds };
}

const clock = (s, comma) => new Date(s * 1000).toISOString().slice(11, 23).replace('.', comma);

function verbose(text, seconds, fields) {
  const words = text.split(/\s+/).filter(Boolean);
  const each = seconds / Math.max(1, words.length);
  const out = {
    task: 'transcribe', language: fields.language || 'english', duration: seconds, text, usage: { type: 'duration', seconds: Math.ceil(seconds) },
    segments: [{ id: 0, seek: 0, start: 0, end: seconds, text, tokens: [], temperature: 0, avg_logprob: -0.1, compression_ratio: 1, no_speech_prob: 0 }],
  };
  if ([].concat(fields.timestamp_granularities || []).includes('word')) out.words = words.map((word, i) => ({ word, start: i * each, end: (i + 1) * each }));
  return out;
}

function transcriptions(call) {
  const { body } = call;
  for (const name of Object.keys(body)) if (!FORM_FIELDS.has(name)) throw bad(`Unrecognized request argument supplied: ${name}`);
  const { file } = body;
  if (!file?.bytes) throw bad("Missing required parameter: 'file'.", 'file', 'missing_required_parameter');
  if (!EXTENSIONS.some((extension) => file.name.toLowerCase().endsWith(`.${extension}`))) throw bad(`Unrecognized file format. Supported formats: ${JSON.stringify(EXTENSIONS)}`, 'file');
  const format = body.response_format || 'json';
  const old = call.model === 'whisper-1';
  if (!old && format !== 'json') throw bad(`response_format '${format}' is not compatible with model '${call.model}'. Use 'json' instead.`, 'response_format', 'unsupported_value');
  const heard = call.script?.text !== undefined ? { text: call.script.text, seconds: listen(file).seconds } : listen(file);
  const { text, seconds } = heard;
  const input = Math.ceil(seconds * 10) + count(body.prompt || '');
  call.take(input);
  const output = count(text);
  const usage = old ? { type: 'duration', seconds: Math.ceil(seconds) }
    : { type: 'tokens', input_tokens: input, output_tokens: output, total_tokens: input + output, input_token_details: { audio_tokens: Math.ceil(seconds * 10), text_tokens: count(body.prompt || '') } };
  const used = { input, output };
  if (body.stream === 'true' && !old) {
    return {
      headers: HEADERS, usage: used,
      plan: {
        form: 'sse',
        frames: [...pieces(text).map((delta) => ({ mark: 'content', text: data({ type: 'transcript.text.delta', delta }) })), { mark: 'terminal', text: data({ type: 'transcript.text.done', text, usage }) }],
        more: (i) => data({ type: 'transcript.text.delta', delta: ` and ${i}` }),
        error: () => data({ error: { message: 'The server had an error.', type: 'server_error', param: null, code: null } }),
      },
    };
  }
  const plain = { text: `${text}\n`, srt: `1\n${clock(0, ',')} --> ${clock(seconds, ',')}\n${text}\n\n`, vtt: `WEBVTT\n\n${clock(0, '.')} --> ${clock(seconds, '.')}\n${text}\n\n` }[format];
  if (plain !== undefined) return { bytes: Buffer.from(plain), headers: { 'content-type': 'text/plain; charset=utf-8' }, usage: used };
  if (format === 'verbose_json') return { json: verbose(text, seconds, body), usage: used };
  if (format !== 'json') throw bad(`Invalid value: '${format}'.`, 'response_format', 'invalid_value');
  return { json: { text, usage }, usage: used };
}

module.exports = { speech, transcriptions, readForm };
