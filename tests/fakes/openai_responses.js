// SPDX-License-Identifier: Apache-2.0
'use strict';
/* OpenAI's Responses, with previous_response_id. Form from the openai package (resources/responses). */
const { Failure } = require('./failure');
const { strictBreach } = require('./schema');
const { count, pieces } = require('./tokens');
const { HEADERS, named, fragments, mixed, padding } = require('./sse');

const FIELDS = new Set(['background', 'context_management', 'conversation', 'include', 'input', 'instructions', 'max_output_tokens', 'max_tool_calls', 'metadata', 'model',
  'moderation', 'parallel_tool_calls', 'previous_response_id', 'prompt', 'prompt_cache_key', 'prompt_cache_options', 'prompt_cache_retention', 'reasoning',
  'safety_identifier', 'service_tier', 'store', 'stream', 'stream_options', 'temperature', 'text', 'tool_choice', 'tools', 'top_logprobs', 'top_p', 'truncation', 'user']);
const NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const REASONING = /^(o\d|gpt-5)/;
const KEPT = 1000;
const LEAST_OUTPUT = 16;

const bad = (text, param = null, code = null) => new Failure(400, text, { param, code });

function textOf(content) {
  if (typeof content === 'string') return content;
  return (content || []).map((part) => part.text ?? part.refusal ?? '').join('');
}

function itemsOf(body, kept) {
  if (body.input === undefined && !kept) throw bad("Missing required parameter: 'input'.", 'input', 'missing_required_parameter');
  if (typeof body.input === 'string') return [{ role: 'user', content: body.input }];
  if (!Array.isArray(body.input)) throw bad("Invalid type for 'input': expected one of a string or array of input items.", 'input', 'invalid_type');
  return body.input;
}

function turnsOf(items) {
  const turns = [];
  const calls = new Map();
  const open = new Set();
  for (const [i, item] of items.entries()) {
    switch (item.type || 'message') {
      case 'message':
        if (!['user', 'assistant', 'system', 'developer'].includes(item.role)) throw bad(`Invalid value: '${item.role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'.`, `input[${i}].role`, 'invalid_value');
        if (item.role === 'user' || item.role === 'assistant') turns.push({ role: item.role, text: textOf(item.content) });
        break;
      case 'function_call':
        if (typeof item.arguments !== 'string') throw bad(`Invalid type for 'input[${i}].arguments': expected a string.`, `input[${i}].arguments`, 'invalid_type');
        calls.set(item.call_id, item.name);
        open.add(item.call_id);
        break;
      case 'function_call_output':
        if (!calls.has(item.call_id)) throw bad(`No tool call found for function call output with call_id ${item.call_id}.`, 'input');
        open.delete(item.call_id);
        turns.push({ role: 'tool', name: calls.get(item.call_id), text: textOf(item.output) });
        break;
      case 'reasoning': case 'item_reference': break;
      default: throw bad(`Invalid value: '${item.type}'.`, `input[${i}].type`, 'invalid_value');
    }
  }
  if (open.size) throw bad(`No tool output found for function call ${[...open][0]}.`, 'input');
  return turns;
}

function check(body) {
  for (const name of Object.keys(body)) if (!FIELDS.has(name)) throw bad(`Unknown parameter: '${name}'.`, name, 'unknown_parameter');
  if (body.max_output_tokens !== undefined && !(body.max_output_tokens >= LEAST_OUTPUT)) throw bad(`Invalid 'max_output_tokens': integer below minimum value. Expected a value >= ${LEAST_OUTPUT}.`, 'max_output_tokens', 'integer_below_min_value');
  if (/^o\d/.test(body.model) && body.temperature !== undefined) throw bad("Unsupported parameter: 'temperature' is not supported with this model.", 'temperature', 'unsupported_parameter');
  for (const [i, tool] of (body.tools || []).entries()) {
    if (tool.type !== 'function') continue;
    if (!NAME.test(tool.name || '')) throw bad(`Missing required parameter: 'tools[${i}].name'.`, `tools[${i}].name`, 'missing_required_parameter');
    // Here functions are strict unless they say that they are not.
    const breach = tool.strict === true && strictBreach(tool.parameters || {});
    if (breach) throw bad(`Invalid schema for function '${tool.name}': ${breach}`, `tools[${i}].parameters`, 'invalid_function_parameters');
  }
  const format = body.text?.format;
  if (format?.type === 'json_schema') {
    if (!NAME.test(format.name || '')) throw bad("Missing required parameter: 'text.format.name'.", 'text.format.name', 'missing_required_parameter');
    const breach = format.strict && strictBreach(format.schema || {});
    if (breach) throw bad(`Invalid schema for response_format '${format.name}': ${breach}`, 'text.format.schema', 'invalid_json_schema');
  }
  if (body.tool_choice && typeof body.tool_choice === 'object' && !(body.tools || []).some((tool) => tool.name === body.tool_choice.name)) {
    throw bad(`Tool choice 'function' not found in 'tools' parameter.`, 'tool_choice');
  }
}

