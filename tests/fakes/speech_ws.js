// SPDX-License-Identifier: Apache-2.0
'use strict';
/* The server's end of a WebSocket (RFC 6455), as far as the fakes of speech providers need it: no extensions, messages of one frame or more. */
const crypto = require('crypto');

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

function frame(opcode, payload) {
  const size = payload.length;
  const head = Buffer.alloc(size < 126 ? 2 : size < 65536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  if (size < 126) head[1] = size;
  else if (size < 65536) {
    head[1] = 126;
    head.writeUInt16BE(size, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(size), 2);
  }
  return Buffer.concat([head, payload]);
}

class Socket {
  /** handlers: { text(string), binary(buffer), close(code) } */
  constructor(req, raw, handlers = {}) {
    this.raw = raw;
    this.handlers = handlers;
    this.rest = Buffer.alloc(0);
    this.parts = [];
    const accept = crypto.createHash('sha1').update(req.headers['sec-websocket-key'] + GUID).digest('base64');
    const protocol = (req.headers['sec-websocket-protocol'] || '').split(',')[0].trim();
    raw.setNoDelay(true);
    raw.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${protocol ? `Sec-WebSocket-Protocol: ${protocol}\r\n` : ''}\r\n`);
    raw.on('data', (bytes) => this.take(bytes));
    raw.on('error', () => {});
    raw.on('close', () => this.over(1006));
  }

  over(code) {
    if (this.isOver) return;
    this.isOver = true;
    this.handlers.close?.(code);
  }

  take(bytes) {
    this.rest = this.rest.length ? Buffer.concat([this.rest, bytes]) : bytes;
    while (this.rest.length >= 2) {
      let size = this.rest[1] & 127;
      let at = 2;
      if (size === 126) {
        if (this.rest.length < 4) return;
        size = this.rest.readUInt16BE(2);
        at = 4;
      } else if (size === 127) {
        if (this.rest.length < 10) return;
        size = Number(this.rest.readBigUInt64BE(2));
        at = 10;
      }
      if (!(this.rest[1] & 0x80)) return this.close(1002, 'a client masks its frames');
      if (this.rest.length < at + 4 + size) return;
      const mask = this.rest.subarray(at, at + 4);
      const payload = Buffer.from(this.rest.subarray(at + 4, at + 4 + size));
      for (let i = 0; i < size; i++) payload[i] ^= mask[i & 3];
      const [first] = this.rest;
      this.rest = this.rest.subarray(at + 4 + size);
      this.frame(first & 15, !!(first & 0x80), payload);
    }
  }

  frame(opcode, last, payload) {
    if (opcode === 8) {
      const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      if (!this.closing) this.raw.write(frame(8, payload.subarray(0, 2)));
      this.raw.end();
      return this.over(code);
    }
    if (opcode === 9) return this.raw.write(frame(10, payload));
    if (opcode === 10) return undefined;
    if (opcode) this.opcode = opcode;
    this.parts.push(payload);
    if (!last) return undefined;
    const whole = Buffer.concat(this.parts);
    this.parts = [];
    return this.opcode === 1 ? this.handlers.text?.(whole.toString()) : this.handlers.binary?.(whole);
  }

  send(text, binary = false) {
    if (!this.isOver && !this.closing) this.raw.write(frame(binary ? 2 : 1, Buffer.from(text)));
  }

  close(code, reason = '') {
    if (this.closing || this.isOver) return;
    this.closing = true;
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.raw.write(frame(8, Buffer.concat([payload, Buffer.from(reason)])));
    setTimeout(() => this.raw.destroy(), 1000).unref();
  }

  /** Ends it without a word, as a network does. */
  drop() {
    if (this.raw.resetAndDestroy) this.raw.resetAndDestroy();
    else this.raw.destroy();
  }
}

module.exports = { Socket };
