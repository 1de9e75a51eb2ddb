// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Ollama: /api/chat, /api/embed, /api/tags, /api/ps, /api/show, /api/version. Form from its api/types.go and docs/api.md. */
const { Failure } = require('./failure');
const { hash } = require('./random');
const { count, pieces } = require('./tokens');
const { embed } = require('./vectors');

const VERSION = '0.14.2';
const MODELS = { 'llama3.2': 3212749888, 'qwen3': 8190735360, 'nomic-embed-text': 137000000, 'mxbai-embed-large': 334000000 };
const DIMENSIONS = { 'nomic-embed-text': 768, 'mxbai-embed-large': 1024 };
const LOAD_NS = 1200000000;
const NDJSON = { 'content-type': 'application/x-ndjson' };
const JSON_HEADERS = { 'content-type': 'application/json; charset=utf-8' };
const THINKS = /qwen3|gpt-oss|deepseek-r1/;

const bad = (text) => new Failure(400, text);
const line = (value) => `${JSON.stringify(value)}\n`;
const stamp = () => new Date().toISOString().replace('Z', '000000Z'); // nanoseconds, as Go prints them

/** Whether a model was loaded before; from now on it is. */
function load(call) {
  const name = `ollama ${call.model}`;
  const before = call.world.memory.has(name);
  if (call.body.keep_alive === 0) call.world.memory.delete(name);
  else call.world.memory.set(name, true);
  return before ? 1000000 : LOAD_NS;
}

function argumentsOf(part) {
  try {
    return JSON.parse(part.arguments || '{}');
  } catch {
    return {};
  }
}

function turnsOf(messages) {
  const turns = [];
  let names = new Map();
  for (const [i, message] of messages.entries()) {
    if (!['system', 'user', 'assistant', 'tool'].includes(message.role)) throw bad(`invalid role "${message.role}" in messages[${i}]`);
    if (message.content !== undefined && typeof message.content !== 'string') throw bad('json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string');
    for (const call of message.tool_calls || []) {
      if (typeof call.function?.arguments !== 'object') throw bad('json: cannot unmarshal string into Go struct field ToolCallFunction.messages.tool_calls.function.arguments of type api.ToolCallFunctionArguments');
      names.set(call.id, call.function.name);
    }
    if (message.role === 'tool') turns.push({ role: 'tool', name: message.tool_name || names.get(message.tool_call_id), text: message.content || '' });
    else if (message.role !== 'system' && !(message.role === 'assistant' && message.tool_calls && !message.content)) turns.push({ role: message.role, text: message.content || '' });
  }
  return turns;
}

function chat(call) {
  const { body } = call;
  const loading = load(call);
  const messages = body.messages || [];
  if (!Array.isArray(messages)) throw bad('json: cannot unmarshal object into Go struct field ChatRequest.messages of type []api.Message');
  const streaming = body.stream !== false;
  const base = { model: call.model };
  if (messages.length === 0) {
    const done = { ...base, created_at: stamp(), message: { role: 'assistant', content: '' }, done: true, done_reason: body.keep_alive === 0 ? 'unload' : 'load' };
    return { headers: { ...JSON_HEADERS }, json: done };
  }
  const thinks = THINKS.test(call.model);
  if (body.think && !thinks) throw bad(`"${call.model}" does not support thinking`);
  const { options = {} } = body;
  if (body.format && body.format !== 'json' && typeof body.format !== 'object') throw bad(`invalid format: "${body.format}"; expected "json" or a JSON schema`);
  const prompt = [...(body.tools || []).map((tool) => JSON.stringify(tool)), ...messages.map((message) => message.content || JSON.stringify(message.tool_calls || ''))];
  const input = prompt.reduce((sum, text) => sum + count(text) + 4, 0);
  call.take(input);
  const request = {
    model: call.model, turns: turnsOf(messages), tools: (body.tools || []).map((tool) => ({ name: tool.function?.name, schema: tool.function?.parameters })), choice: 'auto',
    schema: typeof body.format === 'object' ? body.format : null, json: body.format === 'json', max_tokens: options.num_predict > 0 ? options.num_predict : undefined,
    stops: [].concat(options.stop || []), think: thinks && body.think !== false,
  };
  const said = call.answer(request);
  const given = said.usage;
  const counts = { prompt_eval_count: given.input ?? input, eval_count: given.output ?? said.output };
  const done = {
    ...base, created_at: stamp(), message: { role: 'assistant', content: '' }, done: true, done_reason: said.reason === 'length' ? 'length' : 'stop',
    total_duration: loading + counts.prompt_eval_count * 100000 + counts.eval_count * 1000000, load_duration: loading, prompt_eval_duration: counts.prompt_eval_count * 100000,
    eval_duration: counts.eval_count * 1000000,
  };
  for (const [name, n] of Object.entries(counts)) if (n) done[name] = n; // omitempty
  const used = { input: counts.prompt_eval_count, output: counts.eval_count };
  const text = (type) => said.parts.filter((part) => part.type === type || (type === 'text' && part.type === 'refusal')).map((part) => part.text).join('');
  // A call is an object and cannot be half: one that was cut is left out.
  const calls = said.parts.filter((part) => part.type === 'call' && !part.cut).map((part, index) => ({ id: part.id, function: { index, name: part.name, arguments: argumentsOf(part) } }));
  if (!streaming) {
    const message = { role: 'assistant', content: text('text') };
    if (text('thinking')) message.thinking = text('thinking');
    if (calls.length) message.tool_calls = calls;
    return { headers: { ...JSON_HEADERS }, json: { ...done, message }, usage: used };
  }
  const one = (message) => line({ ...base, created_at: stamp(), message: { role: 'assistant', content: '', ...message }, done: false });
  const frames = [];
  for (const piece of pieces(text('thinking'))) frames.push({ mark: 'open', text: one({ thinking: piece }) });
  for (const piece of call.script?.pieces || pieces(text('text'))) frames.push({ mark: 'content', text: one({ content: piece }) });
  for (const found of calls) frames.push({ mark: 'content', text: one({ tool_calls: [found] }) });
  frames.push({ mark: 'terminal', text: line(done) });
  return {
    headers: { ...NDJSON }, usage: used,
    plan: { form: 'ndjson', frames, more: (i) => one({ content: ` and ${i}` }), error: () => line({ error: 'an error was encountered while running the model: unexpected EOF' }) },
  };
}

