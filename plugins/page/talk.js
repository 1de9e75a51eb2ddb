// SPDX-License-Identifier: Apache-2.0
// What was said in a call, as a conversation: who, when, the words, and for each answer of ours how long the caller waited for it.
"use strict";

const Talk = (() => {
  const SVG = "http://www.w3.org/2000/svg", WIDTH = 320, HEIGHT = 14;
  const who = { caller: "Caller", ai: "AI", agent: "Agent" };
  // In their order, from the end of the caller's speech: what each ends with, and how long it took.
  const stages = [
    { name: "final text", ms: (t) => Math.min(t.final_text_ms || 0, t.endpoint_ms || 0) },
    { name: "end of turn", ms: (t) => (t.endpoint_ms || 0) - Math.min(t.final_text_ms || 0, t.endpoint_ms || 0) },
    { name: "first token", ms: (t) => t.model_ms || 0 },
    { name: "first audio", ms: (t) => (t.chunk_ms || 0) + (t.voice_ms || 0) },
    { name: "first packet", ms: (t) => t.send_ms || 0 },
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
  const seconds = (ms) => (ms / 1000).toFixed(2) + " s";
  const clock = (ms) => `${Math.floor(ms / 60000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;

  // One bar in parts, all answers of a call in the same scale.
  function picture(timeline, longest) {
    const parts = stages.map((s, i) => ({ ...s, i, took: Math.max(0, s.ms(timeline)) }));
    const words = parts.filter((p) => p.took > 0).map((p) => `${p.name} ${Math.round(p.took)} ms`).join(", ");
    const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none", "aria-label": `waited ${seconds(timeline.gap_ms)}: ${words}` });
    const title = drawn("title", {});
    title.textContent = words;
    svg.append(title);
    let x = 0;
    for (const part of parts) {
      const width = part.took / longest * WIDTH;
      if (width > 0) svg.append(drawn("rect", { x: x.toFixed(2), y: 1, width: Math.max(width, 1).toFixed(2), height: HEIGHT - 2, class: "stage-" + part.i }));
      x += width;
    }
    return svg;
  }

  function said(one, longest) {
    const item = node("li", "said " + one.speaker);
    const head = node("p", "by");
    head.append(node("b", "", who[one.speaker] || one.speaker), " ", node("time", "", one.beganMs === undefined ? "" : clock(one.beganMs)));
    if (one.sentiment && one.sentiment !== "neutral") head.append(" ", node("span", "mood-" + one.sentiment, one.sentiment));
    item.append(head, node("p", "words", one.text));
    if (one.interrupted) item.append(node("p", "note", "The caller spoke over it; this much was heard."));
    const timeline = one.timeline;
    if (timeline && timeline.gap_ms > 0) {
      const waited = node("p", "wait");
      waited.append(picture(timeline, longest), " ", node("span", "", seconds(timeline.gap_ms)));
      item.append(waited);
    }
    if (timeline && timeline.barge_in_ms > 0) item.append(node("p", "note", `Silent ${Math.round(timeline.barge_in_ms)} ms after the caller began to speak.`));
    return item;
  }

  // null: nothing is known yet.
  function show(utterances) {
    const list = document.getElementById("talk"), legend = document.getElementById("talk-stages");
    const longest = Math.max(1, ...(utterances || []).map((one) => (one.timeline && one.timeline.gap_ms) || 0));
    list.replaceChildren(...(utterances || []).map((one) => said(one, longest)));
    document.getElementById("talk-none").hidden = !utterances || utterances.length > 0;
    legend.hidden = longest === 1;
    legend.replaceChildren("From the end of the caller's speech: ", ...stages.flatMap((s, i) => {
      const mark = drawn("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" });
      mark.append(drawn("rect", { x: 0, y: 0, width: 10, height: 10, class: "stage-" + i }));
      const entry = node("span", "", s.name);
      entry.prepend(mark);
      return [entry, " "];
    }));
  }

  return { show };
})();
