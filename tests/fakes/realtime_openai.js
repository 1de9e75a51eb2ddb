// SPDX-License-Identifier: Apache-2.0
'use strict';
/* OpenAI's Realtime API over WebSocket (/v1/realtime). It hears what tones.js speaks and answers as mind.js thinks. Form and words: the openai package,
 * resources/realtime. Of the beta's shapes it takes none. */
const { Socket } = require('./speech_ws');
const { answer } = require('./mind');
const { count } = require('./tokens');
const { Ear, samplesOf, saying, breaks } = require('./realtime_sound');

const FORMATS = { 'audio/pcmu': 8000, 'audio/pcma': 8000, 'audio/pcm': 24000 };
const VOICES = ['alloy', 'ash', 'ballad', 'coral', 'echo', 'sage', 'shimmer', 'verse', 'marin', 'cedar'];
// What each object of a session may hold; true: whatever it likes.
const SESSION = {
  type: true, model: true, output_modalities: true, instructions: true, max_output_tokens: true, tools: true, tool_choice: true, parallel_tool_calls: true, truncation: true, tracing: true,
  include: true, prompt: true, reasoning: { effort: true },
  audio: {
    input: { format: { type: true, rate: true }, noise_reduction: { type: true }, transcription: { model: true, language: true, prompt: true, delay: true },
      turn_detection: { type: true, threshold: true, prefix_padding_ms: true, silence_duration_ms: true, create_response: true, interrupt_response: true, idle_timeout_ms: true, eagerness: true } },
    output: { format: { type: true, rate: true }, voice: true, speed: true },
  },
};
const IN_MS = 100; // of sound in a token
const OUT_MS = 50;

function unknown(value, known, where) {
  for (const [name, inner] of Object.entries(value || {})) {
    if (!(name in known)) return `${where}.${name}`;
    if (known[name] !== true && inner && typeof inner === 'object') {
      const found = unknown(inner, known[name], `${where}.${name}`);
      if (found) return found;
    }
  }
  return null;
}

class Refusal extends Error {
  constructor(message, code = 'invalid_value', param = null) {
    super(message);
    Object.assign(this, { code, param });
  }
}

class Session {
  constructor(req, raw, query, fault, record) {
    Object.assign(this, { fault, record, items: [], ids: 0, events: 0, model: query.get('model'), said: null });
    record.items = this.items;
    this.session = { type: 'realtime', object: 'realtime.session', id: this.id('sess'), model: this.model, output_modalities: ['audio'], instructions: '', tools: [], tool_choice: 'auto',
      max_output_tokens: 'inf', truncation: 'auto', tracing: null, prompt: null, include: null, expires_at: Math.floor(Date.now() / 1000) + 3600,
      audio: {
        input: { format: { type: 'audio/pcm', rate: 24000 }, transcription: null, noise_reduction: null,
          turn_detection: { type: 'server_vad', threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500, idle_timeout_ms: null, create_response: true, interrupt_response: true } },
        output: { format: { type: 'audio/pcm', rate: 24000 }, voice: 'alloy', speed: 1 },
      } };
    this.makeEar();
    this.socket = new Socket(req, raw, { text: (text) => this.take(text), binary: () => this.socket.close(1003, 'text is wanted'), close: () => this.over() });
    if (fault.close) this.socket.close(fault.close, 'as asked');
    else this.say('session.created', { session: this.session });
    if (fault.limit_s) {
      this.limit = setTimeout(() => {
        this.wrong('Your session hit the maximum duration of 60 minutes.', 'session_expired');
        this.socket.close(1001, 'session_expired');
      }, fault.limit_s * 1000);
    }
  }

  over() {
    clearTimeout(this.limit);
    this.said?.stop();
    this.response = null;
  }

  id(prefix) {
    return `${prefix}_${++this.ids}`;
  }

  say(type, more = {}) {
    if (this.fault.stall) return;
    this.socket.send(JSON.stringify({ type, event_id: `event_${++this.events}`, ...more }));
  }

  wrong(message, code, param = null, event = null) {
    this.say('error', { error: { type: 'invalid_request_error', code, message, param, event_id: event } });
  }

  makeEar() {
    const { input } = this.session.audio;
    this.form = input.format.type;
    this.ear = new Ear(FORMATS[this.form], { began: (ms) => this.began(ms), ended: (ms, text, seconds) => this.ended(ms, text, seconds) });
    this.ear.silenceMs = input.turn_detection?.silence_duration_ms ?? 500;
  }

  take(text) {
    let event;
    try {
      event = JSON.parse(text);
    } catch {
      return this.wrong('Failed to parse the message as JSON.', 'invalid_json');
    }
    if (event.type !== 'input_audio_buffer.append') this.record.said.push(event);
    const known = handlers[event.type];
    if (!known) return this.wrong(`Invalid value: '${event.type}'.`, 'invalid_value', 'type', event.event_id);
    try {
      known.call(this, event);
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      this.wrong(refusal.message, refusal.code, refusal.param, event.event_id ?? null);
    }
    return undefined;
  }

