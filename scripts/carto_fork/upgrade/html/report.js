"use strict";
const items = document.getElementsByClassName("item"); // those that are made, in their order
const search = document.getElementById("filter"), fate = document.getElementById("fate");
const shown = document.getElementById("shown"), key = document.body.dataset.key;
let seen = new Set();
try { seen = new Set(JSON.parse(localStorage.getItem(key) || "[]")); } catch { /* nothing is kept */ }

// What is inside an item is text until it is opened: a page of thousands of hunks stays quick.
const insides = new Map(document.querySelector("script.insides").textContent.split("\f")
  .map((text) => { const end = text.indexOf("\n"); return [text.slice(0, end), text.slice(end + 1)]; }));
const fill = (details) => {
  const inside = insides.get(details.closest(".item").id);
  if (details.childElementCount === 1) details.insertAdjacentHTML("beforeend", inside);
};
const open = (item, on = true) => {
  const details = item.querySelector("details");
  if (on) fill(details);
  details.open = on;
};
const signs = { amp: "&", lt: "<", gt: ">", "#34": '"', "#39": "'" };
const texts = new Map();
const textOf = (item) => {
  if (!texts.has(item)) {
    const inside = insides.get(item.id).replace(/<[^>]*>/g, "").replace(/&([^;]+);/g, (_, sign) => signs[sign]);
    texts.set(item, `${item.querySelector("summary").textContent} ${inside}`.toLowerCase());
  }
  return texts.get(item);
};
// Further rows are made a few at a time while nothing else is to do, or at once if all are needed.
const waiting = [...document.querySelectorAll("script.rows")];
const make = () => {
  const rows = waiting.shift(), box = document.createElement("template");
  box.innerHTML = rows.textContent;
  box.content.querySelectorAll(".item").forEach(mark);
  rows.replaceWith(box.content);
};
const makeAll = () => { while (waiting.length) make(); };
const mark = (item) => {
  item.classList.toggle("ticked", seen.has(item.id));
  item.querySelector("input").checked = seen.has(item.id);
};
const rest = document.querySelector("details.rest");
const reached = (item) => !item.hidden && !item.closest("details.rest:not([open])");
const visible = () => { makeAll(); return [...items].filter(reached); };
const count = () => {
  const left = insides.size - document.querySelectorAll(".item[hidden]").length;
  shown.textContent = left ? `${left} of ${insides.size} shown, ${seen.size} ticked` : "nothing has this";
};
const filter = () => {
  makeAll();
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean)
    .map((word) => /^[0-9a-f]{11,}$/.test(word) ? word.slice(0, 10) : word); // as commits are shown
  for (const item of items) {
    const fits = !fate.value || item.dataset.fate.split("|").includes(fate.value);
    item.hidden = !fits || !words.every((word) => textOf(item).includes(word));
  }
  for (const link of document.querySelectorAll("nav a[data-number]")) {
    const left = document.querySelectorAll(`${link.hash} .item:not([hidden])`).length;
    link.querySelector("span").textContent = `(${left}${left < link.dataset.number ? ` of ${link.dataset.number}` : ""})`;
  }
  if (rest && (fate.value || words.length)) rest.open = true;
  count();
};
const tick = (item, on) => {
  if (on) open(item, false);
  if (on) seen.add(item.id); else seen.delete(item.id);
  mark(item);
  try { localStorage.setItem(key, JSON.stringify([...seen])); } catch { /* until it is closed */ }
  count();
};
document.addEventListener("toggle", (event) => {
  if (event.target.open && event.target.closest(".item")) fill(event.target);
}, true);
document.addEventListener("change", (event) => {
  const item = event.target.closest(".item");
  if (item) tick(item, event.target.checked);
});
search.addEventListener("input", filter);
fate.addEventListener("change", filter);
document.getElementById("unified").addEventListener("change", (event) =>
  document.body.classList.toggle("unified", event.target.checked));
const fold = document.getElementById("fold");
fold.addEventListener("click", () => {
  const on = fold.textContent === "Open all";
  for (const item of visible()) open(item, on);
  fold.textContent = on ? "Fold all" : "Open all";
});
// What a link leads to is opened, whatever the filter hides, and is not behind the tools.
const tools = document.querySelector(".tools");
new ResizeObserver(() => {
  const over = getComputedStyle(tools).position === "sticky" ? tools.offsetHeight : 0;
  document.documentElement.style.scrollPaddingTop = `${over + 8}px`;
}).observe(tools);
const follow = () => {
  if (!document.getElementById(location.hash.slice(1))) makeAll();
  const item = document.getElementById(location.hash.slice(1));
  if (!item) return;
  if (item.hidden) { search.value = fate.value = ""; filter(); }
  if (rest && rest.contains(item)) rest.open = true;
  if (item.matches(".item")) {
    open(item);
    item.querySelector("summary").focus();
  }
  // What comes into view gets its real height only then.
  const go = (again) => { item.scrollIntoView(); if (again) requestAnimationFrame(() => go(again - 1)); };
  go(3);
};
addEventListener("hashchange", follow);
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link && link.hash === location.hash) follow();
});
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const line = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(line);
  } catch {
    const field = document.body.appendChild(document.createElement("textarea"));
    field.value = line;
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  shown.textContent = "copied";
  setTimeout(count, 3000);
});
const move = (step) => {
  const all = visible(), now = all.indexOf(document.activeElement.closest(".item"));
  const next = all[Math.min(Math.max(now + step, 0), all.length - 1)];
  if (next) next.querySelector("summary").focus();
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest("input:not([type=checkbox]), select, textarea");
  if (field) { if (event.key === "Escape") field.blur(); return; }
  const item = event.target.closest(".item");
  const does = { j: () => move(1), k: () => move(-1), "/": () => search.focus(),
    o: () => { if (item) open(item, !item.querySelector("details").open); },
    x: () => { if (item) tick(item, !seen.has(item.id)); } }[event.key];
  if (does) { event.preventDefault(); does(); }
});
addEventListener("beforeprint", () => {
  document.querySelector("details.legend").open = true;
  if (rest) rest.open = true;
  for (const item of visible()) open(item);
});
[...items].forEach(mark);
if (search.value || fate.value) filter(); else count();
if (location.hash) follow();
const makeSome = () => { if (waiting.length) { make(); setTimeout(makeSome); } };
setTimeout(makeSome);
