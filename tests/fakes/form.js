// SPDX-License-Identifier: Apache-2.0
'use strict';
const { Failure } = require('./failure');

/** Reads multipart/form-data: { name: text, or { name: file's name, type, bytes }; "name[]" and repeated names become lists }. */
function readForm(bytes, headers) {
  const found = /^multipart\/form-data\s*;.*\bboundary=(?:"([^"]+)"|([^;\s]+))/i.exec(headers['content-type'] || '');
  if (!found) throw new Failure(400, 'Could not parse multipart form: the content type is not multipart/form-data');
  const edge = Buffer.from(`--${found[1] || found[2]}`);
  const fields = {};
  let at = bytes.indexOf(edge);
  while (at >= 0) {
    const next = bytes.indexOf(edge, at + edge.length);
    if (next < 0) break;
    const split = bytes.indexOf('\r\n\r\n', at);
    if (split < 0 || split > next) throw new Failure(400, 'Could not parse multipart form: a part has no head');
    const head = bytes.toString('utf8', at + edge.length + 2, split);
    const body = bytes.subarray(split + 4, next - 2);
    const name = /\bname="([^"]*)"/i.exec(head)?.[1];
    if (name === undefined) throw new Failure(400, 'Could not parse multipart form: a part has no name');
    const file = /\bfilename="([^"]*)"/i.exec(head)?.[1];
    const value = file === undefined ? body.toString() : { name: file, type: /content-type:\s*([^\r\n]+)/i.exec(head)?.[1], bytes: body };
    const key = name.replace(/\[\]$/, '');
    if (key !== name || key in fields) fields[key] = [].concat(fields[key] ?? [], value);
    else fields[key] = value;
    at = next;
  }
  if (at < 0) throw new Failure(400, 'Could not parse multipart form: the boundary is not in the body');
  return fields;
}

module.exports = { readForm };
