// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Claude's Messages API: /v1/messages, /v1/messages/count_tokens, /v1/models. Form from anthropic-sdk (types/message*.ts), refusals of requests as
 * the API words them. */
const { Failure } = require('./failure');
const { count, pieces } = require('./tokens');
const { digestOf } = require('./prompt_cache');
const { HEADERS, named, fragments, mixed } = require('./sse');

const TYPES = {
  400: 'invalid_request_error', 401: 'authentication_error', 402: 'billing_error', 403: 'permission_error', 404: 'not_found_error', 408: 'timeout_error',
  409: 'conflict_error', 413: 'request_too_large', 422: 'invalid_request_error', 429: 'rate_limit_error', 500: 'api_error', 503: 'api_error',
  504: 'timeout_error', 529: 'overloaded_error',
};
const TEXTS = { 529: 'Overloaded', 500: 'Internal server error', 503: 'Service unavailable', 429: 'This request would exceed the rate limit of your organization.' };
const FIELDS = new Set(['model', 'max_tokens', 'messages', 'system', 'stream', 'stop_sequences', 'temperature', 'top_p', 'top_k', 'tools', 'tool_choice', 'thinking',
  'output_config', 'cache_control', 'metadata', 'service_tier', 'inference_geo', 'container', 'diagnostics', 'speed', 'user_profile_id', 'workspace_id']);
const BLOCKS = new Set(['text', 'image', 'document', 'search_result', 'tool_use', 'tool_result', 'thinking', 'redacted_thinking']);
// What newer models refuse (reference: allows_temperature, thinking_mode, allows_prefill), and from how many tokens on they cache.
const NO_TEMPERATURE = /opus-4-[78]|opus-5|sonnet-5|haiku-5|fable|mythos/;
const NO_BUDGET = /opus-4-[78]|opus-5|sonnet-5|haiku-5|fable|mythos/;
const NO_PREFILL = /opus-4-[678]|sonnet-4-[678]|(opus|sonnet|haiku)-5|fable|mythos/;
const CACHE_LEAST = [[/opus-5|fable|mythos/, 512], [/opus-4-7/, 2048], [/opus-4-[56]|haiku-4-5/, 4096], [/./, 1024]];
const MODELS = [
  ['claude-opus-5-5', 'Claude Opus 5.5'], ['claude-sonnet-5-5', 'Claude Sonnet 5.5'], ['claude-sonnet-5', 'Claude Sonnet 5'], ['claude-haiku-5-5', 'Claude Haiku 5.5'],
  ['claude-sonnet-4-5', 'Claude Sonnet 4.5'], ['claude-haiku-4-5', 'Claude Haiku 4.5'],
];
const CONTEXT = 200000;
const TTL_MS = { '5m': 300000, '1h': 3600000 };

const bad = (text) => new Failure(400, text);

function textOf(content) {
  if (typeof content === 'string') return content;
  return (content || []).map((block) => (block.type === 'text' ? block.text : block.type === 'search_result' ? textOf(block.content) : '')).join('');
}

