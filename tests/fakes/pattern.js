// SPDX-License-Identifier: Apache-2.0
'use strict';
/* A text that matches a regular expression, for the usual part of them: literals, classes, groups, alternatives, counts and anchors. Returns null
 * for what it does not know (look-arounds, back references) and when what it made does not match after all. */

const CLASSES = { d: '0', w: 'a', s: ' ', D: 'a', W: '-', S: 'a' };

function parse(source) {
  let at = 0;
  const unknown = () => { throw new SyntaxError(source); };

  function alternatives() {
    let first = sequence();
    while (source[at] === '|') {
      at++;
      sequence();
    }
    return first;
  }

  function sequence() {
    let out = '';
    while (at < source.length && source[at] !== '|' && source[at] !== ')') out += counted();
    return out;
  }

  function counted() {
    const one = atom();
    let least = 1;
    if (source[at] === '*' || source[at] === '?') {
      least = 0;
      at++;
    } else if (source[at] === '+') at++;
    else if (source[at] === '{') {
      const count = /^\{(\d+)(,\d*)?\}/.exec(source.slice(at));
      if (!count) unknown();
      least = Number(count[1]);
      at += count[0].length;
    } else return one;
    if (source[at] === '?') at++;
    return one.repeat(least);
  }

  function atom() {
    const c = source[at++];
    if (c === '^' || c === '$') return '';
    if (c === '.') return 'a';
    if (c === '\\') return escape();
    if (c === '[') return oneOf();
    if (c !== '(') return c;
    if (source[at] === '?') {
      const kind = /^\?(:|<\w+>)/.exec(source.slice(at));
      if (!kind) unknown();
      at += kind[0].length;
    }
    const inside = alternatives();
    if (source[at++] !== ')') unknown();
    return inside;
  }

  function escape() {
    const c = source[at++];
    if (c === 'b' || c === 'B') return '';
    if (/[1-9kpPux]/.test(c)) unknown();
    return CLASSES[c] || c;
  }

  function oneOf() {
    const end = source.indexOf(']', source[at] === ']' ? at + 1 : at);
    if (end < 0) unknown();
    const set = new RegExp('[' + source.slice(at, end) + ']');
    at = end + 1;
    for (const c of 'a1A0 -_.@bcdefxyzBCXYZ23456789:/+,#!') if (set.test(c)) return c;
    return unknown();
  }

  const out = alternatives();
  if (at < source.length) unknown();
  return out;
}

function matching(source) {
  try {
    const text = parse(source);
    return new RegExp(source).test(text) ? text : null;
  } catch {
    return null;
  }
}

module.exports = { matching };
