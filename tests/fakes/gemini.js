// SPDX-License-Identifier: Apache-2.0
'use strict';
/* Gemini's API: generateContent, streamGenerateContent, countTokens, batchEmbedContents, embedContent and models. Form from @google/genai (its
 * converters and types), errors as google.rpc.Status. */
const { Failure } = require('./failure');
const { count, pieces } = require('./tokens');
const { embed } = require('./vectors');
const { data } = require('./sse');

const STATUS = {
  400: 'INVALID_ARGUMENT', 401: 'UNAUTHENTICATED', 403: 'PERMISSION_DENIED', 404: 'NOT_FOUND', 408: 'DEADLINE_EXCEEDED', 409: 'ABORTED', 413: 'INVALID_ARGUMENT',
  422: 'INVALID_ARGUMENT', 429: 'RESOURCE_EXHAUSTED', 499: 'CANCELLED', 500: 'INTERNAL', 501: 'UNIMPLEMENTED', 503: 'UNAVAILABLE', 504: 'DEADLINE_EXCEEDED',
};
const TEXTS = {
  429: 'You exceeded your current quota, please check your plan and billing details.', 500: 'An internal error has occurred. Please retry.',
  503: 'The model is overloaded. Please try again later.', 404: 'Requested entity was not found.',
};
const FIELDS = new Set(['contents', 'systemInstruction', 'tools', 'toolConfig', 'generationConfig', 'safetySettings', 'cachedContent', 'serviceTier', 'labels', 'store', 'model',
  'continuationToken']);
const CONFIG = new Set(['modelSelectionConfig', 'responseJsonSchema', 'audioTranscriptionConfig', 'audioTimestamp', 'candidateCount', 'enableAffectiveDialog', 'frequencyPenalty',
  'imageConfig', 'logprobs', 'maxOutputTokens', 'mediaResolution', 'presencePenalty', 'responseFormat', 'responseLogprobs', 'responseMimeType', 'responseModalities',
  'responseSchema', 'routingConfig', 'seed', 'speechConfig', 'stopSequences', 'temperature', 'thinkingConfig', 'topK', 'topP', 'enableEnhancedCivicAnswers']);
const PARTS = new Set(['text', 'thought', 'thoughtSignature', 'inlineData', 'fileData', 'functionCall', 'functionResponse', 'executableCode', 'codeExecutionResult', 'videoMetadata',
  'mediaResolution', 'partMetadata', 'toolCall', 'toolResponse']);
const NAME = /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$/;
const MODELS = [
  ['gemini-3.8-flash', 'Gemini 3.8 Flash'], ['gemini-3.5-flash', 'Gemini 3.5 Flash'], ['gemini-3.1-pro-preview', 'Gemini 3.1 Pro Preview'], ['gemini-2.5-flash', 'Gemini 2.5 Flash'],
  ['gemini-embedding-001', 'Gemini Embedding 001'],
];
const DIMENSIONS = 3072;
const SSE = { 'content-type': 'text/event-stream' };
const JSON_HEADERS = { 'content-type': 'application/json; charset=UTF-8' };

const bad = (text) => new Failure(400, text);
const either = (object, camel, snake) => object?.[camel] ?? object?.[snake]; // protobuf's JSON takes both spellings
const camelOf = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

function checkNames(object, known, where) {
  for (const name of Object.keys(object || {})) {
    if (!known.has(camelOf(name))) throw bad(`Invalid JSON payload received. Unknown name "${name}"${where ? ` at '${where}'` : ''}: Cannot find field.`);
  }
}

const partText = (content) => (content?.parts || []).filter((part) => !part.thought).map((part) => part.text || '').join('');

/** An opaque mark on what a thinking model made, which must come back with it. */
const signatureOf = (text) => Buffer.from(`thought:${text}`).toString('base64');

