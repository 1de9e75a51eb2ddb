// SPDX-License-Identifier: Apache-2.0
'use strict';
/* What a fake answers: nothing canned, but what follows from the request, the same each time.
 *
 *   use NAME with {...}        a call of the tool NAME, if it is offered; several in one message are parallel calls; without `with`, no arguments
 *   say TEXT and use ...       the text first, then the calls
 *   count to N                 1 2 3 ... N: an answer of any length
 *   say TEXT                   that text
 *   refuse this / filter this  the model declines / a filter stops it
 *   after a tool's result      NAME said: RESULT
 *   a schema in the request    JSON that satisfies it, with what of the message fits
 *   else                       You said: MESSAGE
 *
 * An answer cut short is taken up again: when the last message is the assistant's (a prefill), or when the caller asks to continue, go on or
 * carry on, what was said already is left out. Stop texts and the token limit hold for all of them, scripted answers too.
 *
 * A request as the providers' files read it: { model, tools: [{ name, schema }], choice: "auto"|"none"|"required"|{ name }, parallel, schema, json,
 * max_tokens, stops, think, turns: [{ role: "user"|"assistant"|"tool", text, name }], prompt: [every text that counts as input] }.
 *
 * An answer: { parts, reason: "end"|"length"|"stop"|"tool"|"refusal"|"filter"|"pause", stop: the stop text met, output, reasoning: tokens, usage }
 * with parts { type: "thinking"|"text"|"refusal", text } and { type: "call", id, name, arguments: JSON text, cut }. */
const { pieces, count } = require('./tokens');
const { satisfying } = require('./schema');

const ASK = /\buse\s+([A-Za-z_][\w.:-]*)/g;
const GO_ON = /\b(continue|go on|carry on)\b/i;
const MOST = 100000; // the largest N of "count to N"

/** The JSON object that begins at text[from], as text, or null. */
function objectAt(text, from) {
  let depth = 0;
  let inString = false;
  for (let i = from; i < text.length; i++) {
    const c = text[i];
    if (inString) {
      if (c === '\\') i++;
      else if (c === '"') inString = false;
    } else if (c === '"') inString = true;
    else if (c === '{') depth++;
    else if (c === '}' && --depth === 0) return text.slice(from, i + 1);
  }
  return null;
}

function asked(text, tools) {
  const calls = [];
  for (const match of text.matchAll(ASK)) {
    const name = match[1].replace(/[.:]+$/, '');
    if (!tools.some((tool) => tool.name === name)) continue;
    const rest = match.index + match[0].length;
    const after = /^\s+with\s+(?=\{)/.exec(text.slice(rest, rest + 40));
    const json = after && objectAt(text, rest + after[0].length);
    calls.push({ name, arguments: json || '', at: match.index });
  }
  return calls;
}

function callsOf(request, text) {
  if (request.choice === 'none' || request.tools.length === 0) return [];
  const named = typeof request.choice === 'object' ? request.choice.name : null;
  let calls = request.turns.at(-1)?.role === 'user' ? asked(text, request.tools) : [];
  if (named) calls = calls.filter((call) => call.name === named);
  if (calls.length === 0 && (named || request.choice === 'required')) {
    const tool = request.tools.find((one) => one.name === named) || request.tools[0];
    calls = [{ name: tool.name, arguments: JSON.stringify(satisfying(tool.schema || {}, text)), at: 0 }];
  }
  return request.parallel === false ? calls.slice(0, 1) : calls;
}

function lastOf(turns, role, before = turns.length) {
  for (let i = before - 1; i >= 0; i--) if (turns[i].role === role) return i;
  return -1;
}

function wordsFor(request, text) {
  if (request.schema) return JSON.stringify(satisfying(request.schema, text));
  if (request.json) return JSON.stringify({ answer: text });
  const number = /\bcount to (\d{1,6})\b/i.exec(text);
  if (number) return Array.from({ length: Math.min(Number(number[1]), MOST) }, (_, i) => i + 1).join(' ');
  const said = /^\s*say\s+([^]+)$/i.exec(text);
  if (said) return said[1];
  return `You said: ${text}`;
}

function partsOf(request) {
  const { turns } = request;
  const last = turns.at(-1) || { role: 'user', text: '' };
  if (last.role === 'tool') {
    const from = Math.max(lastOf(turns, 'user'), lastOf(turns, 'assistant')) + 1;
    const calls = callsOf(request, '');
    if (calls.length) return calls.map((call) => ({ type: 'call', ...call }));
    return [{ type: 'text', text: request.schema ? wordsFor(request, last.text) : turns.slice(from).map((turn) => `${turn.name || 'The tool'} said: ${turn.text}`).join('\n') }];
  }
  let at = last.role === 'user' ? turns.length - 1 : lastOf(turns, 'user');
  let begun = last.role === 'assistant' ? last.text : '';
  if (last.role === 'user' && GO_ON.test(last.text)) {
    const spoken = lastOf(turns, 'assistant');
    const question = lastOf(turns, 'user', spoken);
    if (spoken >= 0 && question >= 0) {
      begun = turns[spoken].text;
      at = question;
    }
  }
  const text = at >= 0 ? turns[at].text : '';
  if (/\brefuse this\b/i.test(text)) return [{ type: 'refusal', text: 'I cannot help with that.' }];
  if (/\bfilter this\b/i.test(text)) return [{ type: 'filter', text: '' }];
  const calls = callsOf(request, text);
  if (calls.length) {
    const first = /^\s*say\s+([^]+?)\s+and\s+$/i.exec(text.slice(0, calls[0].at));
    return [...(first ? [{ type: 'text', text: first[1] }] : []), ...calls.map((call) => ({ type: 'call', ...call }))];
  }
  const whole = wordsFor(request, text);
  const bare = begun.trimEnd();
  if (!bare || !whole.startsWith(bare)) return [{ type: 'text', text: whole }];
  const rest = whole.slice(bare.length);
  return [{ type: 'text', text: last.role === 'assistant' && begun === bare ? rest : rest.trimStart() }];
}

function scriptedParts(script) {
  const parts = [];
  if (script.thinking) parts.push({ type: 'thinking', text: script.thinking });
  if (script.refusal) parts.push({ type: 'refusal', text: script.refusal });
  if (script.text !== undefined) parts.push({ type: 'text', text: script.text });
  for (const call of script.tool_calls || []) {
    parts.push({ type: 'call', id: call.id, name: call.name, arguments: typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments ?? {}) });
  }
  return parts;
}

