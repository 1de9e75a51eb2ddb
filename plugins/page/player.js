// SPDX-License-Identifier: Apache-2.0
// A call's recordings: heard here, one party or both, beside what was said; or downloaded. The sound is fetched once, when it is asked for.
"use strict";

const Player = (() => {
  const parties = [["both", "Both"], ["caller", "Caller"], ["ours", "Our side"]];  // left is the caller, right is we
  let shown = "", playing = null, showing = 0;

  const made = (name, fields, ...children) => {
    const element = Object.assign(document.createElement(name), fields);
    element.append(...children);
    return element;
  };
  const kindOf = (one) => (one.kind === "message" ? "Message" : "Recording");

  function stop() {
    if (!playing) return;
    playing.audio.pause();
    playing.audio.removeAttribute("src");
    URL.revokeObjectURL(playing.url);
    if (playing.context) playing.context.close();
    playing = null;
    Talk.at(null);
  }

  // Each party is one channel; it is given to both ears.
  function chooser(audio) {
    const context = new AudioContext();
    const split = context.createChannelSplitter(2), gains = [context.createGain(), context.createGain()];
    context.createMediaElementSource(audio).connect(split);
    gains.forEach((gain, i) => split.connect(gain, i).connect(context.destination));
    audio.addEventListener("play", () => context.resume());
    const group = made("fieldset", { className: "parties" }, made("legend", { className: "quiet", textContent: "Who is heard" }));
    for (const [value, text] of parties) {
      const radio = made("input", { type: "radio", name: "party", value, checked: value === "both" });
      radio.addEventListener("change", () => {
        gains[0].gain.value = value === "ours" ? 0 : 1;
        gains[1].gain.value = value === "caller" ? 0 : 1;
      });
      group.append(made("label", {}, radio, " " + text));
    }
    return { context, group };
  }

  // A link alone saves nothing, and says nothing, where the server refuses: too many at a time, or a recording that is damaged.
  async function save(link, problem) {
    if (link.hasAttribute("aria-busy")) return;
    link.setAttribute("aria-busy", "true");
    problem.textContent = "";
    try {
      const url = URL.createObjectURL(await bytesOf(link.href, () => null));
      made("a", { href: url, download: link.download }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    } catch (e) { problem.textContent = e.message; }
    link.removeAttribute("aria-busy");
  }

  // Puts the sound in the place of its button, and begins at that second.
  async function open(entry, at) {
    const { one, item, play, problem } = entry;
    const mine = showing;
    entry.at = at;
    if (play.disabled) return;  // it is being fetched
    stop();
    play.disabled = true;
    play.textContent = "Loading …";
    problem.textContent = "";
    let sound;
    try {
      sound = await bytesOf(`/recordings/${encodeURIComponent(one.id)}?format=mp3`, (size) => { play.textContent = `Loading … ${(size / 1e6).toFixed(1)} MB`; });
    } catch (e) { problem.textContent = e.message; }
    play.disabled = false;
    play.textContent = "Play";
    if (!sound || mine !== showing) return;
    stop();  // what another press has opened meanwhile
    for (const old of document.querySelectorAll("#recordings audio, #recordings .parties")) old.remove();
    for (const other of document.querySelectorAll("#recordings .play")) other.hidden = false;
    const url = URL.createObjectURL(sound);
    const audio = made("audio", { controls: true, src: url });
    audio.setAttribute("aria-label", `${kindOf(one)} of ${Words.length(one.seconds)}`);
    const choice = one.kind === "message" ? null : chooser(audio);
    playing = { id: one.id, audio, url, context: choice && choice.context };
    audio.addEventListener("timeupdate", () => { if (playing && playing.audio === audio && !audio.ended) Talk.at(audio.currentTime - entry.lead); });
    audio.addEventListener("ended", () => Talk.at(null));
    play.hidden = true;
    item.insertBefore(audio, play);
    if (choice) item.insertBefore(choice.group, play);
    audio.currentTime = Math.max(0, entry.at);
    audio.play().catch(() => null);
    audio.focus();
  }

  let entries = [];

  function itemOf(about, one) {
    const length = Words.length(one.seconds), kind = kindOf(one);
    const play = made("button", { type: "button", className: "play", textContent: "Play" });
    play.setAttribute("aria-label", `Play ${kind.toLowerCase()} of ${length}`);
    const problem = made("p", { className: "problem" });
    problem.setAttribute("role", "alert");
    const item = made("li", {}, made("span", { textContent: `${kind}, ${length}${one.state === "failed" ? ", not whole" : ""}` }), play);
    for (const format of ["mp3", "wav"]) {
      const link = made("a", { className: "button", href: `/recordings/${encodeURIComponent(one.id)}?format=${format}`, download: `${one.id}.${format}`, textContent: format.toUpperCase() });
      link.setAttribute("aria-label", `Download ${kind.toLowerCase()} of ${length} as ${format.toUpperCase()}`);
      link.addEventListener("click", (event) => { event.preventDefault(); save(link, problem); });
      item.append(link);
    }
    item.append(problem);
    // lead: how many seconds after the call it began
    const entry = { one, item, play, problem, lead: (Date.parse(about.startTime) - Date.parse(one.startTime)) / 1000 };
    play.addEventListener("click", () => open(entry, 0));
    return entry;
  }

  // One that is being written has no sound to be had yet. null: none is known.
  function show(about) {
    const done = about && mayHear ? about.recordings.filter((one) => ["stored", "failed"].includes(one.state)) : [];
    const mark = done.map((one) => one.id + one.state).join();
    if (mark === shown) return;  // what plays goes on
    shown = mark;
    showing++;
    stop();
    entries = done.map((one) => itemOf(about, one));
    $("recordings").replaceChildren(...entries.map((entry) => entry.item));
    $("recordings").hidden = done.length === 0;
  }

  // -> function(seconds of the call) that plays from there; null when nothing of it can be heard
  function seekOf() {
    const whole = entries.filter((entry) => entry.one.kind === "call");
    if (whole.length === 0) return null;
    return (seconds) => {
      const entry = whole.findLast((one) => seconds + one.lead >= 0) || whole[0];
      const at = Math.max(0, seconds + entry.lead);
      if (!playing || playing.id !== entry.one.id) return open(entry, at);
      playing.audio.currentTime = at;
      return playing.audio.play().catch(() => null);
    };
  }

  return { show, seekOf };
})();
