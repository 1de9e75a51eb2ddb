// SPDX-License-Identifier: Apache-2.0
// A list that comes by pages, newest first: what is new is fetched with the first page, what is older when it is asked for.
"use strict";

const SOON_MS = 150, TYPED_MS = 300;

// name: what the ids of its elements begin with: -find, -none, -problem, -again, -more. fetchPage(words, cursor) -> { entries, next }; show(entries, next).
function pagedList(name, { nothing, nothingFound, fetchPage, show }) {
  let entries = [], next = null, timer = null, asked = 0, foundBy = null;

  const words = () => $(name + "-find").value.trim();

  function draw() {
    show(entries, next);
    $(name).hidden = entries.length === 0;
    $(name + "-none").hidden = entries.length > 0;
    $(name + "-none").textContent = foundBy === null ? "Loading …" : foundBy ? nothingFound : nothing;
    $(name + "-more").hidden = !next;
  }

  function trouble(problem) {
    $(name + "-problem").hidden = !problem;
    $(name + "-problem").firstElementChild.textContent = problem ? problem.message : "";
    if (problem && foundBy === null) $(name + "-none").hidden = true;
  }

  async function fetchFirst() {
    timer = null;
    const mine = ++asked, by = words();
    let page;
    try {
      page = await fetchPage(by, null);
    } catch (e) {
      if (mine === asked) trouble(e);
      return;
    }
    if (mine !== asked) return;
    const ids = new Set(page.entries.map((one) => one.id));
    const last = by === foundBy && page.next ? entries.findLastIndex((one) => ids.has(one.id)) : -1;
    const older = last < 0 ? [] : entries.slice(last + 1);  // without a gap behind the first page
    entries = [...page.entries, ...older];
    if (older.length === 0) next = page.next;
    foundBy = by;
    trouble(null);
    draw();
  }

  async function more() {
    const cursor = next;
    $(name + "-more").disabled = true;
    try {
      const page = await fetchPage(foundBy, cursor);
      if (next !== cursor) return;
      entries = [...entries, ...page.entries];
      next = page.next;
      trouble(null);
      draw();
    } catch (e) {
      if (next === cursor) trouble(e);
    } finally { $(name + "-more").disabled = false; }
  }

  $(name + "-more").addEventListener("click", more);
  $(name + "-again").addEventListener("click", fetchFirst);
  $(name + "-find").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(fetchFirst, TYPED_MS);
  });
  draw();

  return {
    // As if somebody had typed it, and looked there.
    find(text) {
      $(name + "-find").value = text;
      $(name + "-title").scrollIntoView({ block: "start" });
      $(name + "-find").focus({ preventScroll: true });
      clearTimeout(timer);
      return fetchFirst();
    },
    load() { timer = timer || setTimeout(fetchFirst, SOON_MS); },
    clear() {
      clearTimeout(timer);
      asked++;
      [entries, next, timer, foundBy] = [[], null, null, null];
      $(name + "-find").value = "";
      trouble(null);
      draw();
    },
  };
}
