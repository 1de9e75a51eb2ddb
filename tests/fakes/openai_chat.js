// SPDX-License-Identifier: Apache-2.0
'use strict';
/* OpenAI's Chat Completions. Form from the openai package (resources/chat/completions). */
const { Failure } = require('./failure');
const { strictBreach } = require('./schema');
const { count, pieces } = require('./tokens');
const { HEADERS, data, fragments, mixed, padding } = require('./sse');

const FIELDS = new Set(['messages', 'model', 'audio', 'frequency_penalty', 'function_call', 'functions', 'logit_bias', 'logprobs', 'max_completion_tokens', 'max_tokens',
  'metadata', 'modalities', 'moderation', 'n', 'parallel_tool_calls', 'prediction', 'presence_penalty', 'prompt_cache_key', 'prompt_cache_options',
  'prompt_cache_retention', 'reasoning_effort', 'response_format', 'safety_identifier', 'seed', 'service_tier', 'stop', 'store', 'stream', 'stream_options',
  'temperature', 'tool_choice', 'tools', 'top_logprobs', 'top_p', 'user', 'verbosity', 'web_search_options']);
const ROLES = ['developer', 'system', 'user', 'assistant', 'tool'];
const NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const REASONING = /^(o\d|gpt-5)/;
const CONTEXT = 128000;

const bad = (text, param = null, code = null) => new Failure(400, text, { param, code });

function textOf(content, where) {
  if (content === null || content === undefined) return '';
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw bad(`Invalid type for '${where}.content': expected one of a string or array of objects.`, `${where}.content`, 'invalid_type');
  return content.map((part) => part.text ?? part.refusal ?? '').join('');
}

function turnsOf(messages) {
  const turns = [];
  let open = new Map(); // id of a call that waits for its result -> name
  for (const [i, message] of messages.entries()) {
    const where = `messages.[${i}]`;
    if (!ROLES.includes(message?.role)) throw bad(`Invalid value: '${message?.role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.`, `messages[${i}].role`, 'invalid_value');
    const text = textOf(message.content, `messages[${i}]`);
    if (message.role === 'tool') {
      if (!open.has(message.tool_call_id)) throw bad("Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.", `${where}.role`);
      turns.push({ role: 'tool', name: open.get(message.tool_call_id), text });
      open.delete(message.tool_call_id);
      continue;
    }
    if (open.size) throw bad(`An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${[...open.keys()].join(', ')}`, where);
    if (message.role === 'assistant') {
      if (message.content === undefined && !message.tool_calls) throw bad(`Invalid value for 'content': expected a string, got null.`, `messages.[${i}].content`);
      open = new Map((message.tool_calls || []).map((one) => [one.id, one.function?.name]));
      for (const one of message.tool_calls || []) if (typeof one.function?.arguments !== 'string') throw bad(`Invalid type for 'messages[${i}].tool_calls[0].function.arguments': expected a string.`, null, 'invalid_type');
      if (text || !open.size) turns.push({ role: 'assistant', text });
    } else if (message.role === 'user') turns.push({ role: 'user', text });
  }
  if (open.size) throw bad(`An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${[...open.keys()].join(', ')}`, `messages.[${messages.length - 1}].role`);
  return turns;
}

function checkTools(body) {
  for (const [i, tool] of (body.tools || []).entries()) {
    if (tool.type !== 'function' || !tool.function) throw bad(`Missing required parameter: 'tools[${i}].function'.`, `tools[${i}].function`, 'missing_required_parameter');
    const { name, strict, parameters } = tool.function;
    if (!NAME.test(name || '')) throw bad(`Invalid 'tools[${i}].function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.`, `tools[${i}].function.name`, 'invalid_value');
    const breach = strict && strictBreach(parameters || {});
    if (breach) throw bad(`Invalid schema for function '${name}': ${breach}`, `tools[${i}].function.parameters`, 'invalid_function_parameters');
    if (parameters && parameters.type !== 'object') throw bad(`Invalid schema for function '${name}': schema must be a JSON Schema of 'type: "object"', got 'type: "${parameters.type}"'.`, `tools[${i}].function.parameters`, 'invalid_function_parameters');
  }
  if (body.tools && body.tools.length === 0) throw bad("Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.", 'tools', 'empty_array');
  if (body.tool_choice && !body.tools) throw bad("'tool_choice' is only allowed when 'tools' are specified.", 'tool_choice');
  if (body.parallel_tool_calls !== undefined && !body.tools) throw bad("Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when 'tools' are specified.", 'parallel_tool_calls');
}