  add(item, after) {
    const previous = after === undefined ? this.items.at(-1)?.id ?? null : after;
    this.items.push(item);
    this.say('conversation.item.added', { previous_item_id: previous, item: this.shown(item) });
  }

  done(item) {
    const at = this.items.indexOf(item);
    this.say('conversation.item.done', { previous_item_id: this.items[at - 1]?.id ?? null, item: this.shown(item) });
  }

  shown(item) {
    const { sound, ...rest } = item;
    return rest;
  }

  /* -- the caller's turns -- */

  began(ms) {
    const { turn_detection: turns } = this.session.audio.input;
    if (!turns) return;
    this.heard = this.id('item');
    this.say('input_audio_buffer.speech_started', { audio_start_ms: Math.max(0, ms - 300), item_id: this.heard });
    if (this.response && turns.interrupt_response !== false) this.finish('cancelled', { type: 'cancelled', reason: 'turn_detected' });
  }

  ended(ms, text, seconds) {
    const { turn_detection: turns, transcription } = this.session.audio.input;
    if (!turns) return;
    const item = { id: this.heard, object: 'realtime.item', type: 'message', status: 'completed', role: 'user', content: [{ type: 'input_audio', transcript: null }], sound: { text, seconds } };
    this.say('input_audio_buffer.speech_stopped', { audio_end_ms: ms, item_id: item.id });
    this.say('input_audio_buffer.committed', { item_id: item.id, previous_item_id: this.items.at(-1)?.id ?? null });
    this.add(item);
    this.done(item);
    if (turns.create_response !== false && !this.fault.mute) this.respond();
    if (!transcription) return;
    // It comes when it comes: here after the answer has begun.
    setTimeout(() => {
      const common = { item_id: item.id, content_index: 0 };
      for (const part of text.match(/\s*\S+/g) || []) this.say('conversation.item.input_audio_transcription.delta', { ...common, delta: part });
      this.say('conversation.item.input_audio_transcription.completed', { ...common, transcript: text,
        usage: { type: 'tokens', total_tokens: Math.ceil(seconds * 10) + count(text), input_tokens: Math.ceil(seconds * 10), output_tokens: count(text), input_token_details: { text_tokens: 0, audio_tokens: Math.ceil(seconds * 10) } } });
    }, 60);
  }

  /* -- answers -- */

  turns() {
    const names = new Map(this.items.filter((item) => item.type === 'function_call').map((item) => [item.call_id, item.name]));
    return this.items.map((item) => {
      if (item.type === 'function_call_output') return { role: 'tool', name: names.get(item.call_id), text: item.output };
      if (item.type === 'function_call') return null;
      const text = item.sound ? item.sound.text : item.content.map((part) => part.text || '').join('');
      return { role: item.role === 'system' ? 'user' : item.role, text };
    }).filter((turn) => turn && turn.text);
  }

  respond() {
    if (this.response) throw new Refusal(`Conversation already has an active response in progress: ${this.response.id}. Wait until the response is finished before creating a new one.`, 'conversation_already_has_active_response');
    const tools = this.session.tools.map((tool) => ({ name: tool.name, schema: tool.parameters }));
    const turns = this.turns();
    const { audio } = this.session;
    this.response = { object: 'realtime.response', id: this.id('resp'), status: 'in_progress', status_details: null, output: [], conversation_id: 'conv_1', output_modalities: ['audio'],
      max_output_tokens: 'inf', audio: { output: { format: audio.output.format, voice: audio.output.voice } }, usage: null, metadata: null };
    this.outMs = 0;
    this.input = { text: count(this.session.instructions) + turns.reduce((sum, turn) => sum + count(turn.text), 0),
      audio: this.items.reduce((sum, item) => sum + (item.sound?.seconds ? Math.ceil((item.sound.seconds * 1000) / IN_MS) : 0), 0) };
    this.say('response.created', { response: { ...this.response } });
    this.say('rate_limits.updated', { rate_limits: [{ name: 'requests', limit: 1000, remaining: 999, reset_seconds: 60 }, { name: 'tokens', limit: 50000, remaining: 49000, reset_seconds: 20 }] });
    if (this.fault.fail) return this.finish('failed', { type: 'failed', error: { type: 'server_error', code: 'server_error', message: 'The server had an error while processing your request.' } });
    const { parts } = answer({ model: this.model, tools, choice: this.session.tool_choice, turns, prompt: turns.map((turn) => turn.text) }, null, (prefix) => `${prefix}_${Math.random().toString(36).slice(2, 12)}`);
    this.parts = parts;
    return this.next();
  }

