// SPDX-License-Identifier: Apache-2.0
'use strict';
/* A value that satisfies a JSON Schema (or Gemini's OpenAPI form of one), taken from a text where it can be: the number that stands in the text,
 * the word of an enum that does, else the text itself. */
const { matching } = require('./pattern');

const FORMATS = {
  'date-time': '2026-01-31T09:30:00Z', date: '2026-01-31', time: '09:30:00Z', duration: 'PT5M', email: 'caller@example.com', hostname: 'example.com',
  uri: 'https://example.com/', uuid: '123e4567-e89b-42d3-a456-426614174000', ipv4: '192.0.2.1', ipv6: '2001:db8::1',
};
const DEEP = 24;

function resolve(root, ref) {
  let found = root;
  for (const step of ref.replace(/^#\/?/, '').split('/').filter(Boolean)) found = found && found[step.replace(/~1/g, '/').replace(/~0/g, '~')];
  return found || {};
}

function number(schema, text, whole) {
  const step = schema.multipleOf || (whole ? 1 : 0);
  let least = schema.minimum;
  let most = schema.maximum;
  // Draft 4 has exclusive bounds as true beside minimum, later drafts as numbers.
  const gap = step || 0.5;
  if (schema.exclusiveMinimum === true) least += gap;
  else if (typeof schema.exclusiveMinimum === 'number') least = Math.max(least ?? -Infinity, schema.exclusiveMinimum + gap);
  if (schema.exclusiveMaximum === true) most -= gap;
  else if (typeof schema.exclusiveMaximum === 'number') most = Math.min(most ?? Infinity, schema.exclusiveMaximum - gap);
  const fits = (n) => n >= (least ?? -Infinity) && n <= (most ?? Infinity) && (!step || Number.isInteger(n / step));
  for (const match of text.matchAll(/-?\d+(\.\d+)?/g)) if (fits(Number(match[0]))) return Number(match[0]);
  const start = least ?? Math.min(0, most ?? 0);
  return step ? Math.ceil(start / step) * step : start;
}

function string(schema, text) {
  if (schema.pattern) {
    const made = matching(schema.pattern);
    if (made !== null) return made;
  }
  if (FORMATS[schema.format]) return FORMATS[schema.format];
  let value = text.trim() || 'text';
  while (value.length < (schema.minLength || 0)) value += ' ' + value;
  return value.slice(0, schema.maxLength ?? 200);
}

function object(schema, text, root, depth) {
  const out = {};
  for (const [name, inner] of Object.entries(schema.properties || {})) {
    // A schema that holds itself ends where it may.
    if (depth > 4 && !(schema.required || []).includes(name)) continue;
    out[name] = value(inner, text, root, depth + 1);
  }
  for (const name of schema.required || []) if (!(name in out)) out[name] = text;
  return out;
}

function array(schema, text, root, depth) {
  const items = schema.items || schema.prefixItems || {};
  if (Array.isArray(items)) return items.map((inner) => value(inner, text, root, depth + 1));
  const n = Math.min(Math.max(Number(schema.minItems) || 0, depth > 4 ? 0 : 1), schema.maxItems ?? Infinity);
  return Array.from({ length: n }, () => value(items, text, root, depth + 1));
}

function value(schema, text, root, depth) {
  if (schema === true || !schema || depth > DEEP) return depth > DEEP ? null : text;
  if (schema.$ref) return value(resolve(root, schema.$ref), text, root, depth + 1);
  if ('const' in schema) return schema.const;
  if (schema.enum) return schema.enum.find((word) => typeof word === 'string' && word && text.toLowerCase().includes(word.toLowerCase())) ?? schema.enum[0];
  const choice = schema.anyOf || schema.oneOf;
  if (choice) return value({ ...choice.find((one) => one.type !== 'null') || choice[0] }, text, root, depth + 1);
  if (schema.allOf) {
    const whole = { ...schema, allOf: undefined, properties: { ...schema.properties }, required: [...(schema.required || [])] };
    for (const part of schema.allOf) {
      const one = part.$ref ? resolve(root, part.$ref) : part;
      Object.assign(whole, { ...one, properties: { ...whole.properties, ...one.properties }, required: [...whole.required, ...(one.required || [])] });
    }
    return value(whole, text, root, depth + 1);
  }
  const types = [].concat(schema.type || (schema.properties ? 'object' : schema.items ? 'array' : 'string')).map((t) => String(t).toLowerCase());
  switch (types.find((t) => t !== 'null') || 'null') {
    case 'object': return object(schema, text, root, depth);
    case 'array': return array(schema, text, root, depth);
    case 'integer': return number(schema, text, true);
    case 'number': return number(schema, text, false);
    case 'boolean': return !/\b(no|not|never|false)\b/i.test(text);
    case 'null': return null;
    default: return string(schema, text);
  }
}

/** Returns a value that satisfies the schema. */
function satisfying(schema, text = '') {
  return value(schema, text, schema, 0);
}

/** Why OpenAI would refuse this schema as strict, or null: each property required, nothing besides. */
function strictBreach(schema, where = []) {
  if (!schema || typeof schema !== 'object') return null;
  const place = JSON.stringify(where);
  if (schema.properties || schema.type === 'object') {
    if (schema.additionalProperties !== false) return `In context=${place}, 'additionalProperties' is required to be supplied and to be false.`;
    const missing = Object.keys(schema.properties || {}).find((name) => !(schema.required || []).includes(name));
    if (missing !== undefined) return `In context=${place}, 'required' is required to be supplied and to be an array including every key in properties. Missing '${missing}'.`;
  }
  for (const [name, inner] of Object.entries(schema.properties || {})) {
    const breach = strictBreach(inner, [...where, 'properties', name]);
    if (breach) return breach;
  }
  for (const name of ['$defs', 'definitions']) {
    for (const [key, inner] of Object.entries(schema[name] || {})) {
      const breach = strictBreach(inner, [...where, name, key]);
      if (breach) return breach;
    }
  }
  if (schema.items) return strictBreach(schema.items, [...where, 'items']);
  for (const [i, inner] of (schema.anyOf || []).entries()) {
    const breach = strictBreach(inner, [...where, 'anyOf', String(i)]);
    if (breach) return breach;
  }
  return null;
}

module.exports = { satisfying, strictBreach };