function checkFields(body, counting) {
  if (typeof body.model !== 'string') throw bad('model: Field required');
  if (!counting && body.max_tokens === undefined) throw bad('max_tokens: Field required');
  if (!counting && (!Number.isInteger(body.max_tokens) || body.max_tokens < 0)) throw bad('max_tokens: Input should be a valid integer');
  if (!Array.isArray(body.messages)) throw bad('messages: Field required');
  if (body.messages.length === 0) throw bad('messages: at least one message is required');
  // Conversations that the server keeps: refused in the way that lets a client go on with whole ones.
  if (body.thread) throw new Failure(400, 'thread: this request cannot be threaded', { details: { error_code: 'thread_unsupported_request', unsupported: ['thread'] } });
  for (const name of Object.keys(body)) if (!FIELDS.has(name)) throw bad(`${name}: Extra inputs are not permitted`);
  const { temperature: t, top_p: p, top_k: k, thinking } = body;
  if (t !== undefined && !(t >= 0 && t <= 1)) throw bad('temperature: range: 0..1');
  if (NO_TEMPERATURE.test(body.model)) {
    if (t !== undefined && t !== 1) throw bad('`temperature` is deprecated for this model.');
    if (p !== undefined && p !== 1) throw bad('`top_p` is deprecated for this model.');
    if (k !== undefined) throw bad('`top_k` is deprecated for this model.');
  }
  if (thinking?.type === 'enabled') {
    if (NO_BUDGET.test(body.model)) throw bad('thinking.type: "enabled" is not supported for this model, use "adaptive"');
    if (!(thinking.budget_tokens >= 1024)) throw bad('thinking.enabled.budget_tokens: Input should be greater than or equal to 1024');
    if (thinking.budget_tokens >= body.max_tokens) throw bad('`max_tokens` must be greater than `thinking.budget_tokens`.');
  }
  const choice = body.tool_choice;
  if (choice && !['auto', 'any', 'tool', 'none'].includes(choice.type)) throw bad(`tool_choice: Input tag '${choice.type}' found using 'type' does not match any of the expected tags`);
  if (choice && choice.type !== 'none' && !(body.tools || []).length) throw bad('tool_choice may only be specified while providing tools.');
  if (choice?.type === 'tool' && !body.tools.some((tool) => tool.name === choice.name)) throw bad(`Tool '${choice.name}' not found in provided tools`);
  for (const [i, tool] of (body.tools || []).entries()) {
    if (!/^[a-zA-Z0-9_-]{1,128}$/.test(tool.name || '')) throw bad(`tools.${i}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'`);
    if (!tool.input_schema) throw bad(`tools.${i}.custom.input_schema: Field required`);
    if (tool.input_schema.type !== 'object') throw bad(`tools.${i}.custom.input_schema.type: Input should be 'object'`);
  }
  const format = body.output_config?.format;
  if (format && (format.type !== 'json_schema' || typeof format.schema !== 'object')) throw bad('output_config.format: a json_schema with its schema is required');
}

function blocksOf(message, where) {
  const { content } = message;
  if (typeof content === 'string') {
    if (!content) throw bad('messages: text content blocks must be non-empty');
    return [{ type: 'text', text: content }];
  }
  if (!Array.isArray(content)) throw bad(`${where}.content: Input should be a valid list`);
  for (const [i, block] of content.entries()) {
    if (!BLOCKS.has(block?.type)) throw bad(`${where}.content.${i}: Input tag '${block?.type}' found using 'type' does not match any of the expected tags`);
    if (block.type === 'text' && !block.text) throw bad('messages: text content blocks must be non-empty');
    if (block.type === 'thinking' && block.signature !== signatureOf(block.thinking)) throw bad(`${where}.content.${i}: Invalid \`signature\` in \`thinking\` block`);
  }
  return content;
}

const signatureOf = (text) => Buffer.from(digestOf('signature', text)).toString('base64');

/** Checks the conversation and reads its turns: { turns, tools by id }. */
function readMessages(body) {
  const turns = [];
  const names = new Map(); // tool_use id -> name
  let waiting = [];
  for (const [i, message] of body.messages.entries()) {
    const where = `messages.${i}`;
    if (!['user', 'assistant'].includes(message.role)) throw bad(`messages: Unexpected role "${message.role}". Allowed roles are "user" or "assistant".`);
    const blocks = blocksOf(message, where);
    const results = blocks.filter((block) => block.type === 'tool_result');
    for (const result of results) {
      if (!waiting.includes(result.tool_use_id)) throw bad(`${where}.content: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${result.tool_use_id}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`);
    }
    const open = waiting.filter((id) => !results.some((result) => result.tool_use_id === id));
    if (open.length) throw bad(`messages.${i - 1}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${open.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`);
    waiting = [];
    for (const block of blocks) {
      if (block.type === 'tool_use') {
        if (message.role !== 'assistant') throw bad(`${where}: \`tool_use\` blocks can only be in \`assistant\` messages`);
        if (typeof block.input !== 'object' || block.input === null) throw bad(`${where}.content: tool_use.input: Input should be a valid dictionary`);
        names.set(block.id, block.name);
        waiting.push(block.id);
      }
    }
    for (const result of results) turns.push({ role: 'tool', name: names.get(result.tool_use_id), text: textOf(result.content) });
    const text = textOf(blocks);
    if (text || results.length === 0) turns.push({ role: message.role, text });
  }
  if (waiting.length) throw bad(`messages: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${waiting.join(', ')}`);
  const last = body.messages.at(-1);
  if (last.role === 'assistant') {
    if (NO_PREFILL.test(body.model)) throw bad('This model does not support assistant message prefill. The conversation must end with a user message.');
    if (/\s$/.test(textOf(last.content))) throw bad('messages: final assistant content cannot end with trailing whitespace');
  }
  return turns;
}

