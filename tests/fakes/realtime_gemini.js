// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Gemini Live (BidiGenerateContent over WebSocket). It hears what tones.js speaks and answers as mind.js thinks; all that it says comes in binary frames. It thinks
 * that it is heard at the pace of speech: turnComplete waits for that. Form and words: the @google/genai package, live. */
const { Socket } = require('./speech_ws');
const { answer } = require('./mind');
const { count } = require('./tokens');
const { Ear, samplesOf, saying, breaks } = require('./realtime_sound');

const PATH = /^\/ws\/google\.ai\.generativelanguage\.(v1beta|v1alpha)\.GenerativeService\.BidiGenerateContent$/;
const DOWN = 24000;
const IN_TOKENS = 32; // a second
const OUT_TOKENS = 25;

const any = true;
const SETUP = {
  model: any, systemInstruction: any, tools: any, safetySettings: any, proactivity: { proactiveAudio: any }, inputAudioTranscription: any, outputAudioTranscription: any, explicitVadSignal: any,
  generationConfig: { responseModalities: any, temperature: any, topP: any, topK: any, maxOutputTokens: any, seed: any, mediaResolution: any, candidateCount: any, enableAffectiveDialog: any,
    thinkingConfig: { thinkingLevel: any, thinkingBudget: any, includeThoughts: any }, speechConfig: { voiceConfig: any, languageCode: any } },
  realtimeInputConfig: { automaticActivityDetection: { disabled: any, startOfSpeechSensitivity: any, endOfSpeechSensitivity: any, prefixPaddingMs: any, silenceDurationMs: any }, activityHandling: any, turnCoverage: any },
  sessionResumption: { handle: any, transparent: any }, contextWindowCompression: { triggerTokens: any, slidingWindow: { targetTokens: any } }, historyConfig: { initialHistoryInClientContent: any },
};
const ENUMS = {
  activityHandling: ['START_OF_ACTIVITY_INTERRUPTS', 'NO_INTERRUPTION'], turnCoverage: ['TURN_INCLUDES_ONLY_ACTIVITY', 'TURN_INCLUDES_ALL_INPUT', 'TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO'],
  startOfSpeechSensitivity: ['START_SENSITIVITY_HIGH', 'START_SENSITIVITY_LOW'], endOfSpeechSensitivity: ['END_SENSITIVITY_HIGH', 'END_SENSITIVITY_LOW'],
};
const handles = new Map(); // handle -> the conversation, of all sessions

/** The keys of a message as the API spells them: it takes snake_case too. */
function camel(value) {
  if (Array.isArray(value)) return value.map(camel);
  if (!value || typeof value !== 'object') return value;
  const made = {};
  for (const [name, inner] of Object.entries(value)) {
    const key = name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
    // What is a tenant's own stays as it is.
    made[key] = ['args', 'response', 'parametersJsonSchema', 'parameters'].includes(key) ? inner : camel(inner);
  }
  return made;
}

function strange(value, known, where) {
  for (const [name, inner] of Object.entries(value || {})) {
    if (!(name in known)) return `Invalid JSON payload received. Unknown name "${name}" at '${where}': Cannot find field.`;
    if (ENUMS[name] && !ENUMS[name].includes(inner)) return `Invalid value at '${where}.${name}', "${inner}"`;
    if (known[name] !== any && inner && typeof inner === 'object') {
      const found = strange(inner, known[name], `${where}.${name}`);
      if (found) return found;
    }
  }
  return null;
}

class Session {
  constructor(req, raw, key, fault, record) {
    Object.assign(this, { fault, record, turns: [], pending: new Map(), waiting: false, inAudio: 0 });
    this.socket = new Socket(req, raw, { text: (text) => this.take(text), binary: (bytes) => this.take(bytes.toString()), close: () => this.over() });
    if (fault.close) this.socket.close(fault.close, 'as asked');
    else if (!key || key.startsWith('wrong')) this.socket.close(1007, 'API key not valid. Please pass a valid API key.');
    else if (key.startsWith('broke')) this.socket.close(1011, 'Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing.');
  }

  over() {
    for (const timer of [this.limit, this.end, this.later]) clearTimeout(timer);
    this.said?.stop();
    this.gone = true;
  }

  say(message) {
    if (!this.fault.stall) this.socket.send(JSON.stringify(message), true);
  }

  refuse(text, code = 1007) {
    this.socket.close(code, text.slice(0, 120));
  }

