// SPDX-License-Identifier: Apache-2.0
// The script reference: /scripts/reference?format=json as a page with search, contents and examples to copy.
"use strict";

const $ = (id) => document.getElementById(id);

// Elements from name, attributes and children; a text child is text and never markup.
function el(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// What stands between ` and ` is code.
function prose(text) {
  return text.split("`").map((part, i) => (i % 2 ? el("code", null, part) : part)).filter((part) => part !== "");
}

const KEYWORDS = new Set("and break do else elseif end false for function if in local nil not or repeat return then true until while".split(" "));
const TOKENS = /(--[^\n]*)|("(?:\\.|[^"\\\n])*")|(:)([a-z_]+)|([A-Za-z_]\w*)|([^A-Za-z_"\-:]+|[\s\S])/g;

function lua(text) {
  const code = el("code");
  for (const [whole, comment, string, colon, verb, word] of text.matchAll(TOKENS)) {
    if (comment) code.append(el("span", { class: "comment" }, comment));
    else if (string) code.append(el("span", { class: "text" }, string));
    else if (colon) code.append(colon, el("span", { class: "verb" }, verb));
    else if (word && KEYWORDS.has(word)) code.append(el("span", { class: "keyword" }, word));
    else code.append(whole);
  }
  return code;
}

async function copy(text, pre) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { /* not permitted here: the older way */ }
  }
  const range = document.createRange();
  range.selectNodeContents(pre);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  return document.execCommand("copy");
}

function example(text, file, label) {
  const pre = el("pre", { tabindex: "0", role: "region", "aria-label": label }, lua(text.replace(/\n$/, "")));
  const button = el("button", { type: "button", "aria-label": "Copy " + label }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text, pre)) ? "Copied" : "Press Ctrl+C";
    $("found").textContent = button.textContent === "Copied" ? "The example is in the clipboard." : "The example is selected.";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return el("div", { class: "code" }, el("div", { class: "file" }, el("span", null, file), button), pre);
}

