// SPDX-License-Identifier: Apache-2.0
// Tables and lists that change while somebody uses them: a row that stays is the same element, so that what has the focus keeps it and nothing jumps.
"use strict";

function cell(row, text, label, name) {
  const td = row.insertCell();
  td.dataset.label = label;
  td.append(document.createElement("bdi"));  // a name from right to left turns neither its label nor its neighbours
  if (name) td.className = name;
  fill(td, text);
  return td;
}

function fill(td, text) {
  const shown = text === null || text === undefined || text === "" ? "–" : String(text);
  if (td.firstChild.textContent !== shown) td.firstChild.textContent = shown;
}

function timeCell(row, text, label) {
  const td = cell(row, Words.moment(text), label, "number");
  td.title = Words.exactly(text);
  return td;
}

// Puts the elements of a list in order below parent, by their key; those of no entry go. make(entry) -> element, change(element, entry).
function keep(parent, list, key, make, change) {
  const old = new Map([...parent.children].map((element) => [element.dataset.key, element]));
  let place = parent.firstElementChild;
  const kept = new Set(list.map((entry) => String(key(entry))));
  for (const entry of list) {
    const name = String(key(entry));
    let element = old.get(name);
    while (place && place !== element && !kept.has(place.dataset.key)) {
      const gone = place;
      place = place.nextElementSibling;
      gone.remove();
    }
    if (element) {
      change(element, entry);
    } else {
      element = make(entry);
      element.dataset.key = name;
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  while (place) {
    const gone = place;
    place = place.nextElementSibling;
    gone.remove();
  }
}

// The row that has the focus may go: then its table's title has it, and the next key does not begin at the top of the page.
function keepRows(table, list, key, make, change) {
  const had = table.contains(document.activeElement);
  keep(table.tBodies[0], list, key, (entry) => {
    const row = document.createElement("tr");
    make(row, entry);
    return row;
  }, change);
  if (had && !table.contains(document.activeElement)) $(table.id + "-title").focus({ preventScroll: true });
}

// A box that scrolls is one stop for the tabulator: from it arrows, Home and End move between what can be pressed in its items (pressed: a selector), beginning
// with what is in view. The box is positioned, its items are li, and what can be pressed has tabIndex -1.
function oneStop(box, pressed) {
  box.addEventListener("keydown", (e) => {
    const all = [...box.querySelectorAll(pressed)], at = all.indexOf(document.activeElement);
    const seen = all.findIndex((one) => one.closest("li").offsetTop + one.closest("li").offsetHeight > box.scrollTop);
    const back = at < 0 ? seen : at - 1, on = at < 0 ? seen : at + 1;
    const to = all[{ ArrowUp: back, ArrowLeft: back, ArrowDown: on, ArrowRight: on, Home: 0, End: all.length - 1 }[e.key]];
    if (!to) return;
    e.preventDefault();
    to.focus();
  });
}