function turnsOf(contents, model) {
  const turns = [];
  const thinks = /^gemini-3/.test(model);
  let calls = [];
  for (const [i, content] of contents.entries()) {
    if (content.role && !['user', 'model', 'function'].includes(content.role)) throw bad('Please use a valid role: user, model.');
    if (!Array.isArray(content.parts) || content.parts.length === 0) throw bad(`* GenerateContentRequest.contents[${i}].parts: contents.parts must not be empty.`);
    content.parts.forEach((part, n) => checkNames(part, PARTS, `contents[${i}].parts[${n}]`));
    const answers = content.parts.map((part) => either(part, 'functionResponse', 'function_response')).filter(Boolean);
    if (answers.length || calls.length) {
      if (answers.length !== calls.length) throw bad('Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.');
      for (const answer of answers) {
        if (!calls.some((one) => one.name === answer.name)) throw bad(`* GenerateContentRequest.contents[${i}]: function response for '${answer.name}' without a call of it.`);
        if (typeof answer.response !== 'object' || answer.response === null) throw bad(`Invalid value at 'contents[${i}].parts[0].function_response.response' (type.googleapis.com/google.protobuf.Struct)`);
        const value = answer.response.output ?? answer.response.result ?? answer.response.error ?? answer.response;
        turns.push({ role: 'tool', name: answer.name, text: typeof value === 'string' ? value : JSON.stringify(value) });
      }
    }
    calls = content.parts.map((part) => either(part, 'functionCall', 'function_call')).filter(Boolean);
    if (calls.length && content.role !== 'model') throw bad('Please ensure that function call turn comes immediately after a user turn or after a function response turn.');
    // The first call of a step carries the signature; without it the model is asked to go on from thoughts it does not have.
    const first = content.parts.find((part) => either(part, 'functionCall', 'function_call'));
    if (first && thinks && !either(first, 'thoughtSignature', 'thought_signature')) throw bad(`Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly. Additional data, function call \`${calls[0].name}\`, position ${i + 1}.`);
    if (answers.length === 0 || partText(content)) turns.push({ role: content.role === 'model' ? 'assistant' : 'user', text: partText(content) });
  }
  if (calls.length) throw bad('Please ensure that function call turn is followed by a function response turn.');
  return turns;
}

function toolsOf(body) {
  const found = [];
  for (const [i, tool] of (body.tools || []).entries()) {
    for (const [n, one] of (either(tool, 'functionDeclarations', 'function_declarations') || []).entries()) {
      const where = `tools[${i}].function_declarations[${n}]`;
      if (!NAME.test(one.name || '')) throw bad(`* GenerateContentRequest.${where}.name: Invalid function name. Must start with a letter or an underscore.`);
      const json = either(one, 'parametersJsonSchema', 'parameters_json_schema');
      if (json && one.parameters) throw bad(`* GenerateContentRequest.${where}: only one of parameters and parameters_json_schema may be set.`);
      for (const word of ['additionalProperties', '$schema', '$ref', 'const']) {
        if (one.parameters && word in one.parameters) throw bad(`Invalid JSON payload received. Unknown name "${word}" at '${where}.parameters': Cannot find field.`);
      }
      found.push({ name: one.name, schema: json || one.parameters });
    }
  }
  return found;
}

function thinking(model, config) {
  const { thinkingConfig: given = {} } = config;
  if (given.thinkingBudget !== undefined && given.thinkingLevel !== undefined) throw bad('You can only set only one of thinking budget and thinking level.');
  if (given.thinkingLevel !== undefined && !/^gemini-3/.test(model)) throw bad('Thinking level is not supported for this model.');
  return { on: given.thinkingBudget !== 0 && /^gemini-(2\.5|3)/.test(model), shown: given.includeThoughts === true };
}