/** Every text that counts, in the order of the cache: tools, system, messages; with the marks where a cached prefix may end. */
function promptOf(body) {
  const texts = [];
  const marks = [];
  const mark = (control) => {
    if (!control) return;
    if (control.type !== 'ephemeral') throw bad("cache_control.type: Input should be 'ephemeral'");
    if (control.ttl && !TTL_MS[control.ttl]) throw bad("cache_control.ttl: Input should be '5m' or '1h'");
    marks.push({ at: texts.length, ttl: control.ttl || '5m' });
  };
  for (const tool of body.tools || []) {
    const { cache_control: control, ...rest } = tool;
    texts.push(JSON.stringify(rest));
    mark(control);
  }
  const blocks = (content) => (typeof content === 'string' ? [{ type: 'text', text: content }] : content || []);
  const all = [blocks(body.system), ...body.messages.map((message) => blocks(message.content))].flat();
  for (const block of all) {
    if (block.type === 'text') texts.push(block.text);
    else {
      const { cache_control: _, ...rest } = block;
      texts.push(JSON.stringify(rest));
    }
    mark(block.cache_control);
  }
  if (marks.length > 4) throw bad(`A maximum of 4 blocks with cache_control may be provided. Found ${marks.length}.`);
  if (body.cache_control) mark(body.cache_control);
  return { texts, marks };
}

function cacheOf(call, { texts, marks }, total) {
  const none = { read: 0, written: { '5m': 0, '1h': 0 } };
  if (marks.length === 0) return none;
  const least = CACHE_LEAST.find(([name]) => name.test(call.model))[1];
  const { cache } = call.world;
  let read = 0;
  let counted = 0;
  let from = 0;
  const written = { '5m': 0, '1h': 0 };
  const prefixes = marks.map(({ at, ttl }) => {
    for (; from < at; from++) counted += count(texts[from]);
    return { tokens: Math.min(counted, total), ttl, digest: digestOf(`${call.key}\0${call.model}`, texts.slice(0, at).join('\0')) };
  }).filter((prefix) => prefix.tokens >= least);
  for (const prefix of prefixes) if (cache.found(prefix.digest)) read = Math.max(read, prefix.tokens);
  let reached = read;
  for (const { tokens, ttl, digest } of prefixes) {
    if (tokens > reached) {
      written[ttl] += tokens - reached;
      reached = tokens;
    }
    cache.keep(digest, TTL_MS[ttl]);
  }
  return { read, written };
}

function read(call, counting) {
  const { body } = call;
  checkFields(body, counting);
  const turns = readMessages(body);
  const prompt = promptOf(body);
  const total = prompt.texts.reduce((sum, text) => sum + count(text), 3 * body.messages.length + 3);
  if (total > CONTEXT) throw bad(`prompt is too long: ${total} tokens > ${CONTEXT} maximum`);
  const choice = body.tool_choice || { type: 'auto' };
  return {
    total, prompt,
    request: {
      model: body.model, turns, tools: (body.tools || []).map((tool) => ({ name: tool.name, schema: tool.input_schema })),
      choice: { auto: 'auto', any: 'required', none: 'none' }[choice.type] || { name: choice.name }, parallel: choice.disable_parallel_tool_use !== true,
      schema: body.output_config?.format?.schema || null, max_tokens: body.max_tokens, stops: body.stop_sequences,
      think: Boolean(body.thinking && body.thinking.type !== 'disabled'),
    },
  };
}

