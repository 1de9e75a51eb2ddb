// SPDX-License-Identifier: Apache-2.0
// What was said in a call, as a conversation: who, when, the words, and for each answer of ours how long the caller waited for it.
// A call that is up is followed: what is new comes into view unless somebody reads further up, who is told of it.
"use strict";

const Talk = (() => {
  const SVG = "http://www.w3.org/2000/svg", WIDTH = 320, HEIGHT = 14, NEAR_END = 48, PRESSED = ".seek, summary";
  const who = { caller: "Caller", ai: "AI", agent: "Agent" };
  // Of each of Words.stages, in their order: how long it took.
  const took = [
    (t) => Math.min(t.final_text_ms || 0, t.endpoint_ms || 0),
    (t) => (t.endpoint_ms || 0) - Math.min(t.final_text_ms || 0, t.endpoint_ms || 0),
    (t) => t.model_ms || 0,
    (t) => (t.chunk_ms || 0) + (t.voice_ms || 0),
    (t) => t.send_ms || 0,
  ];

  const node = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const drawn = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const titled = (element, text) => {
    const title = drawn("title", {});
    title.textContent = text;
    element.append(title);
    return element;
  };
  const seconds = (ms) => (ms / 1000).toFixed(2) + " s";
  const partsOf = (timeline) => Words.stages.map((s, i) => ({ ...s, i, took: Math.max(0, took[i](timeline)) })).filter((p) => p.took > 0);
  const square = (i) => node("span", "square mark-" + i);

  // One bar in parts, all answers of a call in the same scale.
  function picture(timeline, longest) {
    const parts = partsOf(timeline);
    const words = parts.map((p) => `${p.name} ${Math.round(p.took)} ms`).join(", ");
    const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none", "aria-label": `waited ${seconds(timeline.gap_ms)}: ${words}` });
    let x = 0;
    for (const part of parts) {
      const width = Math.max(part.took / longest * WIDTH, 1);
      const gap = width > 4 ? 1.5 : 0;  // parts are told apart by more than their colour
      const rect = drawn("rect", { x: x.toFixed(2), y: 1, width: (width - gap).toFixed(2), height: HEIGHT - 2, class: "stage-" + part.i });
      svg.append(titled(rect, `${part.name}, ${part.doc}: ${Math.round(part.took)} ms`));
      x += width;
    }
    return svg;
  }

  // The bar, and behind it the figures for who wants to know more.
  function waited(timeline, longest) {
    const whole = node("details", "wait"), line = node("summary"), list = node("dl");
    line.append(picture(timeline, longest), node("span", "", `waited ${seconds(timeline.gap_ms)}`));
    for (const part of partsOf(timeline)) {
      const name = node("dt", "", part.name);
      name.prepend(square(part.i));
      list.append(name, node("dd", "took", `${Math.round(part.took)} ms`), node("dd", "", part.doc));
    }
    line.tabIndex = -1;
    whole.append(line, list);
    return whole;
  }

  function said(one, longest, seek) {
    const item = node("li", "said " + one.speaker);
    if (one.isTakenUp) item.append(node("p", "note", "Another worker took the call up."));
    const head = node("p", "by"), name = node("b", "", who[one.speaker] || one.speaker);
    head.append(name, " ");
    if (one.beganMs !== undefined && seek) {
      const from = node("button", "seek", Words.length(one.beganMs / 1000));
      from.type = "button";
      from.tabIndex = -1;
      from.setAttribute("aria-label", `Play from ${from.textContent}`);
      head.append(from);
      item.classList.add("heard");
    } else if (one.beganMs !== undefined) {
      head.append(node("time", "", Words.length(one.beganMs / 1000)));
    }
    if (one.sentiment && one.sentiment !== "neutral") head.append(" ", node("span", "mood-" + one.sentiment, one.sentiment));
    const words = node("p", "words", one.text);
    words.dir = "auto";
    item.append(head, words);
    if (one.interrupted) {
      words.append(node("span", "cut", " —"));
      item.append(node("p", "note", "Cut off: the caller spoke over it. Only this much was heard."));
    }
    const timeline = one.timeline;
    if (timeline && timeline.barge_in_ms > 0) item.append(node("p", "note", `We fell silent ${seconds(timeline.barge_in_ms)} after the caller began to speak.`));
    if (timeline && timeline.gap_ms > 0) item.append(waited(timeline, longest));
    return item;
  }

  function drawLegend(longest) {
    const legend = $("talk-stages");
    legend.hidden = longest === 0;
    if (legend.hidden || legend.childElementCount > 0) return;
    legend.append("The bars: how long the caller waited for an answer, from the end of their own speech. ", ...Words.stages.flatMap((s, i) => {
      const entry = node("span", "", s.name);
      entry.title = s.doc;
      entry.prepend(square(i));
      return [entry, " "];
    }));
  }

  let now = [], fresh = 0, times = [], play = null;
  const box = () => $("talk-box");
  const atEnd = () => box().scrollHeight - box().scrollTop - box().clientHeight < NEAR_END;
  const toEnd = () => { box().scrollTop = box().scrollHeight; };

  function tellFresh(count) {
    fresh = count;
    $("talk-fresh").hidden = count === 0;
    $("talk-fresh").textContent = count === 1 ? "1 new line below" : `${count} new lines below`;
  }

  // The lines; the first behind each moment (ms in the call) at which another worker took the call up says so.
  function marked(list, takenUp) {
    const firsts = new Set(takenUp.map((ms) => list.findIndex((one) => one.beganMs >= ms)));
    return list.map((one, i) => (firsts.has(i) ? { ...one, isTakenUp: true } : one));
  }

  // utterances: null when nothing is known yet. live: the call is up. seek(seconds): plays from there; null where nothing can be heard.
  function show(utterances, { live = false, seek = null, takenUp = [] } = {}) {
    const list = marked(utterances || [], takenUp), first = now.length === 0, follows = first ? live : atEnd();
    // In whole seconds, so that a longer answer seldom makes all bars anew.
    const longest = Math.ceil(Math.max(0, ...list.map((one) => (one.timeline && one.timeline.gap_ms) || 0)) / 1000) * 1000;
    const drawnAs = (one) => JSON.stringify([one, one.timeline ? longest : 0, Boolean(seek)]);
    const make = (one) => {
      const item = said(one, longest, seek);
      item.drawnAs = drawnAs(one);
      return item;
    };
    const known = new Set(now);
    keep($("talk"), list, (one) => one.n, make, (item, one) => {
      if (item.drawnAs === drawnAs(one)) return;
      const again = make(one);
      again.dataset.key = item.dataset.key;
      for (const whole of again.querySelectorAll("details")) whole.open = item.querySelector("details[open]") !== null;
      const had = [...item.querySelectorAll(PRESSED)].indexOf(document.activeElement);
      item.replaceChildren(...again.childNodes);
      item.querySelectorAll(PRESSED)[had]?.focus({ preventScroll: true });
      item.className = again.className;
      item.drawnAs = again.drawnAs;
    });
    now = list.map((one) => one.n);
    times = list.map((one) => one.beganMs);
    play = seek;
    $("talk-none").hidden = !utterances || list.length > 0;
    $("talk-none").textContent = live ? "Nothing has been said yet. What is said appears here at once." : "Nothing has been written down of this call.";
    box().hidden = list.length === 0;
    drawLegend(longest);
    if (live) box().setAttribute("aria-live", "polite");
    else box().removeAttribute("aria-live");
    if (follows) toEnd();
    else if (first) box().scrollTop = 0;
    tellFresh(first || follows || list.length === 0 ? 0 : fresh + now.filter((n) => !known.has(n)).length);
  }

  // Marks the line that is heard at that second of the call; null: none is.
  function at(second) {
    let line = null;
    if (second !== null) times.forEach((ms, i) => { if (ms !== undefined && ms <= second * 1000 + 50) line = i; });
    const items = $("talk").children;
    if (line !== null && items[line].hasAttribute("aria-current")) return;
    for (const item of $("talk").querySelectorAll("[aria-current]")) item.removeAttribute("aria-current");
    if (line === null) return;
    items[line].setAttribute("aria-current", "true");
    const top = items[line].offsetTop, end = top + items[line].offsetHeight;
    if (top < box().scrollTop || end > box().scrollTop + box().clientHeight) box().scrollTop = top - 16;
  }

  oneStop($("talk-box"), PRESSED);
  $("talk").addEventListener("click", (e) => {
    const item = e.target.closest(".heard");
    if (!item || !play || e.target.closest("details") || !getSelection().isCollapsed) return;  // to select words is not to ask for their sound
    play(times[[...$("talk").children].indexOf(item)] / 1000);
  });
  $("talk-box").addEventListener("scroll", () => { if (fresh > 0 && atEnd()) tellFresh(0); });
  $("talk-fresh").addEventListener("click", () => {
    toEnd();
    tellFresh(0);
    box().focus();
  });

  return { show, at };
})();