function outputOf(call, said) {
  const items = [];
  let message = null;
  for (const part of said.parts) {
    if (part.type === 'thinking') {
      const asked = call.body.reasoning?.summary;
      const item = { id: call.id('rs_'), type: 'reasoning', summary: asked ? [{ type: 'summary_text', text: part.text }] : [] };
      if ((call.body.include || []).includes('reasoning.encrypted_content')) item.encrypted_content = Buffer.from(part.text).toString('base64');
      items.push({ item, part });
    } else if (part.type === 'call') {
      items.push({ item: { id: call.id('fc_'), type: 'function_call', status: part.cut ? 'incomplete' : 'completed', call_id: part.id, name: part.name, arguments: part.arguments || (part.cut ? '' : '{}') }, part });
    } else {
      const content = part.type === 'refusal' ? { type: 'refusal', refusal: part.text } : { type: 'output_text', text: part.text, annotations: [], logprobs: [] };
      message = { id: call.id('msg_'), type: 'message', status: part.cut ? 'incomplete' : 'completed', role: 'assistant', content: [content] };
      items.push({ item: message, part });
    }
  }
  return items;
}

/** The events of one output item; `event` gives each its number when it is written. */
function eventsOf(call, { item, part }, index, event) {
  const at = { item_id: item.id, output_index: index };
  const frames = [];
  const open = (type, more) => frames.push({ mark: 'open', make: () => event(type, more) });
  const content = (type, more) => frames.push({ mark: 'content', make: () => event(type, more) });
  if (item.type === 'reasoning') {
    open('response.output_item.added', { output_index: index, item: { ...item, summary: [] } });
    if (item.summary.length) {
      const inside = { ...at, summary_index: 0 };
      open('response.reasoning_summary_part.added', { ...inside, part: { type: 'summary_text', text: '' } });
      for (const piece of pieces(part.text)) open('response.reasoning_summary_text.delta', { ...inside, delta: piece });
      open('response.reasoning_summary_text.done', { ...inside, text: part.text });
      open('response.reasoning_summary_part.done', { ...inside, part: item.summary[0] });
    }
  } else if (item.type === 'function_call') {
    open('response.output_item.added', { output_index: index, item: { ...item, status: 'in_progress', arguments: '' } });
    for (const piece of fragments(item.arguments, call.fault.fragment || 5)) content('response.function_call_arguments.delta', { ...at, delta: piece });
    if (!part.cut) open('response.function_call_arguments.done', { ...at, name: item.name, arguments: item.arguments });
  } else {
    const inside = { ...at, content_index: 0 };
    const whole = item.content[0];
    const refused = whole.type === 'refusal';
    open('response.output_item.added', { output_index: index, item: { ...item, status: 'in_progress', content: [] } });
    open('response.content_part.added', { ...inside, part: refused ? { type: 'refusal', refusal: '' } : { ...whole, text: '' } });
    for (const piece of (!refused && call.script?.pieces) || pieces(part.text)) content(refused ? 'response.refusal.delta' : 'response.output_text.delta', { ...inside, delta: piece, ...(refused ? {} : { logprobs: [] }) });
    open(refused ? 'response.refusal.done' : 'response.output_text.done', { ...inside, ...(refused ? { refusal: part.text } : { text: part.text, logprobs: [] }) });
    open('response.content_part.done', { ...inside, part: whole });
  }
  open('response.output_item.done', { output_index: index, item });
  return frames;
}