function table(head, rows) {
  return el("table", null,
    el("thead", null, el("tr", null, head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", null, rows.map((row) => el("tr", null, row.map((text, i) => el("td", { "data-label": head[i] }, text === "" ? "–" : prose(text)))))));
}

const tick = (text) => "`" + text + "`";

function fieldTable(fields, defaults) {
  return table(["field", "form", ...(defaults ? ["default"] : []), "meaning"], fields.map((field) => [
    tick(field.name), field.form, ...(defaults ? [field.default === undefined ? "" : tick(JSON.stringify(field.default))] : []),
    field.doc + (field.permission ? ` (needs the permission ${tick(field.permission)})` : "")]));
}

const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function params(verb) {
  return verb.params.flatMap((param) => [
    el("p", null, el("code", null, param.name), `: ${param.form}${param.optional ? ", may be left out" : ""}. `, prose(upper(param.doc) + ". " + (param.keys || ""))),
    param.fields && param.fields.length ? fieldTable(param.fields, true) : null]);
}

function duration(seconds) {
  return seconds >= 7200 ? `${seconds / 3600} h` : seconds > 600 ? `${Math.round(seconds / 60)} min` : `${seconds} s`;
}

function article(verb) {
  const facts = [["After a crash", `${verb.resume}. ${verb.resume_doc}`], ["Takes at most", duration(verb.timeout)], ["Quota", String(verb.cost)]];
  if (verb.permission) facts.push(["Permission", verb.permission]);
  if (verb.sound) facts.push(["Ringing calls", "answered first"]);
  const name = "verb-" + verb.name;
  return el("article", { id: name, "aria-labelledby": name + "-title" },
    el("h3", { id: name + "-title" }, el("a", { href: "#" + name }, el("code", null, verb.signature))),
    el("p", null, prose(verb.doc)),
    example(verb.example, "flows/main.lua", "the example of " + verb.name),
    verb.params.length ? el("h4", null, "Arguments") : null, params(verb),
    el("h4", null, "Result"),
    el("p", null, verb.result.type === "never" ? `Does not return: ${verb.result.doc}.` : `${upper(verb.result.form)}: ${verb.result.doc}.`),
    verb.result.fields ? fieldTable(verb.result.fields, false) : null,
    verb.always ? null : el("p", null, "Or ", el("code", null, "nil, err"), verb.errors.length ? " with one of these codes, or of " : " with one of ", el("a", { href: "#section-errors" }, "those of every verb"), "."),
    verb.errors.length ? table(["err.code", "meaning", "what to do"], verb.errors.map((e) => [tick(e.code), e.doc, e.remedy])) : null,
    el("dl", { class: "facts" }, facts.map(([dt, dd]) => el("div", null, el("dt", null, dt), el("dd", null, dd)))));
}

function heading(id, title) {
  return el("h2", { id: id + "-title" }, el("a", { href: "#" + id }, title));
}

function section(given) {
  const id = "section-" + given.id;
  return el("section", { id, "aria-labelledby": id + "-title", "data-part": "" }, heading(id, given.title), given.blocks.map((block) =>
    block.text ? el("p", null, prose(block.text)) : block.code ? example(block.code, block.file, `the example of ${given.title}`) : table(block.head, block.rows)));
}

function group(given) {
  const id = "group-" + given.id;
  return el("section", { id, "aria-labelledby": id + "-title" }, heading(id, given.title), el("p", null, given.doc), given.verbs.map(article));
}

function links(title, entries) {
  return [el("h2", null, title), el("ul", null, entries.map(([id, text]) => el("li", { "data-for": id }, el("a", { href: "#" + id }, text))))];
}

let parts = [];  // what the search finds: { element, words, entry in the contents }

function search() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const part of parts) {
    const found = words.every((word) => part.words.includes(word));
    part.element.hidden = part.entry.hidden = !found;
    if (found) count += 1;
  }
  for (const whole of document.querySelectorAll("main > section:not([data-part])")) whole.hidden = ![...whole.querySelectorAll("article")].some((one) => !one.hidden);
  for (const list of document.querySelectorAll("#list ul")) list.hidden = list.previousSibling.hidden = ![...list.children].some((one) => !one.hidden);
  $("found").textContent = words.length === 0 ? "" : count === 0 ? "Nothing has all of these words." : `${count} of ${parts.length} entries`;
}

function show(whole) {
  const before = [...whole.before, {
    id: "call", title: "The call object",
    blocks: [{ head: ["field", "form", "meaning"], rows: whole.properties.map((p) => [tick("call." + p.name), p.form + (p.optional ? " or nil" : ""), p.doc]) }],
  }];
  $("content").append(...before.map(section), ...whole.groups.map(group), ...[...whole.hooks, ...whole.behind].map(section));
  const named = (list) => list.map((one) => ["section-" + one.id, one.title]);
  $("list").append(...links("Basics", named(before)), ...whole.groups.flatMap((one) => links(one.title, one.verbs.map((verb) => ["verb-" + verb.name, verb.name]))),
    ...links("Hooks", named(whole.hooks)), ...links("More", named(whole.behind)));
  parts = [...document.querySelectorAll("article, [data-part]")].map((element) => ({
    element, words: element.textContent.toLowerCase(), entry: document.querySelector(`[data-for="${element.id}"]`) }));
  $("content").removeAttribute("aria-busy");
  if (location.hash) $(location.hash.slice(1))?.scrollIntoView();
}

const wide = matchMedia("(min-width: 60.01rem)");
const open = () => { $("contents").open = wide.matches; };
wide.addEventListener("change", open);
open();

$("search").addEventListener("input", search);
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    $("search").focus();
  } else if (event.key === "Escape" && typing) {
    $("search").value = "";
    search();
  }
});

fetch("/scripts/reference?format=json").then(async (answer) => {
  if (!answer.ok) throw new Error((await answer.json().catch(() => null))?.detail || "The server did not answer as expected.");
  show(await answer.json());
}).catch((error) => {
  $("content").removeAttribute("aria-busy");
  $("problem").textContent = `The reference could not be loaded. ${error.message} Load the page again.`;
});