function checkFormat(format) {
  if (!format || format.type === 'text' || format.type === 'json_object') return;
  if (format.type !== 'json_schema') throw bad(`Invalid value: '${format.type}'. Supported values are: 'json_object', 'json_schema', and 'text'.`, 'response_format.type', 'invalid_value');
  const { name, schema, strict } = format.json_schema || {};
  if (!NAME.test(name || '')) throw bad("Missing required parameter: 'response_format.json_schema.name'.", 'response_format.json_schema.name', 'missing_required_parameter');
  const breach = strict && strictBreach(schema || {});
  if (breach) throw bad(`Invalid schema for response_format '${name}': ${breach}`, 'response_format');
}

function check(body) {
  for (const name of Object.keys(body)) if (!FIELDS.has(name)) throw bad(`Unrecognized request argument supplied: ${name}`);
  if (!Array.isArray(body.messages)) throw bad("Missing required parameter: 'messages'.", 'messages', 'missing_required_parameter');
  if (body.messages.length === 0) throw bad("Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.", 'messages', 'empty_array');
  if (REASONING.test(body.model) && body.max_tokens !== undefined) throw bad("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", 'max_tokens', 'unsupported_parameter');
  if (/^(o3|o4-mini)/.test(body.model) && body.stop) throw bad("Unsupported parameter: 'stop' is not supported with this model.", 'stop', 'unsupported_parameter');
  if (/^o\d/.test(body.model) && body.temperature !== undefined && body.temperature !== 1) throw bad("Unsupported value: 'temperature' does not support " + body.temperature + ' with this model. Only the default (1) value is supported.', 'temperature', 'unsupported_value');
  if (Array.isArray(body.stop) && body.stop.length > 4) throw bad("Invalid 'stop': array too long. Expected an array with maximum length 4.", 'stop', 'array_above_max_length');
  if (body.temperature !== undefined && !(body.temperature >= 0 && body.temperature <= 2)) throw bad("Invalid 'temperature': decimal above maximum value. Expected a value <= 2.", 'temperature', 'decimal_above_max_value');
  if (body.stream_options && !body.stream) throw bad("The 'stream_options' parameter is only allowed when 'stream' is enabled.", 'stream_options');
  checkTools(body);
  checkFormat(body.response_format);
}

/** What a Chat Completions request asks, in the words of mind.js. */
function requestOf(body) {
  const format = body.response_format;
  const choice = body.tool_choice || 'auto';
  const prompt = [];
  for (const tool of body.tools || []) prompt.push(JSON.stringify(tool.function));
  for (const message of body.messages) prompt.push(textOf(message.content) + (message.tool_calls ? JSON.stringify(message.tool_calls) : ''));
  return {
    model: body.model, turns: turnsOf(body.messages), prompt, tools: (body.tools || []).map((tool) => ({ name: tool.function.name, schema: tool.function.parameters })),
    choice: typeof choice === 'string' ? choice : { name: choice.function?.name }, parallel: body.parallel_tool_calls,
    schema: format?.type === 'json_schema' ? format.json_schema.schema : null, json: format?.type === 'json_object', max_tokens: body.max_completion_tokens ?? body.max_tokens,
    stops: [].concat(body.stop || []), think: REASONING.test(body.model) && !['none', 'minimal'].includes(body.reasoning_effort),
  };
}

const REASONS = { end: 'stop', length: 'length', stop: 'stop', tool: 'tool_calls', refusal: 'stop', filter: 'content_filter' };