function embeddings(call) {
  const { body } = call;
  const loading = load(call);
  const inputs = body.input === undefined ? [] : [].concat(body.input);
  if (inputs.some((text) => typeof text !== 'string')) throw bad('invalid input type');
  const dimensions = body.dimensions || DIMENSIONS[call.model] || 768;
  const input = inputs.reduce((sum, text) => sum + count(text), 0);
  call.take(input);
  const json = {
    model: call.model, embeddings: inputs.map((text, i) => call.script?.vectors?.[i] || embed(text, dimensions)), total_duration: loading + input * 100000, load_duration: loading,
    ...(input ? { prompt_eval_count: input } : {}),
  };
  return { headers: { ...JSON_HEADERS }, json, usage: { input } };
}

const details = { parent_model: '', format: 'gguf', family: 'llama', families: ['llama'], parameter_size: '3.2B', quantization_level: 'Q4_K_M' };
const digest = (name) => Array.from({ length: 8 }, (_, i) => hash(`${name}${i}`).toString(16).padStart(8, '0')).join('');
const entry = ([name, size]) => ({ name: `${name}:latest`, model: `${name}:latest`, modified_at: '2026-06-01T10:00:00Z', size, digest: digest(name), details });

const tags = () => ({ headers: { ...JSON_HEADERS }, json: { models: Object.entries(MODELS).map(entry) } });

function loaded(call) {
  const names = [...call.world.memory.keys()].filter((name) => name.startsWith('ollama ')).map((name) => name.slice(7));
  const until = new Date(Date.now() + 300000).toISOString();
  return { headers: { ...JSON_HEADERS }, json: { models: names.map((name) => ({ ...entry([name.replace(/:latest$/, ''), MODELS[name] || 1e9]), expires_at: until, size_vram: 0 })) } };
}

const show = (call) => ({ headers: { ...JSON_HEADERS }, json: { details, model_info: { 'general.architecture': 'llama', 'llama.context_length': 131072 }, capabilities: ['completion', 'tools', ...(THINKS.test(call.model) ? ['thinking'] : [])], modified_at: '2026-06-01T10:00:00Z' } });

const pulled = (run) => ({
  run(call) {
    if (!call.model) throw bad('model is required');
    if (call.model.startsWith('missing')) throw new Failure(404, `model '${call.model}' not found`);
    return run(call);
  },
});

const ROUTES = {
  'POST /api/chat': pulled(chat), 'POST /api/embed': pulled(embeddings), 'POST /api/show': pulled(show), 'GET /api/tags': { run: tags }, 'GET /api/ps': { run: loaded },
  'GET /api/version': { run: () => ({ headers: { ...JSON_HEADERS }, json: { version: VERSION } }) },
};
const TEXTS = { 429: 'too many requests', 500: 'llama runner process has terminated', 502: 'bad gateway', 503: 'server busy, please try again.  maximum pending requests exceeded' };

module.exports = {
  name: 'ollama',
  needsKey: false,
  key: (headers) => (headers.authorization || '').replace(/^Bearer /i, ''),
  modelOf: (route, body) => body?.model,
  routes: (method, path) => ROUTES[`${method} ${path}`] || null,
  failure: (status, failure) => ({ headers: { ...JSON_HEADERS }, body: JSON.stringify({ error: failure.message || TEXTS[status] || `status ${status}` }) }),
  headers: () => ({}),
};
