// SPDX-License-Identifier: Apache-2.0
// A picture of days beside each other: for each a pair of bars, the left one what half of all is not above, the right one what 99 of 100 are not,
// each of parts one above the other. A day may be chosen, by pointer or by keys.
"use strict";

const Days = (() => {
  const SVG = "http://www.w3.org/2000/svg", LEFT = 54, BOTTOM = 22, TOP = 8;

  const drawn = (name, attributes, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const dayName = (day, parts) => new Date(day + "T00:00:00Z").toLocaleDateString([], { timeZone: "UTC", ...parts });

  // Lines at round figures, three or four of them.
  function stepOf(most) {
    const size = 10 ** Math.floor(Math.log10(most / 3));
    return [1, 2, 5, 10].map((n) => n * size).find((step) => most / step <= 4);
  }

  function bar(x, width, parts, height, name) {
    const group = drawn("g", { class: name });
    let y = height.zero;
    for (const part of parts) {
      const tall = part.ms * height.scale;
      if (tall > 0) group.append(drawn("rect", { x: x.toFixed(1), y: (y - tall).toFixed(1), width: width.toFixed(1), height: tall.toFixed(1), class: part.name }));
      y -= tall;
    }
    return group;
  }

  function axis(svg, width, most, height, shown, limit) {
    const step = stepOf(most);
    for (let ms = 0; ms <= most; ms += step) {
      const y = height.zero - ms * height.scale;
      svg.append(drawn("line", { x1: LEFT, x2: width, y1: y, y2: y, class: "line" }), drawn("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, shown(ms)));
    }
    if (limit && limit < most) {
      const y = height.zero - limit * height.scale;
      svg.append(drawn("line", { x1: LEFT, x2: width, y1: y, y2: y, class: "limit" }));
    }
  }

  // One stop for the tabulator; arrows, Home and End move between the days.
  function keys(svg, e) {
    const days = [...svg.querySelectorAll(".day")], at = days.indexOf(e.target.closest(".day"));
    if (at < 0) return;
    if (e.key === "Enter" || e.key === " ") {
      e.preventDefault();
      days[at].dispatchEvent(new MouseEvent("click", { bubbles: true }));
      return;
    }
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: days.length - 1 }[e.key];
    if (to === undefined || !days[to]) return;
    e.preventDefault();
    for (const day of days) day.setAttribute("tabindex", day === days[to] ? 0 : -1);
    days[to].focus();
  }

  // days: list of { day, label, bars: [parts, parts] | null } with parts a list of { name of a class, ms }; shown(ms) -> text at the axis; limit: a
  // line in ms, or none; chosen: a day; choose(day) or none: then the days are no buttons.
  function draw(svg, { days, shown, limit, chosen, choose }) {
    const width = svg.clientWidth, whole = svg.clientHeight;
    const focused = svg.contains(document.activeElement) ? document.activeElement.dataset.day : null;
    svg.replaceChildren();
    if (!width) return;  // it is not shown; whoever shows it draws again
    const highest = Math.max(...days.flatMap((day) => (day.bars || []).map((parts) => parts.reduce((sum, part) => sum + part.ms, 0))), 1);
    const most = highest * 1.08, height = { zero: whole - BOTTOM, scale: (whole - BOTTOM - TOP) / most };
    svg.setAttribute("viewBox", `0 0 ${width} ${whole}`);
    axis(svg, width, most, height, shown, limit);
    const column = (width - LEFT) / days.length, wide = Math.min(28, column * 0.38);
    const apart = Math.ceil(62 / column);
    const stop = days.find((day) => day.day === (focused || chosen)) || days[days.length - 1];
    days.forEach((day, i) => {
      const x = LEFT + column * i, group = drawn("g", { class: "day" });
      group.append(drawn("title", {}, day.label), drawn("rect", { x: x.toFixed(1), y: 0, width: column.toFixed(1), height: whole, class: "column" }));
      group.dataset.day = day.day;
      if (day.bars) group.append(bar(x + column / 2 - wide - 0.5, wide, day.bars[0], height, "half"), bar(x + column / 2 + 0.5, wide, day.bars[1], height, "most"));
      if (choose) {
        for (const [key, value] of Object.entries({ role: "button", tabindex: day === stop ? 0 : -1, "aria-label": day.label, "aria-pressed": day.day === chosen })) group.setAttribute(key, value);
        group.addEventListener("click", () => choose(day.day, group));
      }
      svg.append(group);
    });
    days.forEach((day, i) => {
      const middle = LEFT + column * (i + 0.5);
      if ((days.length - 1 - i) % apart === 0) {
        svg.append(drawn("text", { x: Math.min(middle, width - 20), y: whole - 6, "text-anchor": "middle" }, dayName(day.day, { day: "numeric", month: "short" })));
      }
    });
    if (focused) svg.querySelector(`[data-day="${focused}"]`)?.focus();
    if (choose) svg.onkeydown = (e) => keys(svg, e);
  }

  return { draw, dayName };
})();
