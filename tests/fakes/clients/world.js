// SPDX-License-Identifier: Apache-2.0
'use strict';
/* What the tests of the clients share. FAKES is the JSON that tests/fakes/run said; BASE is the URL of the listener to test; the control listener takes
 * the rest. Each test has keys of its own, so that what it reads of the stats is its own doing. */
const assert = require('assert');

const ports = JSON.parse(process.env.FAKES);
const base = process.env.BASE;
// Node 18 has File, but not by that name.
globalThis.File ||= require('buffer').File;

let keys = 0;
/** A key no other test has. */
const newKey = (name = 'key') => `${name}-${process.pid}-${++keys}`;

async function control(method, path, body) {
  const answer = await fetch(`http://127.0.0.1:${ports.control}/_fake/${path}`, { method, body: body && JSON.stringify(body) });
  const said = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(said));
  return said;
}

/** What the fake counted for a key (summed over models). */
async function counts(key) {
  const { counts: all } = await control('GET', 'stats?streams=0');
  const sum = { requests: 0, ok: 0, open: 0, cancelled: 0, input: 0, cached: 0, output: 0 };
  for (const one of all) if (one.key === key) for (const name of Object.keys(sum)) sum[name] += one[name];
  return sum;
}

/** The fake's record of the newest ended stream of a key, waiting for it. */
async function ended(key) {
  for (let i = 0; i < 200; i++) {
    const { ended_streams } = await control('GET', 'stats?streams=200');
    const found = ended_streams.find((one) => one.key === key);
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`no stream of ${key} has ended`);
}

/** Runs something that must fail; returns the error, after checking its class. */
async function fails(type, run) {
  let error;
  try {
    await run();
  } catch (e) {
    error = e;
  }
  assert.ok(error, `${type.name} was expected, and nothing failed`);
  assert.ok(error instanceof type, `${type.name} was expected: ${error.constructor.name}: ${error.message}`);
  return error;
}

const url = (fault, path) => (fault ? `${base}/_with/${fault}${path}` : `${base}${path}`);

/** Cosine of two vectors. */
function nearness(a, b) {
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return ab / Math.sqrt(aa * bb);
}

/** Throws when near texts are not near: three vectors, of which the first two are of like texts. */
function checkNear([one, like, other]) {
  assert.ok(nearness(one, like) > 0.5, `like texts: ${nearness(one, like)}`);
  assert.ok(nearness(one, other) < 0.3, `strange texts: ${nearness(one, other)}`);
  const length = Math.sqrt(one.reduce((sum, x) => sum + x * x, 0));
  assert.ok(Math.abs(length - 1) < 1e-3, `length ${length}`);
}
const TEXTS = ['Where is my order 1234?', 'where is order 1234 please', 'Our shop opens at nine on Mondays'];

/** A long prompt: so many sentences, none like another. `salt` makes it new. */
const long = (salt, n = 200) => Array.from({ length: n }, (_, i) => `${salt} rule ${i}: answer the caller's question number ${i * 7} kindly.`).join('\n');

const ORDER = { type: 'object', properties: { id: { type: 'string' } }, required: ['id'], additionalProperties: false };
const TICKET = {
  type: 'object', additionalProperties: false, required: ['subject', 'urgency', 'order', 'tags', 'contact'],
  properties: {
    subject: { type: 'string' }, urgency: { type: 'string', enum: ['low', 'high'] }, order: { type: 'integer' }, tags: { type: 'array', items: { type: 'string' } },
    contact: { type: 'object', additionalProperties: false, required: ['email', 'agreed'], properties: { email: { type: ['string', 'null'] }, agreed: { type: 'boolean' } } },
  },
};

/** Checks a value against a JSON Schema with ajv. */
function satisfies(schema, value) {
  const Ajv = require('ajv');
  const ajv = new (Ajv.default || Ajv)({ strict: false });
  require('ajv-formats')(ajv);
  assert.ok(ajv.validate(schema, value), `${ajv.errorsText()}: ${JSON.stringify(value)}`);
}

module.exports = { ports, base, url, newKey, control, counts, ended, fails, nearness, checkNear, TEXTS, long, ORDER, TICKET, satisfies };