function usageOf(input, cache, said) {
  const { usage } = said;
  const prompt = usage.input ?? input;
  const output = usage.output ?? said.output;
  return {
    prompt_tokens: prompt, completion_tokens: output, total_tokens: prompt + output,
    prompt_tokens_details: { cached_tokens: usage.cached ?? cache.cached, cache_write_tokens: usage.written ?? 0, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: usage.reasoning ?? said.reasoning, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
  };
}

const callOf = (part) => ({ id: part.id, type: 'function', function: { name: part.name, arguments: part.arguments || (part.cut ? '' : '{}') } });

function chunks(call, said, base, usage, wantsUsage) {
  const { fault, script } = call;
  // All chunks begin and end alike: as text once, for streams are what a load is made of.
  const head = `data: ${JSON.stringify(base).slice(0, -1)},"choices":[{"index":0,"delta":`;
  const tail = wantsUsage ? ',"usage":null}\n\n' : '}\n\n';
  const padded = call.body.stream_options?.include_obfuscation !== false;
  const chunk = (delta, finish = null) => {
    const json = JSON.stringify(delta);
    return `${head}${json},"logprobs":null,"finish_reason":${JSON.stringify(finish)}}]${padded ? `,"obfuscation":"${padding(json)}"` : ''}${tail}`;
  };
  const content = (delta) => ({ mark: 'content', text: chunk(delta) });
  const frames = [{ mark: 'open', text: chunk({ role: 'assistant', content: said.parts.some((part) => part.type === 'call') ? null : '', refusal: null }) }];
  for (const part of said.parts) {
    if (part.type === 'text') for (const piece of script?.pieces || pieces(part.text)) frames.push(content({ content: piece }));
    if (part.type === 'refusal') for (const piece of pieces(part.text)) frames.push(content({ refusal: piece }));
  }
  const calls = said.parts.filter((part) => part.type === 'call').map((part, index) => {
    const whole = callOf(part);
    const first = { mark: 'content', text: chunk({ tool_calls: [{ index, id: whole.id, type: 'function', function: { name: whole.function.name, arguments: '' } }] }) };
    return [first, ...fragments(whole.function.arguments, fault.fragment || 5).map((piece) => content({ tool_calls: [{ index, function: { arguments: piece } }] }))];
  });
  frames.push(...mixed(calls, fault.interleave));
  frames.push({ mark: 'terminal', text: chunk({}, REASONS[said.reason] || said.reason) });
  if (wantsUsage) frames.push({ mark: 'terminal', text: data({ ...base, choices: [], usage }) });
  frames.push({ mark: 'terminal', text: 'data: [DONE]\n\n' });
  return {
    form: 'sse', frames, more: (i) => chunk({ content: ` and ${i}` }),
    error: (status = 500) => data({ error: { message: 'The server had an error while processing your request.', type: status === 429 ? 'rate_limit_error' : 'server_error', param: null, code: status === 429 ? 'rate_limit_exceeded' : null } }),
  };
}

function chat(call) {
  const { body } = call;
  check(body);
  const request = requestOf(body);
  const input = request.prompt.reduce((sum, text) => sum + count(text) + 3, 3);
  if (request.json && !/json/i.test(request.prompt.join())) throw bad("'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.", 'messages');
  if (input > CONTEXT) throw bad(`This model's maximum context length is ${CONTEXT} tokens. However, your messages resulted in ${input} tokens. Please reduce the length of the messages.`, 'messages', 'context_length_exceeded');
  call.take(input);
  const cache = call.world.cache.automatic(`${call.key}\0${call.model}`, request.prompt, input);
  const said = call.answer(request);
  const usage = usageOf(input, cache, said);
  const base = { id: call.id('chatcmpl-'), object: 'chat.completion', created: Math.floor(Date.now() / 1000), model: call.model, service_tier: 'default', system_fingerprint: 'fp_fake' };
  const used = { input: usage.prompt_tokens, cached: usage.prompt_tokens_details.cached_tokens, output: usage.completion_tokens };
  if (body.stream) {
    base.object = 'chat.completion.chunk';
    return { headers: HEADERS, plan: chunks(call, said, base, usage, body.stream_options?.include_usage === true), usage: used };
  }
  const text = said.parts.filter((part) => part.type === 'text').map((part) => part.text).join('');
  const calls = said.parts.filter((part) => part.type === 'call').map(callOf);
  const refusal = said.parts.find((part) => part.type === 'refusal');
  const message = { role: 'assistant', content: text || (calls.length || refusal ? null : ''), refusal: refusal ? refusal.text : null, annotations: [], ...(calls.length ? { tool_calls: calls } : {}) };
  const choice = (index) => ({ index, message, logprobs: null, finish_reason: REASONS[said.reason] || said.reason });
  return { json: { ...base, choices: Array.from({ length: body.n || 1 }, (_, index) => choice(index)), usage }, usage: used };
}

module.exports = { chat };