  next() {
    const part = this.parts.shift();
    if (!part) return this.finish('completed', null);
    if (part.type === 'call') return this.call(part);
    return this.speak(part.text);
  }

  call(part) {
    const at = { response_id: this.response.id, output_index: this.response.output.length };
    const item = { id: this.id('item'), object: 'realtime.item', type: 'function_call', status: 'in_progress', name: part.name, call_id: part.id, arguments: '' };
    this.response.output.push(item);
    this.say('response.output_item.added', { ...at, item: { ...item } });
    this.add(item);
    for (const delta of part.arguments.match(/.{1,7}/gs) || []) this.say('response.function_call_arguments.delta', { ...at, item_id: item.id, call_id: item.call_id, delta });
    Object.assign(item, { status: 'completed', arguments: part.arguments || '{}' });
    this.say('response.function_call_arguments.done', { ...at, item_id: item.id, call_id: item.call_id, name: item.name, arguments: item.arguments });
    this.say('response.output_item.done', { ...at, item: { ...item } });
    this.done(item);
    return this.next();
  }

  speak(text) {
    const { format } = this.session.audio.output;
    const item = { id: this.id('item'), object: 'realtime.item', type: 'message', status: 'in_progress', role: 'assistant', content: [{ type: 'output_audio', transcript: '' }], sound: { text: '', ms: 0 } };
    const at = { response_id: this.response.id, output_index: this.response.output.length };
    const common = { ...at, item_id: item.id, content_index: 0 };
    this.response.output.push(item);
    this.say('response.output_item.added', { ...at, item: { ...this.shown(item), content: [] } });
    this.add(item);
    this.say('response.content_part.added', { ...common, part: { type: 'audio', transcript: '' } });
    this.close = (status) => {
      this.close = null;
      item.status = status;
      item.content[0].transcript = item.sound.text;
      this.say('response.output_audio.done', common);
      this.say('response.output_audio_transcript.done', { ...common, transcript: item.sound.text });
      this.say('response.content_part.done', { ...common, part: { type: 'audio', transcript: item.sound.text } });
      this.say('response.output_item.done', { ...at, item: this.shown(item) });
      this.done(item);
    };
    this.said = saying(text, FORMATS[format.type], format.type, {
      pace: this.fault.pace,
      piece: (bytes, words, ms) => {
        item.sound.text += words;
        item.sound.ms = ms;
        if (words) this.say('response.output_audio_transcript.delta', { ...common, delta: words });
        this.say('response.output_audio.delta', { ...common, delta: bytes.toString('base64') });
        if (breaks(this.socket, this.fault, ms)) this.said.stop();
      },
      end: () => {
        this.outMs += item.sound.ms;
        this.close('completed');
        this.next();
      },
    });
  }

  finish(status, details) {
    const { response } = this;
    this.said?.stop();
    if (this.close) {
      this.outMs += this.said.ms;
      this.close('incomplete');
    }
    [this.response, this.parts] = [null, []];
    const audio = Math.ceil(this.outMs / OUT_MS);
    const text = response.output.reduce((sum, item) => sum + count(item.type === 'message' ? item.sound.text : item.arguments), 0);
    const cached = Math.min(this.input.audio, 20);
    Object.assign(response, { status, status_details: details, output: response.output.map((item) => this.shown(item)),
      usage: { total_tokens: this.input.text + this.input.audio + audio + text, input_tokens: this.input.text + this.input.audio, output_tokens: audio + text,
        input_token_details: { text_tokens: this.input.text, audio_tokens: this.input.audio, image_tokens: 0, cached_tokens: cached, cached_tokens_details: { text_tokens: 0, audio_tokens: cached, image_tokens: 0 } },
        output_token_details: { text_tokens: text, audio_tokens: audio } } });
    this.say('response.done', { response });
  }
}

const CONTENT = { user: ['input_text', 'input_audio', 'input_image'], system: ['input_text'], assistant: ['output_text'] };

