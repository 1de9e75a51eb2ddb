// SPDX-License-Identifier: Apache-2.0
// Requests to the server, and what their failures are called. The session is a cookie of some minutes: what comes too late renews it and asks again.
"use strict";

const $ = (id) => document.getElementById(id);
const PATIENCE_MS = 30000, OTHER_WINDOW_MS = 1000;

function failure(status, text, data) {
  return Object.assign(new Error(text), { status, data });
}

// The answer as it came. Rejects with { status, message, data }; status 0: there was none.
async function answerOf(method, path, body) {
  const patience = new AbortController(), asked = { method, credentials: "same-origin", signal: patience.signal };
  if (body) Object.assign(asked, { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const timer = setTimeout(() => patience.abort(), PATIENCE_MS);  // for its beginning: a long recording may come for longer
  let answer;
  try {
    answer = await fetch(path, asked);
  } catch {
    throw failure(0, patience.signal.aborted ? `The server did not answer within ${PATIENCE_MS / 1000} seconds.` : "The server cannot be reached. Is this computer online?");
  } finally { clearTimeout(timer); }
  if (answer.ok) return answer;
  const data = await answer.json().catch(() => null);
  throw failure(answer.status, (data && data.detail) || "The server did not answer as expected.", data);
}

let renewing = null;
// One at a time, because a refresh token that comes twice ends the session. 409: another window has just done it, and its cookie is on its way.
function renew() {
  renewing = renewing || answerOf("POST", "/auth/refresh").catch((e) => {
    if (e.status !== 409) throw e;
    return new Promise((done) => { setTimeout(done, OTHER_WINDOW_MS); });
  }).finally(() => { renewing = null; });
  return renewing;
}

async function ask(method, path, body) {
  try {
    return await answerOf(method, path, body);
  } catch (e) {
    if (e.status !== 401 || path.startsWith("/auth/log")) throw e;
    await renew();
    return answerOf(method, path, body);
  }
}

async function api(method, path, body) {
  try {
    const answer = await ask(method, path, body);
    return answer.status === 204 ? null : await answer.json();
  } catch (e) {
    if (e.status === 401) sessionEnded();
    throw e.status === undefined ? failure(0, "The server's answer broke off.") : e;
  }
}

// Bytes, as a Blob; told(size) is called as they come.
async function bytesOf(path, told) {
  try {
    const answer = await ask("GET", path), reader = answer.body.getReader(), parts = [];
    let size = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
      size += part.value.length;
      told(size);
    }
    return new Blob(parts, { type: answer.headers.get("Content-Type") });
  } catch (e) {
    if (e.status === 401) sessionEnded();
    throw e.status === undefined ? failure(0, "The download broke off.") : e;
  }
}
