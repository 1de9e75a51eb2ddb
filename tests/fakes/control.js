// SPDX-License-Identifier: Apache-2.0
'use strict';
/* What a test tells the fakes and reads from them, under /_fake/ on each listener and, when there is one, on a listener of its own that no fault reaches.
 *
 *   POST /_fake/script     { match, answers, repeat }               see scripts.js          DELETE clears
 *   POST /_fake/faults     { match, fault, times, skip } or a list  see faults.js           DELETE clears; ?seed=N begins chance anew
 *   POST /_fake/limits     a list of rules, in place of the old     see limits.js           DELETE clears
 *   POST /_fake/voices     [{ text, pcm }]                 see voices.js
 *   POST /_fake/listener   { name: "http"|"tls"|"wrong", open: bool } closes it, with what is connected to it, so that connecting is refused;
 *                          or opens it again on its port; { name: "tls", certificate: "wrong"|"good" } changes what it shows
 *   GET  /_fake/stats      counts, streams, connections             see stats.js            ?streams=N; DELETE begins anew
 *   GET  /_fake/requests   the last requests, headers and bodies    ?last=N
 *   GET  /_fake/listeners  { name: port }
 *   POST /_fake/reset      all of it as at the start */

const voices = require('./voices');

async function listener(world, body) {
  const one = world.listeners[body.name];
  if (!one) return [404, { error: `there is no listener ${body.name}` }];
  if (body.certificate) one.certificate(body.certificate);
  if (body.open === false) await one.close();
  if (body.open === true) await one.open();
  return [200, { name: body.name, port: one.port, open: one.isOpen }];
}

/** Answers a request under /_fake/. Returns [status, object]. */
async function control(world, method, path, query, body) {
  switch (`${method} ${path}`) {
    case 'POST /_fake/script':
      world.scripts.add(body);
      return [200, {}];
    case 'DELETE /_fake/script':
      world.scripts.clear();
      return [200, {}];
    case 'POST /_fake/faults':
      for (const rule of [].concat(body)) world.faults.add(rule);
      if (query.has('seed')) world.faults.seed(Number(query.get('seed')));
      return [200, {}];
    case 'DELETE /_fake/faults':
      world.faults.clear();
      return [200, {}];
    case 'POST /_fake/limits':
      world.limits.set([].concat(body));
      return [200, {}];
    case 'DELETE /_fake/limits':
      world.limits.set([]);
      return [200, {}];
    case 'POST /_fake/voices':
      voices.learn([].concat(body));
      return [200, {}];
    case 'POST /_fake/listener': return listener(world, body);
    case 'GET /_fake/listeners': return [200, world.ports()];
    case 'GET /_fake/stats': return [200, world.stats.report(query.has('streams') ? Number(query.get('streams')) : undefined)];
    case 'DELETE /_fake/stats':
      world.stats.reset();
      return [200, {}];
    case 'GET /_fake/requests': return [200, world.stats.last.slice(-(Number(query.get('last')) || 20))];
    case 'POST /_fake/reset':
      world.reset();
      return [200, {}];
    default: return [404, { error: `there is no ${method} ${path}` }];
  }
}

module.exports = { control };