const handlers = {
  'session.update'({ session }) {
    if (session?.type !== 'realtime') throw new Refusal("Missing required parameter: 'session.type'.", 'missing_required_parameter', 'session.type');
    const strange = unknown(session, SESSION, 'session');
    if (strange) throw new Refusal(`Unknown parameter: '${strange}'.`, 'unknown_parameter', strange);
    const { audio = {} } = session;
    for (const side of ['input', 'output']) {
      const format = audio[side]?.format;
      if (format && !FORMATS[format.type]) throw new Refusal(`Invalid value: '${format.type}'. Supported values are: 'audio/pcm', 'audio/pcmu', and 'audio/pcma'.`, 'invalid_value', `session.audio.${side}.format`);
    }
    const voice = audio.output?.voice;
    if (typeof voice === 'string' && !VOICES.includes(voice)) throw new Refusal(`Invalid value: '${voice}'. Supported values are: ${VOICES.map((one) => `'${one}'`).join(', ')}.`, 'invalid_value', 'session.audio.output.voice');
    for (const [i, tool] of (session.tools || []).entries()) if (tool.type !== 'function' || !/^[a-zA-Z0-9_-]{1,64}$/.test(tool.name || '')) throw new Refusal(`Invalid 'session.tools[${i}].name'.`, 'invalid_value', `session.tools[${i}].name`);
    for (const [name, value] of Object.entries(session)) {
      if (name === 'audio') for (const side of ['input', 'output']) Object.assign(this.session.audio[side], audio[side]);
      else this.session[name] = value;
    }
    this.makeEar();
    this.say('session.updated', { session: this.session });
  },
  'input_audio_buffer.append'({ audio }) {
    if (typeof audio !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(audio)) throw new Refusal("Invalid 'audio'. Expected base64-encoded audio bytes.", 'invalid_value', 'audio');
    this.ear.take(samplesOf(Buffer.from(audio, 'base64'), this.form));
  },
  'input_audio_buffer.clear'() {
    this.makeEar();
    this.say('input_audio_buffer.cleared');
  },
  'conversation.item.create'({ item, previous_item_id: after }) {
    const made = { object: 'realtime.item', status: 'completed', ...item, id: item?.id || this.id('item') };
    if (item?.type === 'message') {
      if (!CONTENT[item.role]) throw new Refusal(`Invalid value: '${item.role}'.`, 'invalid_value', 'item.role');
      for (const [i, part] of (item.content || []).entries()) if (!CONTENT[item.role].includes(part.type)) throw new Refusal(`Invalid value: '${part.type}'. Supported values are: ${CONTENT[item.role].map((one) => `'${one}'`).join(', ')}.`, 'invalid_value', `item.content[${i}].type`);
    } else if (item?.type === 'function_call_output') {
      if (!this.items.some((one) => one.type === 'function_call' && one.call_id === item.call_id)) throw new Refusal(`Tool call ID '${item.call_id}' not found in conversation.`, 'invalid_tool_call_id', 'item.call_id');
    } else if (item?.type !== 'function_call') throw new Refusal(`Invalid value: '${item?.type}'.`, 'invalid_value', 'item.type');
    this.add(made, after);
    this.done(made);
  },
  'conversation.item.delete'({ item_id: id }) {
    const at = this.items.findIndex((item) => item.id === id);
    if (at < 0) throw new Refusal(`Error deleting item: the item with id '${id}' does not exist.`, 'item_delete_invalid_item_id', 'item_id');
    this.items.splice(at, 1);
    this.say('conversation.item.deleted', { item_id: id });
  },
  'conversation.item.truncate'({ item_id: id, content_index: index, audio_end_ms: ms }) {
    const item = this.items.find((one) => one.id === id);
    if (!item || item.role !== 'assistant' || !item.sound) throw new Refusal(`Only model output audio messages can be truncated. Item '${id}' is none.`, 'invalid_value', 'item_id');
    if (!Number.isInteger(ms) || ms < 0 || ms > item.sound.ms) throw new Refusal(`Audio content of ${item.sound.ms}ms is already shorter than ${ms}ms`, 'invalid_value', 'audio_end_ms');
    item.sound.text = item.sound.text.slice(0, Math.floor((item.sound.text.length * ms) / Math.max(1, item.sound.ms)));
    item.sound.ms = ms;
    this.say('conversation.item.truncated', { item_id: id, content_index: index, audio_end_ms: ms });
  },
  'response.create'() {
    if (!this.fault.mute) this.respond();
  },
  'response.cancel'({ response_id: id }) {
    if (!this.response || (id && id !== this.response.id)) throw new Refusal('Cancellation failed: no active response found', 'response_cancel_not_active');
    this.finish('cancelled', { type: 'cancelled', reason: 'client_cancelled' });
  },
};

/** Why a handshake is refused: [status, body], or null. */
function judge(query, headers) {
  const error = (message, code) => ({ error: { message, type: 'invalid_request_error', code, param: null } });
  if (headers['openai-beta']) return [400, error('The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.', 'beta_api_shape_disabled')];
  if (!query.get('model')) return [400, error("Missing required parameter: 'model'.", 'missing_model')];
  if (query.get('model').startsWith('missing')) return [404, error(`The model '${query.get('model')}' does not exist or you do not have access to it.`, 'model_not_found')];
  return null;
}

/** fault: as tests/fakes/speech lists them. record: { said: what the client sent, items: the conversation }. */
function open(req, raw, query, fault, record) {
  return new Session(req, raw, query, fault, record);
}

module.exports = { judge, open };