function stopAt(parts, stops) {
  for (const [i, part] of parts.entries()) {
    if (part.type !== 'text') continue;
    let first = -1;
    let met;
    for (const stop of stops) {
      const at = stop ? part.text.indexOf(stop) : -1;
      if (at >= 0 && (first < 0 || at < first)) [first, met] = [at, stop];
    }
    if (first >= 0) {
      part.text = part.text.slice(0, first);
      parts.length = i + 1;
      return met;
    }
  }
  return undefined;
}

/** Cuts the parts to so many tokens. Returns whether something was cut. */
function limit(parts, most) {
  let left = most;
  for (const [i, part] of parts.entries()) {
    const field = part.type === 'call' ? 'arguments' : 'text';
    const all = pieces(part[field]);
    if (all.length <= left) {
      left -= all.length;
      continue;
    }
    part[field] = all.slice(0, left).join('');
    part.cut = true;
    parts.length = left > 0 ? i + 1 : i;
    return true;
  }
  return false;
}

/** Answers a request; `script` is what a test put in place of the mind, or null. `id` makes ids of calls: id(prefix) -> text. */
function answer(request, script, id) {
  const parts = script && (script.text !== undefined || script.tool_calls || script.refusal || script.thinking) ? scriptedParts(script) : partsOf(request);
  if (request.think && parts[0]?.type !== 'thinking') {
    const asking = request.turns.at(-1)?.text || '';
    parts.unshift({ type: 'thinking', text: `The caller wrote ${count(asking)} tokens; a plain answer will do.` });
  }
  const stop = stopAt(parts, request.stops || []);
  const cut = request.max_tokens !== undefined && request.max_tokens !== null && limit(parts, request.max_tokens);
  let output = 0;
  let reasoning = 0;
  for (const part of parts) {
    const n = count(part.type === 'call' ? part.name + part.arguments : part.text);
    output += n;
    if (part.type === 'thinking') reasoning += n;
    if (part.type === 'call' && !part.id) part.id = id('call');
  }
  let reason = 'end';
  if (parts.some((part) => part.type === 'call')) reason = 'tool';
  if (parts.some((part) => part.type === 'refusal')) reason = 'refusal';
  if (parts.some((part) => part.type === 'filter')) reason = 'filter';
  if (stop !== undefined) reason = 'stop';
  if (cut) reason = 'length';
  const spoken = parts.filter((part) => part.type !== 'filter');
  return { parts: spoken, reason: script?.reason || reason, stop, output, reasoning, usage: script?.usage || {} };
}

module.exports = { answer };
