// SPDX-License-Identifier: Apache-2.0
// The plain page: who is logged in, what is connected, and what happens. The session is a cookie (api.js), the list of calls comes over /ws/calls,
// events over /ws; the lists are in calls.js and leads.js, the open call in call.js.
"use strict";

const PULSE_MS = 30000;
let sockets = [], retry = 0, lastSeq = null, ticking = null, pulse = null, generation = 0, mayHear = false;

// What one has to know now, wherever one has scrolled to. It stays until it is closed.
function tell(text) {
  $("told").hidden = !text;
  $("told").firstElementChild.textContent = text || "";
}

// -- what happens ---------------------------------------------------------------------------------------------------------------

function note(message) {
  const item = document.createElement("li"), at = document.createElement("time"), what = document.createElement("b"), type = String(message.type);
  at.textContent = new Date(message.at).toLocaleTimeString();
  at.title = Words.exactly(message.at);
  what.textContent = Words.event(type, message.data || {});
  what.title = type;
  item.append(at, " ", what, " ");
  const subject = String(message.subject || "");
  if (type.startsWith("call.") || type === "script.failed") {
    const open = button(subject, null, (from) => openCall(subject, from));
    open.className = "link";
    item.append(open);
  } else {
    item.append(subject);
  }
  $("events").prepend(item);
  $("events-none").hidden = true;
  while ($("events").children.length > 100) $("events").lastChild.remove();
}

function onEvent(message) {
  if (message.type === "snapshot") {
    if (lastSeq === null) lastSeq = message.seq;
    return;
  }
  if (typeof message.seq === "number") lastSeq = message.seq;
  if (message.type === "live") {
    if (message.name === "call.transcript") onTalk(message.call);
    return;
  }
  note(message);
  if (String(message.type).startsWith("lead.")) leads.load();
  if (message.type === "call.ended") recent.load();
  if (message.type === "call.ended") Quality.moved();
  if (["call.ended", "call.summarised"].includes(message.type)) onTalk(message.subject);
  if (message.type === "recording.stored") onTalk((message.data || {}).call);
}

// -- the connection -------------------------------------------------------------------------------------------------------------

function connected(yes) {
  $("wire").textContent = yes ? "live" : "connecting again";
  $("wire").classList.toggle("open", yes);
  if (yes) {
    $("stale").hidden = true;
  } else if (!standsStill) {
    $("stale").hidden = false;
    $("stale").textContent = `Not connected since ${new Date().toLocaleTimeString()}. What you see may be out of date; the page connects again by itself.`;
  }
  standsStill = !yes;
}

// What is told without a cursor was missed while nobody heard it.
function catchUp() {
  leads.load();
  recent.load();
  Quality.moved();
  if (openId) loadCall();
}

