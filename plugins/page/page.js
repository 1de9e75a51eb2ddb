// SPDX-License-Identifier: Apache-2.0
// The plain page: the session is a cookie, the list of calls comes over /ws/calls, events and leads over /ws and /leads,
// what was said in a call from /calls/{id}/transcript (talk.js draws it).
"use strict";

const $ = (id) => document.getElementById(id);
let sockets = [], retry = 0, lastSeq = null, leads = [], ticking = null, calls = [], generation = 0, hearsRecordings = false;

async function api(method, path, body) {
  const answer = await fetch(path, {
    method, credentials: "same-origin",
    headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw await refusal(answer);
  return answer.status === 204 ? null : answer.json().catch(() => null);
}

async function refusal(answer) {
  const data = await answer.json().catch(() => null);
  return Object.assign(new Error((data && data.detail) || "The server did not answer as expected."), { status: answer.status, data });
}

function cell(row, text, label, name) {
  const td = row.insertCell();
  td.textContent = text === null || text === undefined || text === "" ? "–" : text;
  td.dataset.label = label;
  if (name) td.className = name;
  return td;
}

function clock(since) {
  const s = Math.max(0, Math.floor((Date.now() - Date.parse(since)) / 1000));
  return [s / 3600, (s / 60) % 60, s % 60].map((n) => String(Math.floor(n)).padStart(2, "0")).join(":");
}

function showCalls(list, count) {
  calls = list;
  const body = $("calls").tBodies[0];
  body.replaceChildren();
  for (const call of list) {
    const row = body.insertRow();
    cell(row, call.from, "From", "number");
    cell(row, call.to, "To", "number");
    cell(row, call.status, "Status", "status-" + call.status);
    cell(row, call.state, "State");
    const duration = cell(row, clock(call.since), "Duration", "number");
    duration.dataset.since = call.since;
    const act = row.insertCell();
    act.append(talkButton(call.id));
    if (call.status !== "escalated") {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Escalate";
      button.title = "Leave the flow and take its fallback, such as voicemail or a human";
      button.addEventListener("click", () => {
        button.disabled = true;
        api("POST", `/calls/${encodeURIComponent(call.id)}/escalate`).catch((e) => { button.disabled = false; note(e.message); });
      });
      act.append(button);
    }
  }
  $("calls-count").textContent = count;
  $("calls").hidden = list.length === 0;
  $("calls-none").hidden = list.length > 0;
}

function talkButton(id) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Transcript";
  button.title = "What was said in this call";
  button.addEventListener("click", () => openCall(id));
  return button;
}

// A link alone saves nothing, and says nothing, where the server refuses: too many at a time, or a recording that is damaged.
async function download(link) {
  if (link.hasAttribute("aria-busy")) return;
  const mine = opened;
  let problem = null;
  link.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(link.href, { credentials: "same-origin" });
    if (!answer.ok) throw await refusal(answer);
    const sound = await answer.blob().catch(() => { throw new Error("The recording broke off. Try again."); });
    const file = document.createElement("a");
    file.href = URL.createObjectURL(sound);
    file.download = link.download;
    file.click();
    setTimeout(() => URL.revokeObjectURL(file.href), 60000);
  } catch (e) {
    problem = e instanceof TypeError ? new Error("The server could not be reached. Try again.") : e;
  }
  link.removeAttribute("aria-busy");
  if (mine !== opened) return;  // another call was opened meanwhile
  $("call-problem").hidden = !problem;
  $("call-problem").textContent = problem ? problem.message : "";
}