function read(call) {
  const { body } = call;
  checkNames(body, FIELDS, '');
  const config = either(body, 'generationConfig', 'generation_config') || {};
  checkNames(config, CONFIG, 'generation_config');
  if (!Array.isArray(body.contents) || body.contents.length === 0) throw bad('* GenerateContentRequest.contents: contents is not specified');
  const tools = toolsOf(body);
  const schema = config.responseJsonSchema || config.responseSchema || null;
  if (schema && config.responseMimeType !== 'application/json') throw bad('Response schema is only supported with response mime type application/json.');
  if (config.responseJsonSchema && config.responseSchema) throw bad('Only one of response_schema and response_json_schema may be set.');
  if (config.temperature !== undefined && !(config.temperature >= 0 && config.temperature <= 2)) throw bad('* GenerateContentRequest.generation_config.temperature: must be in the range [0.0, 2.0].');
  const calling = body.toolConfig?.functionCallingConfig || {};
  const mode = calling.mode || 'AUTO';
  if (!['AUTO', 'ANY', 'NONE', 'VALIDATED'].includes(mode)) throw bad(`Invalid value at 'tool_config.function_calling_config.mode': "${mode}"`);
  if (calling.allowedFunctionNames?.length && !['ANY', 'VALIDATED'].includes(mode)) throw bad('Allowed function names should be set only when function calling mode is ANY.');
  const allowed = calling.allowedFunctionNames?.length ? tools.filter((tool) => calling.allowedFunctionNames.includes(tool.name)) : tools;
  const system = partText(either(body, 'systemInstruction', 'system_instruction'));
  const prompt = [system, ...tools.map((tool) => JSON.stringify(tool)), ...body.contents.map((content) => (content.parts || []).map((part) => part.text ?? JSON.stringify(part)).join(''))].filter(Boolean);
  const think = thinking(call.model, config);
  return {
    prompt, think, input: prompt.reduce((sum, text) => sum + count(text) + 1, 0),
    request: {
      model: call.model, turns: turnsOf(body.contents, call.model), tools: allowed, choice: { ANY: 'required', NONE: 'none' }[mode] || 'auto',
      schema, json: config.responseMimeType === 'application/json' && !schema, max_tokens: config.maxOutputTokens, stops: config.stopSequences, think: think.on,
    },
  };
}

const REASONS = { end: 'STOP', length: 'MAX_TOKENS', stop: 'STOP', tool: 'STOP', refusal: 'SAFETY', filter: 'PROHIBITED_CONTENT' };

function argumentsOf(part) {
  try {
    return JSON.parse(part.arguments || '{}');
  } catch {
    return null;
  }
}

/** The parts that carry content, one for each chunk of a stream. A call comes whole; one that is cut or not JSON is MALFORMED_FUNCTION_CALL and none. */
function partsOf(call, said, think) {
  const out = [];
  let malformed = false;
  let calls = 0;
  for (const part of said.parts) {
    if (part.type === 'thinking') {
      if (think.shown) out.push({ text: part.text, thought: true });
    } else if (part.type === 'call') {
      const args = argumentsOf(part);
      if (args === null) malformed = true;
      else out.push({ functionCall: { id: part.id, name: part.name, args }, ...(think.on && calls++ === 0 ? { thoughtSignature: signatureOf(part.name) } : {}) });
    } else if (part.type === 'text') for (const piece of call.script?.pieces || pieces(part.text)) out.push({ text: piece });
  }
  return { parts: out, malformed };
}

function usageOf(input, cache, said) {
  const { usage } = said;
  const thoughts = usage.reasoning ?? said.reasoning;
  const prompt = usage.input ?? input;
  const candidates = (usage.output ?? said.output) - thoughts;
  const out = { promptTokenCount: prompt, candidatesTokenCount: candidates, totalTokenCount: prompt + candidates + thoughts, promptTokensDetails: [{ modality: 'TEXT', tokenCount: prompt }] };
  if (thoughts) out.thoughtsTokenCount = thoughts;
  const cached = usage.cached ?? cache.cached;
  if (cached) {
    out.cachedContentTokenCount = cached;
    out.cacheTokensDetails = [{ modality: 'TEXT', tokenCount: cached }];
  }
  return out;
}

/** Parts of text side by side as one, as a whole answer has them. */
function joined(parts) {
  const out = [];
  for (const part of parts) {
    const last = out.at(-1);
    if (last && last.text !== undefined && part.text !== undefined && Boolean(last.thought) === Boolean(part.thought)) last.text += part.text;
    else out.push({ ...part });
  }
  return out;
}