const REASONS = { end: 'end_turn', length: 'max_tokens', stop: 'stop_sequence', tool: 'tool_use', refusal: 'refusal', filter: 'refusal', pause: 'pause_turn' };

function usageOf(input, cache, said, output) {
  const { usage } = said;
  const m5 = usage.written ?? cache.written['5m'];
  const h1 = usage.written_1h ?? cache.written['1h'];
  const readTokens = usage.cached ?? cache.read;
  return {
    input_tokens: usage.input ?? Math.max(0, input - readTokens - m5 - h1), cache_creation_input_tokens: m5 + h1, cache_read_input_tokens: readTokens,
    cache_creation: { ephemeral_5m_input_tokens: m5, ephemeral_1h_input_tokens: h1 }, output_tokens: output,
    output_tokens_details: { thinking_tokens: usage.reasoning ?? said.reasoning }, service_tier: 'standard',
  };
}

function inputOf(part) {
  if (part.arguments.trim() === '') return {};
  try {
    return JSON.parse(part.arguments);
  } catch {
    return {};
  }
}

function blockOf(part) {
  if (part.type === 'thinking') return { type: 'thinking', thinking: part.text, signature: signatureOf(part.text) };
  if (part.type === 'call') return { type: 'tool_use', id: part.id.replace(/^call_/, 'toolu_'), name: part.name, input: inputOf(part) };
  return { type: 'text', text: part.text };
}

/** The frames of one block: its start, its deltas, its stop. */
function frames(part, index, fault, script) {
  const block = blockOf(part);
  const start = { thinking: { type: 'thinking', thinking: '', signature: '' }, tool_use: { ...block, input: {} }, text: { type: 'text', text: '' } }[block.type];
  const delta = (value) => ({ mark: 'content', text: named('content_block_delta', { type: 'content_block_delta', index, delta: value }) });
  const out = [{ mark: 'open', text: named('content_block_start', { type: 'content_block_start', index, content_block: start }) }];
  if (block.type === 'thinking') {
    for (const piece of pieces(part.text)) out.push(delta({ type: 'thinking_delta', thinking: piece }));
    out.push({ mark: 'open', text: named('content_block_delta', { type: 'content_block_delta', index, delta: { type: 'signature_delta', signature: block.signature } }) });
  } else if (block.type === 'tool_use') {
    out.push({ mark: 'open', text: named('content_block_delta', { type: 'content_block_delta', index, delta: { type: 'input_json_delta', partial_json: '' } }) });
    for (const piece of fragments(part.arguments, fault.fragment || 5)) out.push(delta({ type: 'input_json_delta', partial_json: piece }));
    // When the token limit falls into the arguments the block is not stopped.
    if (part.cut) return out;
  } else if (part.type !== 'refusal') {
    for (const piece of script?.pieces || pieces(part.text)) out.push(delta({ type: 'text_delta', text: piece }));
  }
  out.push({ mark: 'close', text: named('content_block_stop', { type: 'content_block_stop', index }) });
  return out;
}

function errorBody(status, failure, id) {
  const type = failure.more.type || TYPES[status] || 'api_error';
  const error = { type, message: failure.message || TEXTS[status] || `status ${status}` };
  if (failure.more.details) error.details = failure.more.details;
  if (failure.more.spend_limit) error.details = { error_code: 'enforced_spend_limit_reached' };
  return { type: 'error', error, request_id: id };
}

