// SPDX-License-Identifier: Apache-2.0
'use strict';
/* What both fakes of realtime models hear with and speak with: sound in the wire's form as samples, turns told apart by how loud it is, an answer in
 * pieces that are sent faster than they are spoken. */
const { hear, speak } = require('./tones');
const { mulaw, alaw } = require('./sound_file');

const LOUD = 500;
const PIECE_MS = 100;

// The code of each sample: the nearest of the 256 values.
function encoder(decode) {
  const values = Array.from({ length: 256 }, (_, code) => [decode(code), code]).sort((a, b) => a[0] - b[0]);
  const table = new Uint8Array(65536);
  let at = 0;
  for (let sample = -32768; sample < 32768; sample++) {
    while (at < 255 && Math.abs(values[at + 1][0] - sample) <= Math.abs(values[at][0] - sample)) at++;
    table[sample + 32768] = values[at][1];
  }
  return table;
}
const tables = { 'audio/pcmu': encoder(mulaw), 'audio/pcma': encoder(alaw) };
const decoders = { 'audio/pcmu': mulaw, 'audio/pcma': alaw };

/** Bytes of the wire as samples; form: "audio/pcmu", "audio/pcma" or "audio/pcm". */
function samplesOf(bytes, form) {
  if (decoders[form]) return Array.from(bytes, decoders[form]);
  const samples = [];
  for (let i = 0; i + 1 < bytes.length; i += 2) samples.push(bytes.readInt16LE(i));
  return samples;
}

/** 16 bit little-endian as bytes of the wire. */
function bytesOf(pcm, form) {
  const table = tables[form];
  if (!table) return pcm;
  const out = Buffer.alloc(pcm.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = table[pcm.readInt16LE(2 * i) + 32768];
  return out;
}

/** Tells turns apart. on: { began(ms), ended(ms, text) }, in ms since the first sound. */
class Ear {
  constructor(rate, on) {
    Object.assign(this, { rate, on, silenceMs: 500, samples: [], at: 0, quiet: 0, speaking: false });
  }

  get ms() {
    return Math.round((this.at / this.rate) * 1000);
  }

  take(samples) {
    const step = this.rate / 50;
    for (let from = 0; from < samples.length; from += step) this.frame(samples.slice(from, from + step));
  }

  frame(samples) {
    const loud = samples.some((sample) => Math.abs(sample) >= LOUD);
    this.at += samples.length;
    if (loud && !this.speaking) {
      [this.speaking, this.samples] = [true, []];
      this.on.began(this.ms);
    }
    if (!this.speaking) return;
    for (const sample of samples) this.samples.push(sample);
    this.quiet = loud ? 0 : this.quiet + samples.length;
    if ((this.quiet / this.rate) * 1000 < this.silenceMs) return;
    const first = this.samples.findIndex((sample) => Math.abs(sample) >= LOUD);
    const seconds = this.samples.length / this.rate;
    // What a bad line made of it is a letter all the same: no model writes control characters, or half of one.
    const text = (hear(Float64Array.from(this.samples.slice(Math.max(0, first))), this.rate) || '').replace(/[\u0000-\u001f\ufffd\ud800-\udfff]/g, '?');
    [this.speaking, this.samples, this.quiet] = [false, [], 0];
    this.on.ended(this.ms, text, seconds);
  }
}

/** Speaks a text: piece(bytes, text of that piece, ms so far) every few ms, then end(). Returns { stop(), ms: how much was sent, whole: ms of all }. */
function saying(text, rate, form, { pace = 10, piece, end }) {
  const pcm = speak(text, rate);
  const step = (rate * 2 * PIECE_MS) / 1000;
  const pieces = Math.ceil(pcm.length / step);
  const said = { ms: 0, whole: Math.round((pcm.length / 2 / rate) * 1000), text: '' };
  let n = 0;
  const timer = setInterval(() => {
    if (n >= pieces) {
      clearInterval(timer);
      return end();
    }
    const part = pcm.subarray(n * step, (n + 1) * step);
    const words = text.slice(Math.floor((text.length * n) / pieces), Math.floor((text.length * (n + 1)) / pieces));
    n++;
    said.ms = Math.round((Math.min(pcm.length, n * step) / 2 / rate) * 1000);
    said.text += words;
    return piece(bytesOf(part, form), words, said.ms);
  }, PIECE_MS / pace);
  said.stop = () => clearInterval(timer);
  return said;
}

/** What all their faults in the middle of an answer do; true: nothing more is sent. */
function breaks(socket, fault, ms) {
  const at = (name) => fault[name] !== undefined && ms >= fault[name] * 1000;
  if (at('cut')) socket.drop();
  else if (at('close_in')) socket.close(1011, 'Internal error encountered.');
  else if (at('garbage')) socket.send('{"type":"response.output_audio.de');
  else if (at('oversize')) socket.send(JSON.stringify({ type: 'response.output_audio.delta', delta: 'A'.repeat(6 * 1024 * 1024) }));
  else return at('halt');
  return true;
}

module.exports = { Ear, samplesOf, bytesOf, saying, breaks };