// One that is being written has no download yet.
function showRecordings(list) {
  const done = hearsRecordings ? (list || []).filter((one) => ["stored", "failed"].includes(one.state)) : [];
  $("recordings").replaceChildren();
  for (const one of done) {
    const item = document.createElement("li"), about = document.createElement("span");
    const kind = one.kind === "message" ? "Message" : "Recording";
    const length = `${Math.floor(one.seconds / 60)}:${String(Math.floor(one.seconds % 60)).padStart(2, "0")}`;
    about.textContent = `${kind}, ${length}${one.state === "failed" ? ", not whole" : ""}`;
    item.append(about);
    for (const format of ["mp3", "wav"]) {
      const link = document.createElement("a");
      link.className = "button";
      link.href = `/recordings/${encodeURIComponent(one.id)}?format=${format}`;
      link.download = `${one.id}.${format}`;
      link.textContent = format.toUpperCase();
      link.addEventListener("click", (event) => { event.preventDefault(); download(link); });
      link.setAttribute("aria-label", `Download ${kind.toLowerCase()} of ${length} as ${format.toUpperCase()}`);
      item.append(link);
    }
    $("recordings").append(item);
  }
  $("recordings").hidden = done.length === 0;
}

let openId = null, opened = 0;
async function openCall(id, again) {
  const mine = ++opened, path = "/calls/" + encodeURIComponent(id);
  openId = id;
  if (!again) {
    $("call-title").textContent = "Call " + id;
    $("call-about").textContent = "";
    $("call-summary").hidden = true;
    Talk.show(null);
    showRecordings(null);
    $("call").hidden = false;
    $("call-title").focus();
    $("call").scrollIntoView({ block: "start" });
  }
  let about, talk, problem;
  try {
    [about, talk] = await Promise.all([api("GET", path), api("GET", path + "/transcript")]);
  } catch (e) { problem = e; }
  if (mine !== opened) return;  // another one was opened meanwhile, or it was closed
  $("call-problem").hidden = !problem;
  $("call-problem").textContent = problem ? problem.message : "";
  if (problem) return;
  $("call-about").textContent = [about.direction, about.from || (about.direction === "inbound" ? "number withheld" : null), "to " + about.to, about.status, about.outcome,
    about.durationSeconds ? `${about.durationSeconds} s` : null,
    about.quality ? `${about.quality.lossPercent} % lost · jitter ${about.quality.jitterMs} ms · MOS ${about.quality.mos}` : null].filter(Boolean).join(" · ");
  $("call-summary").textContent = about.summary || "";
  $("call-summary").hidden = !about.summary;
  showRecordings(about.recordings);
  Talk.show(talk.utterances);
}

function closeCall() {
  opened++;
  openId = null;
  Talk.show(null);
  showRecordings(null);
  $("call").hidden = true;
  $("call-about").textContent = $("call-summary").textContent = "";
}

let talkTimer = null;
function onTalk(id) {
  if (id !== openId || talkTimer) return;
  talkTimer = setTimeout(() => { talkTimer = null; if (openId === id) openCall(id, true); }, 300);
}

let recentTimer = null;
function loadRecent() {
  clearTimeout(recentTimer);
  recentTimer = setTimeout(async () => {
    let list;
    try { list = (await api("GET", "/calls?limit=20")).calls.filter((call) => call.endTime); } catch { return; }
    showRecent(list);
  }, 250);
}

function showRecent(list) {
  const body = $("recent").tBodies[0];
  body.replaceChildren();
  for (const call of list) {
    const row = body.insertRow();
    cell(row, call.from, "From", "number");
    cell(row, call.to, "To", "number");
    cell(row, new Date(call.startTime).toLocaleString(), "Began", "number");
    cell(row, (call.durationSeconds || 0) + " s", "Length", "number");
    cell(row, call.outcome, "Outcome");
    row.insertCell().append(talkButton(call.id));
  }
  $("recent").hidden = list.length === 0;
  $("recent-none").hidden = list.length > 0;
}

function showLeads() {
  const body = $("leads").tBodies[0];
  body.replaceChildren();
  for (const lead of leads) {
    const row = body.insertRow();
    cell(row, lead.name, "Name");
    cell(row, lead.phone, "Phone", "number");
    cell(row, lead.score, "Score", "number");
    cell(row, lead.status, "Status");
    cell(row, lead.source, "Source");
    cell(row, new Date(lead.createdAt).toLocaleString(), "Created", "number");
  }
  $("leads-count").textContent = leads.length;
  $("leads").hidden = leads.length === 0;
  $("leads-none").hidden = leads.length > 0;
}

