// SPDX-License-Identifier: Apache-2.0
// Call quality: how long callers waited for us and how calls sounded, day by day (days.js draws them), and a day's slowest calls.
"use strict";

const Quality = (() => {
  const AGAIN_MS = 10000, DAY_MS = 86400000;
  const at = (id) => document.getElementById("quality-" + id);
  let asked = 0, loading = 0, span = 7, found = null, chosen = null, following = false, again = null, next = null;

  const node = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const seconds = (ms) => (ms / 1000).toFixed(ms < 10000 ? 2 : 1) + " s";
  const millis = (ms) => Math.round(ms) + " ms";
  const many = (n, what) => `${n.toLocaleString()} ${what}${n === 1 ? "" : "s"}`;
  const dayBefore = (day, days) => new Date(Date.parse(day) - days * DAY_MS).toISOString().slice(0, 10);
  const fullDay = (day) => Days.dayName(day, { weekday: "long", day: "numeric", month: "long" });

  // -- the figures of all days ----------------------------------------------------------------------------------------------------

  function tile(title, value, more, help) {
    const made = node("div", "tile");
    made.append(node("dt", "", title), node("dd", "value", value), node("dd", "more", more));
    made.title = help;
    return made;
  }

  const within = (spread, shown) => `99 of 100 within ${shown(spread.p99)}`;

  function tiles(whole) {
    const list = [];
    if (whole.gap) {
      list.push(tile("Wait for an answer", seconds(whole.gap.p50), within(whole.gap, seconds), "From the end of the caller's speech to our first sound; half of the answers came sooner."));
      list.push(tile("Answers over 1 s", whole.slowPercent.toFixed(1) + " %", `of ${many(whole.turns, "turn")} in ${many(whole.calls, "call")}`, "So many of all answers let the caller wait for more than a second."));
    }
    if (whole.bargeIn) list.push(tile("Barge-in to silence", millis(whole.bargeIn.p50), within(whole.bargeIn, millis), "From the caller's voice over ours to our silence."));
    if (whole.own) list.push(tile("Our own part of it", millis(whole.own.p50), within(whole.own, millis), "The wait without the providers' time and the silence that was chosen to wait."));
    const audio = whole.audio;
    if (audio) {
      list.push(tile("Packets lost", audio.lossPercent.toFixed(1) + " %", `jitter ${millis(audio.jitter.p50)}, in 99 of 100 calls up to ${millis(audio.jitter.p99)}`, "Of the callers' sound on its way to us; jitter: how unevenly it came."));
      list.push(tile("Sound (MOS)", `${audio.mos.toFixed(1)} of 4.5`, `the worst call ${audio.mosLeast.toFixed(1)}`, "Estimated from loss and jitter: how people would rate it, from 1 (bad) to 4.5."));
    }
    return list;
  }

  // -- the pictures ---------------------------------------------------------------------------------------------------------------

  const stacked = (parts) => Words.stages.map((stage, i) => ({ name: "stage-" + i, ms: parts[stage.of] }));

  function gapDay(one) {
    const label = one.turns === 0 ? `${fullDay(one.day)}: no conversation` : `${fullDay(one.day)}: half of the answers within ${seconds(one.gap.p50)}, 99 of 100 within ${seconds(one.gap.p99)}, `
      + `${many(one.turns, "turn")}, ${one.slowPercent.toFixed(1)} % over 1 s`;
    return { day: one.day, label, bars: one.stages && [stacked(one.stages.p50), stacked(one.stages.p99)] };
  }

  function bargeDay(one) {
    const label = `${fullDay(one.day)}: ` + (one.bargeIn ? `half within ${millis(one.bargeIn.p50)}, 99 of 100 within ${millis(one.bargeIn.p99)}` : "nobody spoke over us");
    return { day: one.day, label, bars: one.bargeIn && [[{ name: "plain", ms: one.bargeIn.p50 }], [{ name: "plain", ms: one.bargeIn.p99 }]] };
  }

  function draw() {
    if (!found) return;
    const barged = found.days.filter((one) => one.bargeIn);
    at("barge").hidden = barged.length === 0;
    Days.draw(at("gaps"), { days: found.days.map(gapDay), shown: (ms) => (ms / 1000).toLocaleString([], { maximumFractionDigits: 2 }) + " s", limit: 1000, chosen, choose: openDay });
    if (barged.length > 0) {
      Days.draw(at("barges"), { days: found.days.map(bargeDay), shown: (ms) => ms.toLocaleString() + " ms" });
      at("barges").setAttribute("aria-label", "Barge-in to silence, by day. " + barged.map((one) => bargeDay(one).label).join(". "));
    }
  }

  function legend() {
    at("stages").replaceChildren("From the end of the caller's speech: ", ...Words.stages.flatMap(({ name, doc }, i) => {
      const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg"), rect = document.createElementNS(mark.namespaceURI, "rect");
      mark.setAttribute("viewBox", "0 0 10 10");
      mark.setAttribute("aria-hidden", "true");
      for (const [key, value] of Object.entries({ width: 10, height: 10, class: "stage-" + i })) rect.setAttribute(key, value);
      mark.append(rect);
      const entry = node("span", "", name);
      entry.title = doc;
      entry.prepend(mark);
      return [entry, " "];
    }));
  }

  // -- a day's slowest calls ------------------------------------------------------------------------------------------------------

  function callRow(call) {
    const row = node("tr"), line = call.quality;
    const cells = [
      ["Began", new Date(call.startTime).toLocaleString([], { dateStyle: "short", timeStyle: "medium" }), "number"], ["From", call.from || "withheld", "number"], ["To", call.to, "number"],
      ["Longest wait", seconds(call.longestGap), "number"], ["Over 1 s", `${call.slowTurns} of ${many(call.turns, "turn")}`, "number"],
      ["Sound", line ? `MOS ${line.mos}, ${line.lossPercent} % lost` : "–", "number"],
    ];
    for (const [label, text, name] of cells) {
      const td = node("td", name, text === null || text === undefined ? "–" : text);
      td.dataset.label = label;
      row.append(td);
    }
    const open = node("button", "", "Transcript"), act = node("td", "act");
    open.type = "button";
    open.title = "What was said, and what each answer's time was made of";
    open.addEventListener("click", () => openCall(call.id, open));
    act.append(open);
    row.append(act);
    return row;
  }

  function showDay(list, problem) {
    at("calls").hidden = list.length === 0;
    at("calls-none").hidden = list.length > 0 || problem !== null;
    at("calls-problem").hidden = problem === null;
    at("calls-problem").textContent = problem || "";
    at("more").hidden = !next;
  }

  async function loadDay(cursor) {
    const mine = ++asked, day = chosen, body = at("calls").tBodies[0];
    let answer = null, problem = null;
    try {
      answer = await api("GET", `/calls/slowest?day=${day}` + (cursor ? "&cursor=" + encodeURIComponent(cursor) : ""));
    } catch (e) { problem = e.message; }
    if (mine !== asked || day !== chosen) return;
    next = answer ? answer.next : cursor || null;
    if (answer) body.append(...answer.calls.map(callRow));
    showDay([...body.rows], problem);
  }

  function openDay(day) {
    chosen = day;
    next = null;
    at("calls").tBodies[0].replaceChildren();
    at("day-title").textContent = "Slowest calls of " + fullDay(day);
    at("earlier").disabled = day <= found.from;
    at("later").disabled = day >= found.to;
    showDay([], null);
    at("calls-none").hidden = true;  // not before it is known
    at("day").hidden = false;
    draw();
    at("day-title").focus({ preventScroll: true });
    at("day").scrollIntoView({ block: "nearest" });
    return loadDay();
  }

  function closeDay() {
    const from = chosen;
    chosen = next = null;
    at("day").hidden = true;
    at("calls").tBodies[0].replaceChildren();
    draw();
    if (from) at("gaps").querySelector(`[data-day="${from}"]`)?.focus();
  }

  // -- what is shown --------------------------------------------------------------------------------------------------------------

  function show(answer) {
    found = answer;
    const whole = answer.whole;
    at("none").hidden = whole.turns > 0;
    at("none").textContent = whole.calls === 0
      ? "No call was answered in these days. Call one of your numbers: how long its caller waited stands here when it has ended."
      : `${many(whole.calls, "call")} in these days, and no conversation in any. Where a flow lets the AI talk with callers (call:converse), how long they wait for it stands here.`;
    at("tiles").replaceChildren(...tiles(whole));
    at("waits").hidden = whole.turns === 0;
    draw();
    if (chosen && (chosen < answer.from || chosen > answer.to || whole.turns === 0)) closeDay();
  }

  async function load() {
    const mine = ++loading, today = new Date().toISOString().slice(0, 10);
    clearTimeout(again);
    again = null;
    let answer = null, problem = "";
    try {
      answer = await api("GET", `/calls/quality?from=${dayBefore(today, span - 1)}&to=${today}`);
    } catch (e) { problem = e.message; }
    if (mine !== loading) return;  // asked again meanwhile, or by whoever was here before
    at("problem").hidden = !problem;
    at("problem").textContent = problem;
    if (answer) show(answer);
  }

  function choose(days) {
    span = days;
    for (const one of [7, 30]) at("last-" + one).setAttribute("aria-pressed", one === days);
    return load();
  }

  // For whoever may see it; null: nobody is here.
  function begin(role) {
    following = ["admin", "supervisor"].includes(role);
    document.getElementById("quality").hidden = at("link").hidden = !following;
    if (following) return choose(7);
    asked++;
    loading++;
    clearTimeout(again);
    found = chosen = next = again = null;
    at("day").hidden = at("waits").hidden = true;
    at("calls").tBodies[0].replaceChildren();
    for (const id of ["none", "problem", "calls-problem", "day-title", "tiles", "gaps", "barges"]) at(id).replaceChildren();
    at("barges").removeAttribute("aria-label");
    return null;
  }

  // A call has ended.
  function moved() {
    if (following && !again) again = setTimeout(load, AGAIN_MS);
  }

  for (const days of [7, 30]) at("last-" + days).addEventListener("click", () => choose(days));
  at("earlier").addEventListener("click", () => openDay(dayBefore(chosen, 1)));
  at("later").addEventListener("click", () => openDay(dayBefore(chosen, -1)));
  at("close").addEventListener("click", closeDay);
  at("more").addEventListener("click", () => loadDay(next));
  new ResizeObserver(draw).observe(at("waits"));
  legend();

  return { begin, moved };
})();
