// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Deepgram's /v1/listen over WebSocket. It hears what voices.js knows, in linear16. Form and words: the @deepgram/sdk package, listen/v1.
 * A part is_final when a message of 3 s has been filled or the utterance ended; speech_final after `endpointing` ms of silence. */
const { Socket } = require('./speech_ws');
const { hear } = require('./voices');

const QUERY = new Set(['model', 'encoding', 'sample_rate', 'channels', 'language', 'interim_results', 'punctuate', 'smart_format', 'endpointing', 'utterance_end_ms', 'vad_events', 'keyterm',
  'keywords', 'numerals', 'multichannel', 'diarize', 'profanity_filter', 'redact', 'replace', 'search', 'tag', 'version', 'mip_opt_out', 'dictation', 'extra', 'diarize_model', 'callback',
  'callback_method', 'detect_entities', 'access_token']);
const INTERIM_S = 0.5;
const LOUD = 500;

/** Why a handshake is refused: [status, body], or null. */
function judge(query) {
  for (const name of query.keys()) if (!QUERY.has(name)) return [400, { err_code: 'Bad Request', err_msg: `unknown field \`${name}\``, request_id: 'r' }];
  if (query.get('model')?.startsWith('missing')) return [400, { err_code: 'INVALID_QUERY_PARAMETER', err_msg: 'No such model/language/tier combination found.', request_id: 'r' }];
  if (query.get('encoding') !== 'linear16' || !query.get('sample_rate')) return [400, { err_code: 'Bad Request', err_msg: 'this server hears linear16 with a sample_rate', request_id: 'r' }];
  if (query.has('utterance_end_ms') && (query.get('interim_results') !== 'true' || Number(query.get('utterance_end_ms')) < 1000)) {
    return [400, { err_code: 'Bad Request', err_msg: 'utterance_end_ms needs interim_results and at least 1000', request_id: 'r' }];
  }
  return null;
}

/** fault: { stall: true: never says a word, cut: s of sound after which the connection breaks, garbage, endless, close: code at once, idle_s }; what is put into
 * it later befalls what is under way. */
function listen(req, raw, query, fault, log) {
  const rate = Number(query.get('sample_rate'));
  const interim = query.get('interim_results') === 'true';
  const endpointing = query.get('endpointing') === 'false' ? Infinity : Number(query.get('endpointing') ?? 10) / 1000;
  let pcm = [];       // of the part that is not final yet
  let bytes = 0;
  let start = 0;      // s: where that part begins
  let interimAt = 0;
  let quiet = 0;      // s of silence at its end
  let loud = false;
  let idle;

  const socket = new Socket(req, raw, {
    text(text) {
      alive();
      let message;
      try {
        message = JSON.parse(text);
      } catch {
        return socket.close(1008, 'DATA-0000');
      }
      if (log) log.push(message.type);
      if (message.type === 'Finalize') results({ final: true, finalize: true });
      else if (message.type === 'CloseStream') {
        if (bytes && loud) results({ final: true });
        say({ type: 'Metadata', transaction_key: 'deprecated', request_id: 'r', sha256: '', created: '2026-01-01T00:00:00Z', duration: start, channels: 1 });
        socket.close(1000);
      } else if (message.type !== 'KeepAlive') socket.close(1008, 'DATA-0000');
    },
    binary(data) {
      alive();
      if (data.length % 2) return socket.close(1008, 'DATA-0000');
      take(data);
    },
    close: () => clearTimeout(idle),
  });

  function alive() {
    clearTimeout(idle);
    idle = setTimeout(() => socket.close(1011, 'NET-0001'), (fault.idle_s || 10) * 1000);
  }

  function say(message) {
    if (fault.stall || (fault.halt !== undefined && start + bytes / 2 / rate >= fault.halt)) return;
    socket.send(fault.garbage ? '{"type":"Results","chan' : JSON.stringify(message));
  }

  function heard() {
    const all = Buffer.concat(pcm);
    const samples = new Float64Array(all.length / 2);
    for (let i = 0; i < samples.length; i++) samples[i] = all.readInt16LE(2 * i);
    let from = 0;
    while (from < samples.length && Math.abs(samples[from]) < LOUD) from++;
    return from < samples.length ? hear(samples.subarray(from), rate) || '' : '';
  }

  function results({ final = false, speech = false, finalize = false }) {
    const text = loud ? heard() : '';
    const duration = bytes / 2 / rate;
    const words = text.split(/\s+/).filter(Boolean);
    const each = duration / Math.max(1, words.length);
    say({
      type: 'Results', channel_index: [0, 1], duration, start, is_final: final, speech_final: speech, from_finalize: finalize,
      channel: { alternatives: [{ transcript: text, confidence: text ? 0.98 : 0,
        words: words.map((word, i) => ({ word: word.toLowerCase(), start: start + i * each, end: start + (i + 1) * each, confidence: 0.98, punctuated_word: word })) }] },
      metadata: { request_id: 'r', model_uuid: 'm', model_info: { name: 'general-nova-3', version: '2026-01-01.0', arch: 'nova-3' } },
    });
    if (!final) return;
    start += duration;
    [pcm, bytes, interimAt, loud, quiet] = [[], 0, 0, false, 0];
  }

  function take(data) {
    let peak = 0;
    for (let i = 0; i < data.length; i += 2) peak = Math.max(peak, Math.abs(data.readInt16LE(i)));
    pcm.push(data);
    bytes += data.length;
    const seconds = bytes / 2 / rate;
    if (fault.cut !== undefined && start + seconds >= fault.cut) return socket.drop();
    if (fault.close) return socket.close(fault.close, 'as asked');
    if (peak >= LOUD) {
      if (!loud && query.get('vad_events') === 'true') say({ type: 'SpeechStarted', channel: [0], timestamp: start + seconds - data.length / 2 / rate });
      [loud, quiet] = [true, 0];
    } else quiet += data.length / 2 / rate;
    if (loud && quiet >= endpointing) results({ final: true, speech: true });
    else if (seconds >= 30) results({ final: true });
    else if (interim && seconds - interimAt >= INTERIM_S) {
      interimAt = seconds;
      results({});
    }
  }

  alive();
  if (fault.close) socket.close(fault.close, 'as asked');
  if (fault.endless) {
    const timer = setInterval(() => (socket.isOver ? clearInterval(timer) : say({ type: 'Results', channel_index: [0, 1], duration: 1, start: 0, is_final: false, speech_final: false,
      channel: { alternatives: [{ transcript: 'on and on '.repeat(1000), confidence: 1, words: [] }] }, metadata: {} })), 1);
  }
}

module.exports = { judge, listen };