function generate(call, streaming) {
  const { input, prompt, think, request } = read(call);
  call.take(input);
  const cache = call.world.cache.automatic(`${call.key}\0${call.model}`, prompt, input);
  const said = call.answer(request);
  const usage = usageOf(input, cache, said);
  const used = { input, cached: usage.cachedContentTokenCount || 0, output: usage.candidatesTokenCount + (usage.thoughtsTokenCount || 0) };
  const base = { modelVersion: call.model, responseId: call.id('', 22) };
  const { parts, malformed } = partsOf(call, said, think);
  const reason = malformed ? 'MALFORMED_FUNCTION_CALL' : REASONS[said.reason] || said.reason;
  // "filter this": the prompt is blocked and there is no candidate.
  const blocked = said.reason === 'filter';
  const last = blocked ? { promptFeedback: { blockReason: 'PROHIBITED_CONTENT' } } : null;
  const candidate = (content, finish) => ({ candidates: [{ ...(content.length ? { content: { role: 'model', parts: content } } : {}), ...(finish ? { finishReason: reason } : {}), index: 0 }] });
  if (!streaming) {
    const whole = last || candidate(joined(parts), true);
    return { headers: { ...JSON_HEADERS }, json: { ...whole, usageMetadata: usage, ...base }, usage: used };
  }

  const sse = call.query.get('alt') === 'sse';
  let first = true;
  const frame = (value) => {
    if (sse) return `data: ${JSON.stringify(value)}\r\n\r\n`;
    const text = `${first ? '[' : ',\r\n'}${JSON.stringify(value, null, 2)}`;
    first = false;
    return text;
  };
  let spoken = 0;
  const frames = parts.map((part, i) => {
    spoken += part.text === undefined ? count(JSON.stringify(part.functionCall)) : part.thought ? 0 : 1;
    const upto = { ...usage, candidatesTokenCount: Math.min(spoken, usage.candidatesTokenCount) };
    upto.totalTokenCount = upto.promptTokenCount + upto.candidatesTokenCount + (upto.thoughtsTokenCount || 0);
    return { mark: 'content', text: frame({ ...candidate([part], false), usageMetadata: i === parts.length - 1 ? usage : upto, ...base }) };
  });
  frames.push({ mark: 'terminal', text: frame({ ...(last || candidate(frames.length ? [{ text: '' }] : [], true)), usageMetadata: usage, ...base }) });
  if (!sse) frames.push({ mark: 'terminal', text: ']' });
  return {
    headers: sse ? { ...SSE } : { ...JSON_HEADERS }, usage: used,
    plan: {
      form: sse ? 'sse' : 'array', frames, more: (i) => frame({ ...candidate([{ text: ` and ${i}` }], false), usageMetadata: usage, ...base }),
      error: (status = 503, fault = {}) => {
        const body = errorOf(status, new Failure(status, ''));
        // Not as an event but as a body of its own, over many lines: the SDKs count braces to read it.
        return fault.error_bare ? JSON.stringify(body, null, 2) : frame(body);
      },
    },
  };
}

function countTokens(call) {
  const { body } = call;
  const inner = either(body, 'generateContentRequest', 'generate_content_request') || body;
  const total = (inner.contents || []).reduce((sum, content) => sum + count(partText(content)) + 1, 0);
  return { headers: { ...JSON_HEADERS }, json: { totalTokens: total, promptTokensDetails: [{ modality: 'TEXT', tokenCount: total }] } };
}

function vectorOf(call, request, index) {
  const text = partText(request.content);
  if (!text) throw bad('* EmbedContentRequest.content: content is not specified');
  const dimensions = either(request, 'outputDimensionality', 'output_dimensionality') ?? either(either(request, 'embedContentConfig', 'embed_content_config'), 'outputDimensionality', 'output_dimensionality') ?? DIMENSIONS;
  if (!(dimensions >= 1 && dimensions <= DIMENSIONS)) throw bad(`* EmbedContentRequest.output_dimensionality: must be in the range [1, ${DIMENSIONS}].`);
  return { values: call.script?.vectors?.[index] || embed(text, dimensions) };
}

function batchEmbed(call) {
  const { requests } = call.body;
  if (!Array.isArray(requests) || requests.length === 0) throw bad('* BatchEmbedContentsRequest.requests: requests is not specified');
  if (requests.length > 100) throw bad('* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch');
  for (const [i, one] of requests.entries()) {
    if (one.model !== `models/${call.route.params.raw}`) throw bad(`* BatchEmbedContentsRequest.requests[${i}].model: unexpected model name format`);
  }
  const input = requests.reduce((sum, one) => sum + count(partText(one.content)), 0);
  call.take(input);
  return { headers: { ...JSON_HEADERS }, json: { embeddings: requests.map((one, i) => vectorOf(call, one, i)) }, usage: { input } };
}

