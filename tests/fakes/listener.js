// SPDX-License-Identifier: Apache-2.0
'use strict';
/* A port that can be closed and opened again: HTTP/1.1 in the clear, or HTTP/2 and HTTP/1.1 over TLS, chosen by ALPN. */
const http = require('http');
const http2 = require('http2');
const fs = require('fs');

const STREAMS = 128; // at a time on one HTTP/2 connection, as the providers' fronts allow

class Listener {
  /** options: { host, port (0: any), handle(req, res), stats, tls: { cert, key, wrong_cert, wrong_key: files }, http2: false for HTTP/1.1 alone } */
  constructor(options) {
    this.options = options;
    this.port = options.port || 0;
    this.sockets = new Set();
    this.isOpen = false;
    this.shown = 'good';
  }

  pair() {
    const { tls } = this.options;
    const wrong = this.shown === 'wrong';
    return { cert: fs.readFileSync(wrong ? tls.wrong_cert : tls.cert), key: fs.readFileSync(wrong ? tls.wrong_key : tls.key) };
  }

  make() {
    const { handle, tls, stats } = this.options;
    // What a client leaves open is its affair: tests hold streams for minutes.
    const times = { keepAliveTimeout: 600000, headersTimeout: 0, requestTimeout: 0 };
    let server;
    if (!tls) server = http.createServer({ noDelay: true, ...times }, handle);
    else {
      const settings = { maxConcurrentStreams: this.options.streams || STREAMS, initialWindowSize: 1 << 20 };
      server = http2.createSecureServer({ ...this.pair(), allowHTTP1: true, settings, ...(this.options.http2 === false ? { ALPNProtocols: ['http/1.1'] } : {}) }, handle);
      server.on('session', (session) => {
        stats.connections.http2++;
        session.setLocalWindowSize?.(16 << 20);
        session.on('error', () => {});
      });
      server.on('sessionError', () => {});
      server.on('tlsClientError', () => {});
    }
    Object.assign(server, times);
    server.on('clientError', (error, socket) => (socket.writable && !socket.destroyed ? socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n') : socket.destroy()));
    server.on('connection', (socket) => {
      this.sockets.add(socket);
      stats.connections.accepted++;
      stats.connections.open++;
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.sockets.delete(socket);
        stats.connections.open--;
      });
    });
    return server;
  }

  open() {
    if (this.isOpen) return Promise.resolve(this.port);
    this.server = this.make();
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ port: this.port, host: this.options.host, backlog: 4096 }, () => {
        this.port = this.server.address().port;
        this.isOpen = true;
        resolve(this.port);
      });
    });
  }

  /** Refuses from now on; what is connected is reset. */
  close() {
    if (!this.isOpen) return Promise.resolve();
    this.isOpen = false;
    return new Promise((resolve) => {
      this.server.close(() => resolve());
      for (const socket of this.sockets) socket.destroy();
    });
  }

  /** Shows the good or the wrong certificate to who connects from now on. */
  certificate(which) {
    this.shown = which;
    this.server.setSecureContext(this.pair());
  }

  /** The TCP socket under a TLS one (a reset is given by TCP). */
  raw(socket) {
    if (!this.options.tls) return socket;
    for (const one of this.sockets) if (one.remotePort === socket.remotePort && one.remoteAddress === socket.remoteAddress) return one;
    return socket;
  }
}

module.exports = { Listener };