function messages(call) {
  const { body, fault, script } = call;
  const { request, total, prompt } = read(call, false);
  call.take(total);
  const cache = cacheOf(call, prompt, total);
  const said = call.answer(request);
  const output = said.usage.output ?? said.output;
  const usage = usageOf(total, cache, said, output);
  const refused = said.reason === 'refusal' || said.reason === 'filter';
  const message = {
    id: call.id('msg_01'), type: 'message', role: 'assistant', model: call.model, content: [], stop_reason: null, stop_sequence: null, stop_details: null, usage,
  };
  const ending = {
    stop_reason: REASONS[said.reason] || said.reason, stop_sequence: said.stop ?? null,
    stop_details: refused ? { type: 'refusal', category: null, explanation: said.parts.find((part) => part.type === 'refusal')?.text ?? null } : null,
  };
  const used = { input: usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens, cached: usage.cache_read_input_tokens, output };
  if (!body.stream) return { json: { ...message, ...ending, content: refused ? [] : said.parts.map(blockOf) }, usage: used };

  const list = said.parts.map((part, index) => frames(part, index, fault, script));
  let inside = mixed(list, fault.interleave);
  const ping = { mark: 'open', text: named('ping', { type: 'ping' }) };
  if (fault.pings) inside = inside.flatMap((frame) => [frame, ping]);
  const begun = named('message_start', { type: 'message_start', message: { ...message, usage: { ...usage, output_tokens: Math.min(1, output) } } });
  return {
    headers: HEADERS, usage: used,
    plan: {
      form: 'sse',
      frames: [
        { mark: 'open', text: begun }, ping, ...inside,
        { mark: 'terminal', text: named('message_delta', { type: 'message_delta', delta: ending, usage: { ...usage, output_tokens: output } }) },
        { mark: 'terminal', text: named('message_stop', { type: 'message_stop' }) },
      ],
      more: (i) => named('content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: ` and ${i}` } }),
      error: (status = 529) => named('error', errorBody(status, new Failure(status, ''), call.requestId)),
    },
  };
}

function countTokens(call) {
  return { json: { input_tokens: read(call, true).total } };
}

const model = ([id, name]) => ({
  id, type: 'model', display_name: name, created_at: '2026-01-15T00:00:00Z', max_input_tokens: CONTEXT, max_tokens: 64000,
  capabilities: { structured_outputs: { supported: true }, thinking: { supported: true }, effort: { supported: true } },
});

function models(call) {
  const { id } = call.route.params;
  if (id) {
    const found = MODELS.find(([name]) => name === id);
    if (!found) throw new Failure(404, `model: ${id}`);
    return { json: model(found) };
  }
  const limit = Number(call.query.get('limit')) || 20;
  const after = MODELS.findIndex(([name]) => name === call.query.get('after_id')) + 1;
  const page = MODELS.slice(after, after + limit);
  return { json: { data: page.map(model), has_more: after + limit < MODELS.length, first_id: page[0]?.[0] ?? null, last_id: page.at(-1)?.[0] ?? null } };
}

const version = (run) => (call) => {
  if (!call.headers['anthropic-version']) throw bad('anthropic-version: header is required');
  if (call.model.startsWith('missing')) throw new Failure(404, `model: ${call.model}`);
  return run(call);
};
const MESSAGES = { run: version(messages) };
const COUNT = { run: version(countTokens) };

module.exports = {
  name: 'claude',
  needsKey: true,
  key: (headers) => headers['x-api-key'] || (headers.authorization || '').replace(/^Bearer /i, ''),
  modelOf: (route, body) => body?.model,
  routes(method, path, headers, prefixed) {
    if (method === 'POST' && path === '/v1/messages') return MESSAGES;
    if (method === 'POST' && path === '/v1/messages/count_tokens') return COUNT;
    const found = method === 'GET' && (prefixed || headers['anthropic-version'] || headers['x-api-key']) && /^\/v1\/models(?:\/([^/]+))?$/.exec(path);
    return found ? { run: version(models), params: { id: found[1] && decodeURIComponent(found[1]) } } : null;
  },
  failure(status, failure, call) {
    return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(errorBody(status, failure, call.requestId)) };
  },
  headers(call, figures) {
    call.requestId ||= call.id('req_01');
    const headers = { 'request-id': call.requestId, 'anthropic-organization-id': '00000000-0000-4000-8000-000000000000' };
    for (const [kind, { limit, remaining, reset_ms }] of Object.entries(figures || {})) {
      const name = `anthropic-ratelimit-${kind.replace('_', '-')}`;
      headers[`${name}-limit`] = String(limit);
      headers[`${name}-remaining`] = String(remaining);
      headers[`${name}-reset`] = new Date(Date.now() + reset_ms).toISOString().replace(/\.\d+Z/, 'Z');
    }
    return headers;
  },
};