function embedOne(call) {
  const input = count(partText(call.body.content));
  call.take(input);
  return { headers: { ...JSON_HEADERS }, json: { embedding: vectorOf(call, call.body, 0) }, usage: { input } };
}

const model = ([id, displayName]) => ({
  name: `models/${id}`, version: '001', displayName, description: displayName, inputTokenLimit: 1048576, outputTokenLimit: 65536,
  supportedGenerationMethods: /embedding/.test(id) ? ['embedContent', 'countTextTokens'] : ['generateContent', 'countTokens', 'createCachedContent', 'batchGenerateContent'],
  temperature: 1, topP: 0.95, topK: 64, maxTemperature: 2,
});

function models(call) {
  const { id } = call.route.params;
  if (id) {
    const found = MODELS.find(([name]) => name === id);
    if (!found) throw new Failure(404, `Model is not found: models/${id} for api version v1beta`);
    return { headers: { ...JSON_HEADERS }, json: model(found) };
  }
  const size = Number(call.query.get('pageSize')) || 50;
  const from = Number(call.query.get('pageToken')) || 0;
  const json = { models: MODELS.slice(from, from + size).map(model) };
  if (from + size < MODELS.length) json.nextPageToken = String(from + size);
  return { headers: { ...JSON_HEADERS }, json };
}

const METHODS = {
  generateContent: (call) => generate(call, false), streamGenerateContent: (call) => generate(call, true), countTokens, batchEmbedContents: batchEmbed, embedContent: embedOne,
};
const known = (run) => (call) => {
  if (call.model.startsWith('missing')) throw new Failure(404, `models/${call.model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels to see the list of available models and their supported methods.`);
  return run(call);
};

function errorOf(status, failure) {
  const { more } = failure;
  const error = { code: status, message: failure.message || TEXTS[status] || `status ${status}`, status: more.type || STATUS[status] || 'UNKNOWN' };
  // A key that is wrong is no 401 here but a bad request; only its details tell.
  if (more.code === 'invalid_api_key') {
    error.message = 'API key not valid. Please pass a valid API key.';
    error.details = [
      { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID', domain: 'googleapis.com', metadata: { service: 'generativelanguage.googleapis.com' } },
      { '@type': 'type.googleapis.com/google.rpc.LocalizedMessage', locale: 'en-US', message: error.message },
    ];
  }
  if (status === 429) {
    error.details = [{
      '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
      violations: [{ quotaMetric: 'generativelanguage.googleapis.com/generate_content_requests', quotaId: 'GenerateRequestsPerMinutePerProjectPerModel', quotaDimensions: { location: 'global' } }],
    }];
    const wait_s = more.retry_after_s ?? (more.retry_after_ms !== undefined ? more.retry_after_ms / 1000 : more.retry_after_date_s);
    if (wait_s !== undefined) error.details.push({ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${wait_s}s` });
  }
  return { error };
}

module.exports = {
  name: 'gemini',
  needsKey: true,
  key: (headers, query) => headers['x-goog-api-key'] || query.get('key') || (headers.authorization || '').replace(/^Bearer /i, ''),
  modelOf: (route) => route.params?.raw,
  routes(method, path) {
    const found = /^\/v1(?:beta|alpha)?\/models(?:\/([^/:]+?))?(?::(\w+))?$/.exec(path);
    if (!found || (path.startsWith('/v1/models') && !found[2])) return null;
    const raw = found[1] && decodeURIComponent(found[1]);
    if (method === 'POST' && raw && Object.hasOwn(METHODS, found[2] || '')) return { run: known(METHODS[found[2]]), params: { raw } };
    return method === 'GET' && !found[2] ? { run: models, params: { id: raw } } : null;
  },
  failure(said, failure, call) {
    const status = failure.more.code === 'invalid_api_key' ? 400 : failure.more.no_key ? 403 : said;
    const body = errorOf(status, failure);
    // Streams as an array have their errors in one too.
    const array = /:streamGenerateContent$/.test(call.path) && call.query.get('alt') !== 'sse';
    return { status, headers: { ...JSON_HEADERS }, body: JSON.stringify(array ? [body] : body, null, 2) };
  },
  headers: () => ({ 'x-content-type-options': 'nosniff' }),
};
