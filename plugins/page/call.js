// SPDX-License-Identifier: Apache-2.0
// The call that is open: what is known of it, its lead, the way its flow went, its recordings (player.js) and what was said (talk.js). It follows a call
// that is up.
"use strict";

let openId = null, opened = 0, opener = null, talkTimer = null;
// Of its last answer: whether it is up, and at which ms of it another worker took it up.
let openIsUp = false, openTakenUp = [];

function quietly(id, text) {
  $(id).hidden = !text;
  $(id).textContent = text || "";
}

function titleOf(about) {
  const other = about.direction === "outbound" ? about.to : about.from;
  return `Call ${about.direction === "outbound" ? "to" : "from"} ${other || "a withheld number"}`;
}

function takenUpOf(about) {
  const moments = about.takenUp || [], last = moments[moments.length - 1];
  if (!last) return null;
  const text = moments.length === 1 ? `taken up by another worker at ${Words.moment(last)}` : `taken up by another worker ${moments.length} times, last at ${Words.moment(last)}`;
  return [text, `Its worker ended or gave it away, and another one went on with it: ${moments.map(Words.exactly).join("; ")}`];
}

function factsOf(about) {
  const quality = about.quality;
  const ours = about.direction === "outbound" ? `from ${about.from || "our number"}` : `to ${about.to}`;
  return [
    [`${about.direction}, ${ours}`],
    [Words.moment(about.startTime), Words.exactly(about.startTime)],
    about.endTime && about.durationSeconds > 0 ? [Words.length(about.durationSeconds) + " long"] : null,
    [about.endTime ? Words.outcome(about) : about.status, `status ${about.status}${about.outcome ? ", outcome " + about.outcome : ""}`],
    takenUpOf(about),
    quality && [`${Words.line(quality.mos)}: MOS ${quality.mos} of 4.5, ${quality.lossPercent} % lost, jitter ${quality.jitterMs} ms`,
      "How the caller's sound reached us. MOS: how people would rate it, from 1 (bad) to 4.5. Lost: packets that never came. Jitter: how unevenly they came."],
  ].filter(Boolean);
}

function showFacts(about) {
  $("call-title").replaceChildren(titleOf(about), " ");
  const id = document.createElement("span");
  id.className = "id";
  id.textContent = about.id;
  $("call-title").append(id);
  $("call-about").replaceChildren(...factsOf(about).map(([text, title]) => {
    const item = document.createElement("li");
    item.textContent = text;
    if (title) item.title = title;
    return item;
  }));
  quietly("call-failure", about.failure && `Why: ${about.failure}.`);
  quietly("call-summary", about.summary);
}

function isolated(text) {
  return Object.assign(document.createElement("bdi"), { textContent: text });
}

// Whoever may not read the lead has a call all the same; one that cannot be asked for now stays as it stands.
async function showLead(about, mine) {
  let lead = null;
  if (about.lead) {
    try { lead = await api("GET", "/leads/" + encodeURIComponent(about.lead)); } catch (e) { if (![403, 404].includes(e.status)) return; }
  }
  if (mine !== opened) return;
  quietly("call-lead", lead && `, ${typeof lead.score === "number" ? `score ${lead.score}, ` : ""}${lead.status}`);
  if (!lead) return;
  $("call-lead").prepend("Lead: ", isolated(lead.name || lead.phone || lead.email || about.lead));
  if (lead.notes) $("call-lead").append("\n", isolated(lead.notes));
}

// Of a call that has ended: through which states its flow went, each played from where it began, in what there is to hear when it is pressed. The last is
// no news: all have "ended".
function showPath(about) {
  const isHeard = Player.seekOf() !== null;
  const states = about.endTime ? about.states.filter((one, i, all) => i < all.length - 1 || one.state !== "ended") : [];
  $("call-path").hidden = states.length === 0;
  keep($("call-path"), states.map((one, n) => ({ ...one, n })), (one) => [one.n, one.at, isHeard].join(), (one) => {
    const item = document.createElement("li"), name = document.createElement("b");
    const seconds = Math.max(0, (Date.parse(one.at) - Date.parse(about.startTime)) / 1000), length = Words.length(seconds);
    const from = isHeard ? button(length, `Play from ${length}, ${one.state}`, () => Player.seekOf()?.(seconds)) : Object.assign(document.createElement("time"), { textContent: length });
    from.className = isHeard ? "seek" : "";
    if (isHeard) from.tabIndex = -1;
    name.textContent = one.state;
    item.append(name, " ", from);
    return item;
  }, () => null);
}

function clearCall() {
  openIsUp = false;
  openTakenUp = [];
  Talk.show(null);
  Player.show(null);
  $("call-path").replaceChildren();
  $("call-path").hidden = true;
  $("call-title").textContent = "Call";
  $("call-about").replaceChildren();
  for (const id of ["call-failure", "call-summary", "call-lead", "call-problem", "call-wait"]) quietly(id, null);
}

// from: what opened it, unless that has the focus, and gets it back.
async function openCall(id, from) {
  openId = id;
  opener = from || document.activeElement;
  clearCall();
  quietly("call-wait", "Loading …");
  $("call").hidden = false;
  $("call-title").focus({ preventScroll: true });
  $("call").scrollIntoView({ block: "start" });
  await loadCall();
}

// What stands there stays when it cannot be asked anew.
async function loadCall() {
  const mine = ++opened, path = "/calls/" + encodeURIComponent(openId);
  const [about, talk] = await Promise.allSettled([api("GET", path), api("GET", path + "/transcript")]);
  if (mine !== opened) return;  // another one was opened meanwhile, or it was closed
  quietly("call-wait", null);
  const problems = [about, talk].filter((one) => one.status === "rejected").map((one) => one.reason.message);
  quietly("call-problem", [...new Set(problems)].join(" "));
  if (about.value) {
    openIsUp = !about.value.endTime;
    openTakenUp = (about.value.takenUp || []).map((moment) => new Date(moment) - new Date(about.value.startTime));
    showFacts(about.value);
    Player.show(about.value);
    showPath(about.value);
    showLead(about.value, mine);
  }
  if (talk.value) Talk.show(talk.value.utterances, { live: openIsUp, seek: Player.seekOf(), takenUp: openTakenUp });
}

function closeCall() {
  opened++;
  openId = null;
  clearCall();
  $("call").hidden = true;
  (opener && opener.isConnected ? opener : $("recent-title")).focus();
  opener = null;
}

// Many lines in a short time are one fetch.
function onTalk(id) {
  if (id !== openId || talkTimer) return;
  talkTimer = setTimeout(() => { talkTimer = null; if (openId === id) loadCall(); }, 300);
}

// The list of calls that are up has come: the open one may have been answered or put through.
let openStatus = null;
function callIsUp(list) {
  const mine = list.find((call) => call.id === openId);
  const status = mine && withWhom(mine);
  if (status && openStatus && status !== openStatus) onTalk(openId);
  openStatus = status;
}

oneStop($("call-path"), "button");
$("call-close").addEventListener("click", closeCall);
$("call").addEventListener("keydown", (e) => { if (e.key === "Escape") closeCall(); });