function wire(path, onMessage, mine) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}${path}`);
  sockets.push(socket);
  socket.onopen = () => {
    if (mine !== generation || sockets.some((one) => one.readyState !== WebSocket.OPEN)) return;
    if (standsStill) catchUp();
    retry = 0;
    connected(true);
  };
  socket.onmessage = (e) => { if (mine === generation) onMessage(JSON.parse(e.data)); };
  socket.onclose = (e) => {
    if (mine !== generation) return;
    if (e.code === 4400) lastSeq = null;  // the server does not know our place any more: begin with its snapshot
    lose();
  };
}

function lose() {
  connected(false);
  disconnect();
  connectIn(Math.min(500 * 2 ** retry++, 15000));
}

let waiting = null;
function connectIn(ms) {
  clearTimeout(waiting);
  const mine = generation;
  waiting = setTimeout(async () => {
    if (mine !== generation) return;
    try { await api("GET", "/auth/me"); } catch { /* who is logged out has been told; else the next attempt tells */ }
    if (mine === generation) connect();
  }, ms);
}

// A socket whose network has gone says nothing, for a quarter of an hour: ask.
async function feelPulse() {
  const mine = generation;
  if (standsStill) return;
  try {
    await api("GET", "/auth/me");
  } catch (e) { if (e.status === 0 && mine === generation) lose(); }
}

window.addEventListener("offline", () => { if (sockets.length > 0) lose(); });
window.addEventListener("online", () => {
  if (!standsStill) return;
  retry = 0;
  connectIn(0);
});

function connect() {
  const mine = ++generation;
  wire("/ws/calls", (m) => showCalls(m.calls, m.count), mine);
  wire("/ws" + (lastSeq === null ? "" : "?after=" + lastSeq), onEvent, mine);
}

function disconnect() {
  generation++;
  for (const socket of sockets) socket.close();
  sockets = [];
}

// -- who is here ----------------------------------------------------------------------------------------------------------------

function leave(why) {
  disconnect();
  clearInterval(ticking);
  clearInterval(pulse);
  lastSeq = null;
  standsStill = false;
  retry = 0;
  // Nothing of this person stays behind for the next one at this screen.
  closeCall();
  leads.clear();
  recent.clear();
  Quality.begin(null);
  showCalls([], 0);
  $("events").replaceChildren();
  $("events-none").hidden = false;
  tell(null);
  $("login").reset();
  $("desk").hidden = $("views").hidden = $("logout").hidden = $("wire").hidden = $("stale").hidden = $("begin").hidden = true;
  $("gate").hidden = false;
  $("who").textContent = $("who").title = "";
  $("wire").textContent = "connecting";
  $("wire").classList.remove("open");
  $("login-problem").textContent = why || "";
  $("login").elements.email.focus();
}

// The refresh token has ended, too.
function sessionEnded() {
  if (!$("desk").hidden) leave("Your session has ended. Log in again.");
}

function enter(me) {
  if (!me.tenant) {  // an operator has no calls and leads of his own
    api("POST", "/auth/logout").catch(() => null);
    leave("You are an operator of this installation. This page is for the people of a tenant: log in as one of them.");
    return;
  }
  mayHear = ["admin", "supervisor"].includes(me.role);
  $("gate").hidden = $("begin").hidden = true;
  $("desk").hidden = $("views").hidden = $("logout").hidden = $("wire").hidden = false;
  $("top").focus(); // what had it is hidden now: the next key begins at the top
  $("who").textContent = $("who").title = [me.email || me.name || me.id, me.tenant, me.role].filter(Boolean).join(" · ");
  leads.load();
  recent.load();
  Quality.begin(me.role);
  connect();
  ticking = setInterval(tick, 1000);
  pulse = setInterval(feelPulse, PULSE_MS);
}

$("login").addEventListener("submit", async (e) => {
  e.preventDefault();
  const form = new FormData($("login"));
  const submit = $("login").querySelector("button");
  $("login-problem").textContent = "";
  submit.disabled = true;
  submit.textContent = "Logging in …";
  try {
    const tenant = form.get("tenant");
    await api("POST", "/auth/login", { email: form.get("email"), password: form.get("password"), ...(tenant ? { tenant } : {}) });
    enter(await api("GET", "/auth/me"));
  } catch (problem) {
    if (problem.data && problem.data.code === "which_tenant") $("tenant-row").hidden = false;
    $("login-problem").textContent = problem.message;
    $("login").elements.password.select();
  } finally {
    submit.disabled = false;
    submit.textContent = "Log in";
  }
});

$("logout").addEventListener("click", async () => {
  try {
    await api("POST", "/auth/logout");
  } catch (e) {
    return tell(`You are still logged in. ${e.message}`);  // whoever comes next must not find the session open
  }
  return leave();
});

$("told-close").addEventListener("click", () => tell(null));

// Whoever is not logged in sees the log-in; a server that does not answer is told of and asked again.
async function begin(attempt) {
  try {
    enter(await api("GET", "/auth/me"));
  } catch (e) {
    if (e.status === 401) return leave();
    $("begin").textContent = `${e.message} Trying again …`;
    setTimeout(begin, Math.min(1000 * 2 ** attempt, 15000), attempt + 1);
  }
}

begin(0);
