// SPDX-License-Identifier: Apache-2.0
'use strict';
/* OpenAI's API: its errors, headers, models and embeddings, and the way to the rest (openai_chat.js, openai_responses.js, openai_audio.js). Form from
 * the openai package (resources/*.ts). */
const { Failure } = require('./failure');
const { goDuration } = require('./limits');
const { count } = require('./tokens');
const { embed, base64 } = require('./vectors');
const { chat } = require('./openai_chat');
const { responses } = require('./openai_responses');
const audio = require('./openai_audio');

const TYPES = { 429: 'rate_limit_error', 500: 'server_error', 502: 'server_error', 503: 'server_error', 504: 'server_error', 529: 'server_error' };
const TEXTS = {
  500: 'The server had an error while processing your request. Sorry about that!', 503: 'The engine is currently overloaded, please try again later.',
  429: 'Rate limit reached.', 408: 'Request timed out.', 409: 'Another request for this resource is in progress.',
};
const MODELS = [
  'gpt-5.6-sol', 'gpt-5.6-terra', 'gpt-5.6-luna', 'gpt-5.4', 'gpt-5.4-mini', 'gpt-4.1', 'gpt-4.1-mini', 'gpt-4o', 'gpt-4o-mini', 'o4-mini', 'text-embedding-3-small',
  'text-embedding-3-large', 'text-embedding-ada-002', 'gpt-4o-transcribe', 'gpt-4o-mini-transcribe', 'whisper-1', 'gpt-4o-mini-tts', 'tts-1',
];
const DIMENSIONS = { 'text-embedding-3-large': 3072 };
const EMBED_FIELDS = new Set(['input', 'model', 'dimensions', 'encoding_format', 'user']);
const MOST_INPUTS = 2048;
const MOST_TOKENS = 8192;
const MOST_TOTAL = 300000;

function inputsOf(input) {
  if (typeof input === 'string') return [input];
  if (!Array.isArray(input) || input.length === 0) throw new Failure(400, "Missing required parameter: 'input'.", { param: 'input', code: 'missing_required_parameter' });
  if (input.every((one) => typeof one === 'string')) return input;
  // Token numbers: one text, or a list of such; their vector is that of their numbers.
  const lists = input.every(Number.isInteger) ? [input] : input;
  if (lists.every((list) => Array.isArray(list) && list.length && list.every(Number.isInteger))) return lists.map((list) => list.join(' '));
  throw new Failure(400, "Invalid type for 'input'.", { param: 'input', code: 'invalid_type' });
}

function embeddings(call) {
  const { body } = call;
  for (const name of Object.keys(body)) if (!EMBED_FIELDS.has(name)) throw new Failure(400, `Unrecognized request argument supplied: ${name}`);
  if (body.encoding_format && !['float', 'base64'].includes(body.encoding_format)) throw new Failure(400, "Invalid value for 'encoding_format'.", { param: 'encoding_format' });
  const inputs = inputsOf(body.input);
  if (inputs.length > MOST_INPUTS) throw new Failure(400, `Invalid 'input': maximum number of items is ${MOST_INPUTS}.`, { param: 'input' });
  if (inputs.some((text) => text === '')) throw new Failure(400, "Invalid 'input': input cannot be an empty string.", { param: 'input' });
  const most = DIMENSIONS[call.model] || 1536;
  const dimensions = body.dimensions ?? most;
  if (body.dimensions !== undefined && call.model === 'text-embedding-ada-002') throw new Failure(400, 'This model does not support specifying dimensions.');
  if (!Number.isInteger(dimensions) || dimensions < 1 || dimensions > most) throw new Failure(400, `Invalid value for 'dimensions' = ${dimensions}. Must be less than or equal to ${most}.`, { param: 'dimensions' });
  const tokens = inputs.map(count);
  const total = tokens.reduce((sum, n) => sum + n, 0);
  if (tokens.some((n) => n > MOST_TOKENS) || total > MOST_TOTAL) throw new Failure(400, `This model's maximum context length is ${MOST_TOKENS} tokens.`, { param: null, code: 'context_length_exceeded' });
  call.take(total);
  const data = inputs.map((text, index) => {
    const vector = call.script?.vectors?.[index] || embed(text, dimensions);
    return { object: 'embedding', index, embedding: body.encoding_format === 'base64' ? base64(vector) : vector };
  });
  return { json: { object: 'list', data, model: call.model, usage: { prompt_tokens: total, total_tokens: total } }, usage: { input: total } };
}

const model = (id) => ({ id, object: 'model', created: 1780000000, owned_by: 'system' });

function models(call) {
  const { id } = call.route.params;
  if (!id) return { json: { object: 'list', data: MODELS.map(model) } };
  if (!MODELS.includes(id)) throw missing(id);
  return { json: model(id) };
}

const missing = (id) => new Failure(404, `The model \`${id}\` does not exist or you do not have access to it.`, { code: 'model_not_found' });

/** A route that needs a model, which must be there. */
const withModel = (run, read) => ({
  read,
  run(call) {
    if (!call.model) throw new Failure(400, 'you must provide a model parameter');
    if (call.model.startsWith('missing')) throw missing(call.model);
    return run(call);
  },
});

const ROUTES = {
  '/v1/chat/completions': withModel(chat),
  '/v1/responses': withModel(responses),
  '/v1/embeddings': withModel(embeddings),
  '/v1/audio/speech': withModel(audio.speech),
  '/v1/audio/transcriptions': withModel(audio.transcriptions, audio.readForm),
};

function errorOf(status, failure) {
  const { more } = failure;
  const spent = more.spend_limit && { type: 'insufficient_quota', code: 'insufficient_quota' };
  const limited = more.limit && { type: more.limit === 'requests' ? 'requests' : 'tokens', code: 'rate_limit_exceeded' };
  return {
    error: {
      message: failure.message || (more.spend_limit && 'You exceeded your current quota, please check your plan and billing details.') || TEXTS[status] || `status ${status}`,
      type: more.type || spent?.type || limited?.type || TYPES[status] || 'invalid_request_error', param: more.param ?? null,
      code: more.code || spent?.code || limited?.code || (status === 429 ? 'rate_limit_exceeded' : status === 401 ? 'invalid_api_key' : null),
    },
  };
}

module.exports = {
  name: 'openai',
  needsKey: true,
  key: (headers) => (headers.authorization || '').replace(/^Bearer /i, ''),
  modelOf: (route, body) => body?.model,
  routes(method, path) {
    if (method === 'POST') return ROUTES[path] || null;
    const found = method === 'GET' && /^\/v1\/models(?:\/([^/]+))?$/.exec(path);
    return found ? { run: models, params: { id: found[1] && decodeURIComponent(found[1]) } } : null;
  },
  failure(status, failure) {
    return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(errorOf(status, failure)) };
  },
  headers(call, figures) {
    call.requestId ||= call.id('req_', 32);
    const headers = { 'x-request-id': call.requestId, 'openai-version': '2020-10-01', 'openai-organization': 'org-fake', 'openai-processing-ms': '1' };
    for (const kind of ['requests', 'tokens']) {
      if (!figures?.[kind]) continue;
      headers[`x-ratelimit-limit-${kind}`] = String(figures[kind].limit);
      headers[`x-ratelimit-remaining-${kind}`] = String(figures[kind].remaining);
      headers[`x-ratelimit-reset-${kind}`] = goDuration(figures[kind].reset_ms);
    }
    return headers;
  },
};
