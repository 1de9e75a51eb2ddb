// SPDX-License-Identifier: Apache-2.0
'use strict';

/* What goes wrong before an answer began. Each provider says it in its own words (its `failure`). `more` may hold type, code and param (in the
 * provider's vocabulary), details, headers, retry_after_s, retry_after_ms, retry_after_date_s (seconds from now, sent as an HTTP date),
 * spend_limit (true: the limit that waiting does not lift) and should_retry. */
class Failure extends Error {
  constructor(status, text, more = {}) {
    super(text);
    this.status = status;
    this.more = more;
  }
}

/** The headers that tell a client whether and when to try again, as all providers' SDKs read them. */
function retryHeaders(more) {
  const headers = {};
  if (more.retry_after_date_s !== undefined) headers['retry-after'] = new Date(Date.now() + more.retry_after_date_s * 1000).toUTCString();
  if (more.retry_after_s !== undefined) headers['retry-after'] = String(more.retry_after_s);
  if (more.retry_after_ms !== undefined) headers['retry-after-ms'] = String(more.retry_after_ms);
  if (more.should_retry !== undefined) headers['x-should-retry'] = String(more.should_retry);
  return Object.assign(headers, more.headers);
}

module.exports = { Failure, retryHeaders };