  take(text) {
    let message;
    try {
      message = camel(JSON.parse(text));
    } catch {
      return this.refuse('Invalid JSON payload received.');
    }
    const names = Object.keys(message);
    if (names.length !== 1) return this.refuse('Request must have exactly one of setup, clientContent, realtimeInput, toolResponse');
    const [name] = names;
    if (!message.realtimeInput?.audio) this.record.said.push(message);
    if (!this.setup) return name === 'setup' ? this.begin(message.setup) : this.refuse('setup must be the first message and only the first');
    const known = { clientContent: 'content', realtimeInput: 'input', toolResponse: 'result' }[name];
    return known ? this[known](message[name]) : this.refuse(`Unknown name "${name}"`);
  }

  begin(setup) {
    const wrong = strange(setup, SETUP, 'setup');
    if (wrong) return this.refuse(wrong);
    if (!/^models\/./.test(setup.model || '')) return this.refuse('setup.model must be models/...');
    if (setup.model.startsWith('models/missing')) return this.refuse(`${setup.model} is not found for API version v1beta, or is not supported for bidiGenerateContent.`, 1008);
    if ((setup.generationConfig?.responseModalities || []).join() !== 'AUDIO') return this.refuse('this fake speaks: responseModalities must be AUDIO');
    const { handle } = setup.sessionResumption || {};
    if (handle) {
      if (!handles.has(handle)) return this.refuse('BidiGenerateContent session not found', 1008);
      this.turns = handles.get(handle).slice();
    }
    this.record.items = this.turns;
    this.setup = setup;
    this.tools = (setup.tools || []).flatMap((tool) => tool.functionDeclarations || []).map((tool) => ({ name: tool.name, schema: tool.parametersJsonSchema || tool.parameters }));
    this.waiting = !!setup.historyConfig?.initialHistoryInClientContent;
    this.say({ setupComplete: { sessionId: `s${Date.now()}` } });
    if (this.fault.goaway !== undefined) {
      this.limit = setTimeout(() => {
        this.say({ goAway: { timeLeft: '2s' } });
        this.limit = setTimeout(() => this.refuse('The operation was aborted.', 1011), 2000);
      }, this.fault.goaway * 1000);
    }
    return undefined;
  }

  makeEar(rate) {
    const found = this.setup.realtimeInputConfig || {};
    this.ear = new Ear(rate, { began: () => this.began(), ended: (ms, text, seconds) => this.ended(text, seconds) });
    this.ear.silenceMs = found.automaticActivityDetection?.silenceDurationMs ?? 500;
  }

  input(told) {
    if (this.waiting) return undefined; // for the history's end
    if (told.text !== undefined) {
      this.interrupt();
      return this.ask(told.text);
    }
    if (!told.audio) return undefined;
    const rate = Number(/^audio\/pcm(?:;rate=(\d+))?$/.exec(told.audio.mimeType)?.[1] ?? (told.audio.mimeType === 'audio/pcm' ? 16000 : NaN));
    if (!rate) return this.refuse(`Unsupported mimeType ${told.audio.mimeType}`);
    if (this.ear?.rate !== rate) this.makeEar(rate);
    return this.ear.take(samplesOf(Buffer.from(told.audio.data, 'base64'), 'audio/pcm'));
  }

  content({ turns = [], turnComplete = false }) {
    for (const turn of turns) {
      if (!['user', 'model'].includes(turn.role)) return this.refuse('Please use a valid role: user, model.');
      this.turns.push({ role: turn.role === 'model' ? 'assistant' : 'user', text: turn.parts.map((part) => part.text || '').join('\n') });
    }
    const first = this.waiting;
    if (turnComplete) this.waiting = false;
    if (first) return undefined;
    this.interrupt();
    return turnComplete ? this.respond() : undefined;
  }

  result({ functionResponses = [] }) {
    for (const one of functionResponses) {
      if (!one.id) return this.refuse('functionResponses.id is missing');
      if (!this.pending.has(one.id)) continue; // it was cancelled
      const text = one.response?.output ?? one.response?.error ?? one.response;
      this.turns.push({ role: 'tool', name: this.pending.get(one.id), text: typeof text === 'string' ? text : JSON.stringify(text) });
      this.pending.delete(one.id);
    }
    return this.pending.size ? undefined : this.respond();
  }

  /* -- turns -- */