function note(text, kind) {
  const item = document.createElement("li");
  const name = document.createElement("b");
  name.textContent = kind || "note";
  item.append(name, " " + text);
  $("events").prepend(item);
  while ($("events").children.length > 100) $("events").lastChild.remove();
}

let leadsTimer = null;
function loadLeads() {
  clearTimeout(leadsTimer);
  leadsTimer = setTimeout(async () => {
    try {
      leads = (await api("GET", "/leads?limit=20")).leads;
      showLeads();
    } catch (e) { if (e.status === 401) leave(); }
  }, 150);
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
  note(`${message.subject || ""} ${new Date(message.at).toLocaleTimeString()}`, message.type);
  if (String(message.type).startsWith("lead.")) loadLeads();
  if (message.type === "call.ended") loadRecent();
  if (message.type === "call.ended" || message.type === "recording.stored") onTalk(message.type === "call.ended" ? message.subject : (message.data || {}).call);
}

function wire(path, onMessage, mine) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}${path}`);
  sockets.push(socket);
  socket.onopen = () => { retry = 0; $("wire").textContent = "live"; $("wire").classList.add("open"); };
  socket.onmessage = (e) => onMessage(JSON.parse(e.data));
  socket.onclose = (e) => {
    if (mine !== generation) return;
    if (e.code === 4400) lastSeq = null;  // the server does not know our place any more: begin with its snapshot
    $("wire").textContent = "connecting again";
    $("wire").classList.remove("open");
    disconnect();
    const again = generation;
    setTimeout(async () => {
      if (again !== generation) return;
      try { await session(); } catch (e) { if (e.status === 401) return leave(); }
      connect();
    }, Math.min(500 * 2 ** retry++, 15000));
  };
}

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

function leave() {
  disconnect();
  clearInterval(ticking);
  lastSeq = null;
  // Nothing of this person stays behind for the next one at this screen.
  leads = [];
  showLeads();
  showCalls([], 0);
  showRecent([]);
  closeCall();
  $("events").replaceChildren();
  $("login").reset();
  $("desk").hidden = $("logout").hidden = $("wire").hidden = true;
  $("gate").hidden = false;
  $("who").textContent = "";
  $("login").elements.email.focus();
}

async function session() {
  try {
    return await api("GET", "/auth/me");
  } catch (e) {
    if (e.status !== 401) throw e;
    await api("POST", "/auth/refresh");
    return api("GET", "/auth/me");
  }
}

function enter(me) {
  if (!me.tenant) {  // an operator has no calls and leads of his own
    api("POST", "/auth/logout").catch(() => null);
    leave();
    $("login-problem").textContent = "You are an operator of this installation. This page is for the people of a tenant: log in as one of them.";
    return;
  }
  hearsRecordings = ["admin", "supervisor"].includes(me.role);
  $("gate").hidden = true;
  $("desk").hidden = $("logout").hidden = $("wire").hidden = false;
  $("top").focus(); // what had it is hidden now: the next key begins at the top
  $("who").textContent = [me.email || me.name || me.id, me.tenant, me.role].filter(Boolean).join(" · ");
  loadLeads();
  loadRecent();
  connect();
  ticking = setInterval(() => {
    for (const td of document.querySelectorAll("td[data-since]")) td.textContent = clock(td.dataset.since);
  }, 1000);
}

$("login").addEventListener("submit", async (e) => {
  e.preventDefault();
  const form = new FormData($("login"));
  const button = $("login").querySelector("button");
  $("login-problem").textContent = "";
  button.disabled = true;
  try {
    const tenant = form.get("tenant");
    await api("POST", "/auth/login", { email: form.get("email"), password: form.get("password"), ...(tenant ? { tenant } : {}) });
    enter(await session());
  } catch (problem) {
    if (problem.data && problem.data.code === "which_tenant") $("tenant-row").hidden = false;
    $("login-problem").textContent = problem.message;
    $("login").elements.password.select();
  } finally {
    button.disabled = false;
  }
});

$("call-close").addEventListener("click", closeCall);

$("logout").addEventListener("click", async () => {
  await api("POST", "/auth/logout").catch(() => null);
  leave();
});

session().then(enter, () => leave());
