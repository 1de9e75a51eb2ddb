// SPDX-License-Identifier: Apache-2.0
// The lists of calls: those that are up, as /ws/calls tells them, and those that have ended.
"use strict";

const SURE_MS = 5000;
let standsStill = false;  // not connected: a duration that runs on would say that we know

function clock(since) {
  const s = Math.max(0, Math.floor((Date.now() - Date.parse(since)) / 1000));
  return [s / 3600, (s / 60) % 60, s % 60].map((n) => String(Math.floor(n)).padStart(2, "0")).join(":");
}

function tick() {
  if (standsStill) return;
  for (const td of document.querySelectorAll("td[data-since]")) fill(td, clock(td.dataset.since));
}

function button(text, label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", () => act(made));
  return made;
}

// A call is taken out of its flow only by whoever means it: the first press asks, the second within some seconds does it.
function escalateButton(call) {
  let timer = null, busy = false;
  const about = `the call from ${call.from || "a withheld number"}`;
  const calm = (made) => {
    clearTimeout(timer);
    timer = null;
    made.textContent = "Escalate";
    made.setAttribute("aria-label", `Escalate ${about}`);
    made.classList.remove("sure");
  };
  const made = button("Escalate", `Escalate ${about}`, async () => {
    if (busy) return;
    if (!timer) {
      made.textContent = "Sure?";
      made.setAttribute("aria-label", `Press again to escalate ${about}`);
      made.classList.add("sure");
      timer = setTimeout(calm, SURE_MS, made);
      return;
    }
    calm(made);
    busy = true;  // not disabled, which would lose the focus
    try {
      await api("POST", `/calls/${encodeURIComponent(call.id)}/escalate`);
    } catch (e) { tell(`The call was not escalated. ${e.message}`); }
    busy = false;
  });
  made.title = "Leave the flow and take its fallback, such as voicemail or a human";
  made.addEventListener("blur", () => { if (timer) calm(made); });
  return made;
}

const withWhom = (call) => call.status + (call.agent ? ` · ${call.agent}` : "");

function changeLive(row, call) {
  const [, , status, state, duration, act] = row.cells;
  fill(status, withWhom(call));
  status.className = "status status-" + call.status;
  fill(state, call.state);
  duration.dataset.since = call.since;
  fill(duration, clock(call.since));
  const escalate = act.querySelector(".escalate");
  if (escalate && call.status === "escalated") escalate.remove();
}

function makeLive(row, call) {
  cell(row, call.from || "withheld", "From", "number");
  cell(row, call.to, "To", "number");
  cell(row, "", "Status");
  cell(row, "", "State", "long");
  cell(row, "", "Duration", "number");
  const act = row.insertCell();
  act.className = "act";
  act.append(button("Open", `Open the call from ${call.from || "a withheld number"}`, (from) => openCall(call.id, from)));
  const escalate = escalateButton(call);
  escalate.classList.add("escalate");
  act.append(escalate);
  changeLive(row, call);
}

function showCalls(list, count) {
  keepRows($("calls"), list, (call) => call.id, makeLive, changeLive);
  $("calls-count").textContent = count;
  document.title = count > 0 ? `(${count}) Parley` : "Parley";
  $("calls").hidden = list.length === 0;
  $("calls-none").hidden = list.length > 0;
  $("calls-rest").hidden = count <= list.length;
  $("calls-rest").textContent = `The ${list.length} newest of ${count} are shown.`;
  callIsUp(list);
}

function changeEnded(row, call) {
  fill(row.cells[3], Words.length(call.durationSeconds || 0));
  const outcome = row.cells[4];
  fill(outcome, Words.outcome(call));
  outcome.className = call.status === "failed" ? "status-failed" : "";
  outcome.title = call.failure || "";
}

const recent = pagedList("recent", {
  nothing: "None yet.",
  nothingFound: "No ended call with this number. It has to be whole, such as +12025550123.",
  async fetchPage(words, cursor) {
    const page = await api("GET", "/calls?active=false&limit=20" + (words ? "&phone=" + encodeURIComponent(words) : "") + (cursor ? "&cursor=" + encodeURIComponent(cursor) : ""));
    return { entries: page.calls, next: page.next };
  },
  show: (list) => keepRows($("recent"), list, (call) => call.id, (row, call) => {
    cell(row, call.from || "withheld", "From", "number");
    cell(row, call.to, "To", "number");
    timeCell(row, call.startTime, "Began");
    cell(row, "", "Length", "number");
    cell(row, "", "Outcome");
    const act = row.insertCell();
    act.className = "act";
    act.append(button("Open", `Open the call from ${call.from || "a withheld number"} of ${Words.moment(call.startTime)}`, (from) => openCall(call.id, from)));
    changeEnded(row, call);
  }, changeEnded),
});