function planOf(call, items, response, ending) {
  let number = 0;
  const padded = call.body.stream_options?.include_obfuscation !== false;
  const event = (type, more) => named(type, { type, sequence_number: number++, ...more, ...(padded && type.endsWith('.delta') ? { obfuscation: padding(more.delta) } : {}) });
  const begun = { ...response, status: 'in_progress', output: [], usage: null, incomplete_details: null, completed_at: null };
  const lists = items.map((one, index) => eventsOf(call, one, index, event));
  // Numbers follow the order of writing, so texts are made once the order is known.
  const frames = [
    { mark: 'open', make: () => event('response.created', { response: begun }) }, { mark: 'open', make: () => event('response.in_progress', { response: begun }) },
    ...mixed(lists, call.fault.interleave), { mark: 'terminal', make: () => event(ending, { response }) },
  ].map(({ mark, make }) => ({ mark, text: make() }));
  const first = items.findIndex(({ item }) => item.type === 'message');
  const id = items[first]?.item.id || 'msg_more';
  return {
    form: 'sse', frames,
    more: (i) => event('response.output_text.delta', { item_id: id, output_index: Math.max(0, first), content_index: 0, delta: ` and ${i}`, logprobs: [] }),
    error: (status, fault, sent) => (number = sent, fault.error_as === 'failed'
      ? event('response.failed', { response: { ...begun, status: 'failed', error: { code: status === 429 ? 'rate_limit_exceeded' : 'server_error', message: 'The model failed to generate a response.' } } })
      : event('error', { code: status === 429 ? 'rate_limit_exceeded' : 'server_error', message: 'The server had an error while processing your request.', param: null })),
  };
}

function remember(world, id, items) {
  world.memory.set(id, items);
  if (world.memory.size > KEPT) world.memory.delete(world.memory.keys().next().value);
}

function responses(call) {
  const { body, world } = call;
  check(body);
  const before = body.previous_response_id ? world.memory.get(body.previous_response_id) : [];
  if (!before) throw bad(`Previous response with id '${body.previous_response_id}' not found.`, 'previous_response_id', 'previous_response_not_found');
  const items = [...before, ...itemsOf(body, before.length)];
  const tools = (body.tools || []).filter((tool) => tool.type === 'function');
  const choice = body.tool_choice || 'auto';
  const prompt = [body.instructions || '', ...tools.map((tool) => JSON.stringify(tool)), ...items.map((item) => textOf(item.content ?? item.output) + (item.arguments || ''))];
  const input = prompt.reduce((sum, text) => sum + count(text) + 3, 0);
  const format = body.text?.format;
  const request = {
    model: body.model, turns: turnsOf(items), tools: tools.map((tool) => ({ name: tool.name, schema: tool.parameters })), choice: typeof choice === 'string' ? choice : { name: choice.name },
    parallel: body.parallel_tool_calls, schema: format?.type === 'json_schema' ? format.schema : null, json: format?.type === 'json_object', max_tokens: body.max_output_tokens,
    stops: [], think: REASONING.test(body.model) && !['none', 'minimal'].includes(body.reasoning?.effort),
  };
  if (request.json && !/json/i.test(prompt.join())) throw bad("Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.", 'input');
  call.take(input);
  const cache = world.cache.automatic(`${call.key}\0${call.model}`, prompt, input);
  const said = call.answer(request);
  const output = outputOf(call, said);
  const given = said.usage;
  const usage = {
    input_tokens: given.input ?? input, input_tokens_details: { cached_tokens: given.cached ?? cache.cached, cache_write_tokens: given.written ?? 0 },
    output_tokens: given.output ?? said.output, output_tokens_details: { reasoning_tokens: given.reasoning ?? said.reasoning },
    total_tokens: (given.input ?? input) + (given.output ?? said.output),
  };
  const incomplete = { length: 'max_output_tokens', filter: 'content_filter' }[said.reason];
  const now = Math.floor(Date.now() / 1000);
  const response = {
    id: call.id('resp_', 40), object: 'response', created_at: now, status: incomplete ? 'incomplete' : 'completed', background: false, completed_at: incomplete ? null : now, error: null,
    incomplete_details: incomplete ? { reason: incomplete } : null, instructions: body.instructions ?? null, max_output_tokens: body.max_output_tokens ?? null, metadata: body.metadata || {},
    model: call.model, output: output.map(({ item }) => item), parallel_tool_calls: body.parallel_tool_calls ?? true, previous_response_id: body.previous_response_id ?? null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: body.reasoning?.summary ?? null }, service_tier: 'default', store: body.store ?? true, temperature: body.temperature ?? 1,
    text: body.text || { format: { type: 'text' } }, tool_choice: choice, tools: body.tools || [], top_p: body.top_p ?? 1, truncation: body.truncation || 'disabled', usage, user: null,
  };
  if (body.store !== false) remember(world, response.id, [...items, ...response.output]);
  const used = { input: usage.input_tokens, cached: usage.input_tokens_details.cached_tokens, output: usage.output_tokens };
  if (!body.stream) return { json: response, usage: used };
  return { headers: HEADERS, plan: planOf(call, output, response, incomplete ? 'response.incomplete' : 'response.completed'), usage: used };
}

module.exports = { responses };