  began() {
    if (this.setup.realtimeInputConfig?.activityHandling !== 'NO_INTERRUPTION') this.interrupt();
  }

  ended(text, seconds) {
    this.inAudio += seconds;
    if (this.setup.inputAudioTranscription) for (const part of text.match(/\s*\S+/g) || []) this.say({ serverContent: { inputTranscription: { text: part } } });
    this.ask(text);
  }

  ask(text) {
    this.turns.push({ role: 'user', text });
    if (!this.fault.mute) this.respond();
  }

  respond() {
    const turns = this.turns.filter((turn) => turn.text);
    const { parts } = answer({ model: this.setup.model, tools: this.tools, choice: 'auto', turns, prompt: turns.map((turn) => turn.text) }, null, () => `fc-${Math.random().toString(36).slice(2)}`);
    this.prompt = turns.reduce((sum, turn) => sum + count(turn.text), count(this.setup.systemInstruction?.parts?.[0]?.text || ''));
    const text = parts.filter((part) => part.type === 'text' || part.type === 'refusal').map((part) => part.text).join(' ');
    this.calls = parts.filter((part) => part.type === 'call');
    if (this.setup.sessionResumption) this.say({ sessionResumptionUpdate: { resumable: false } });
    if (text) this.speak(text);
    else this.call();
  }

  speak(text) {
    const turn = { role: 'assistant', text: '' };
    const began = Date.now();
    this.turns.push(turn);
    this.turn = { turn, began };
    this.said = saying(text, DOWN, 'audio/pcm', {
      pace: this.fault.pace,
      piece: (bytes, words, ms) => {
        turn.text += words;
        if (words && this.setup.outputAudioTranscription) this.say({ serverContent: { outputTranscription: { text: words } } });
        this.say({ serverContent: { modelTurn: { role: 'model', parts: [{ inlineData: { mimeType: `audio/pcm;rate=${DOWN}`, data: bytes.toString('base64') } }] } } });
        if (breaks(this.socket, this.fault, ms)) this.said.stop();
      },
      end: () => {
        if (this.calls.length) return this.call();
        this.say({ serverContent: { generationComplete: true } });
        this.end = setTimeout(() => this.complete(), Math.max(0, this.said.whole - (Date.now() - began)));
        return undefined;
      },
    });
  }

  call() {
    const calls = this.calls.map((one) => ({ id: one.id, name: one.name, args: JSON.parse(one.arguments || '{}') }));
    this.calls = [];
    if (!calls.length) return this.complete();
    this.turn ||= {};
    for (const one of calls) this.pending.set(one.id, one.name);
    return this.say({ toolCall: { functionCalls: calls } });
  }

  usage() {
    const input = Math.ceil(this.inAudio * IN_TOKENS);
    const output = Math.ceil(((this.said?.ms || 0) / 1000) * OUT_TOKENS);
    this.say({ usageMetadata: { promptTokenCount: (this.prompt || 0) + input, responseTokenCount: output, totalTokenCount: (this.prompt || 0) + input + output,
      promptTokensDetails: [{ modality: 'TEXT', tokenCount: this.prompt || 0 }, { modality: 'AUDIO', tokenCount: input }], responseTokensDetails: [{ modality: 'AUDIO', tokenCount: output }] } });
  }

  complete() {
    this.usage();
    this.turn = null;
    this.say({ serverContent: { turnComplete: true } });
    if (!this.setup.sessionResumption) return;
    const handle = `handle-${handles.size + 1}-${Math.random().toString(36).slice(2)}`;
    handles.set(handle, this.turns.slice());
    this.say({ sessionResumptionUpdate: { newHandle: handle, resumable: true } });
  }

  interrupt() {
    this.said?.stop();
    clearTimeout(this.end);
    if (!this.turn) return;
    const { turn, began } = this.turn;
    // It keeps what it thinks was heard.
    if (turn) turn.text = turn.text.slice(0, Math.floor((turn.text.length * (Date.now() - began)) / Math.max(1, this.said.ms)));
    this.say({ serverContent: { interrupted: true } });
    if (this.pending.size) this.say({ toolCallCancellation: { ids: [...this.pending.keys()] } });
    this.pending.clear();
    this.complete();
  }
}

/** fault: as tests/fakes/speech lists them. record: { said: what the client sent, items: the conversation }. */
function open(req, raw, key, fault, record) {
  return new Session(req, raw, key, fault, record);
}

module.exports = { PATH, open };
