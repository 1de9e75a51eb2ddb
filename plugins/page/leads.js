// SPDX-License-Identifier: Apache-2.0
// The list of leads. From a lead one comes to the calls of its number.
"use strict";

function changeLead(row, lead) {
  const shown = [lead.name, lead.phone, lead.score, lead.status, lead.source], calls = row.querySelector("button");
  shown.forEach((text, i) => fill(row.cells[i], text));
  calls.hidden = !lead.phone;
  calls.dataset.phone = lead.phone || "";
  calls.setAttribute("aria-label", `Find the calls of ${lead.name || lead.phone}`);
}

const leads = pagedList("leads", {
  nothing: "No lead yet. Calls, forms and imports make them.",
  nothingFound: "No lead has this name, number or e-mail. Words of a name and numbers have to be whole.",
  async fetchPage(words, cursor) {
    const page = await api("GET", "/leads?limit=20" + (words ? "&q=" + encodeURIComponent(words) : "") + (cursor ? "&cursor=" + encodeURIComponent(cursor) : ""));
    return { entries: page.leads, next: page.next };
  },
  show(list, next) {
    keepRows($("leads"), list, (lead) => lead.id, (row, lead) => {
      cell(row, "", "Name", "long");
      cell(row, "", "Phone", "number");
      cell(row, "", "Score", "number");
      cell(row, "", "Status");
      cell(row, "", "Source");
      timeCell(row, lead.createdAt, "Created");
      const act = row.insertCell();
      act.className = "act";
      act.append(button("Calls", null, (made) => recent.find(made.dataset.phone)));
      changeLead(row, lead);
    }, changeLead);
    $("leads-count").textContent = list.length + (next ? "+" : "");
    $("leads-count").title = next ? "There are more than these" : "";
  },
});
