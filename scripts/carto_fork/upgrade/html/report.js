"use strict";
const items = [...document.querySelectorAll(".item")];
const search = document.getElementById("filter"), fate = document.getElementById("fate");
const shown = document.getElementById("shown"), key = document.body.dataset.key;
let seen = new Set();
try { seen = new Set(JSON.parse(localStorage.getItem(key) || "[]")); } catch { /* nothing is kept */ }

// What is inside is made when it is opened: a page of thousands of hunks stays quick.
const fill = (details) => {
  const inside = details.querySelector(":scope > template");
  if (inside) inside.replaceWith(inside.content.cloneNode(true));
};
const open = (item, on = true) => {
  const details = item.querySelector("details");
  if (on) fill(details);
  details.open = on;
};
const texts = new Map();
const textOf = (item) => {
  if (!texts.has(item)) {
    const inside = item.querySelector("template");
    texts.set(item, `${item.textContent} ${inside ? inside.content.textContent : ""}`.toLowerCase());
  }
  return texts.get(item);
};
const rest = document.querySelector("details.rest");
const reached = (item) => !item.hidden && !item.closest("details.rest:not([open])");
const visible = () => items.filter(reached);
const count = () => {
  const left = items.filter((item) => !item.hidden).length;
  shown.textContent = left ? `${left} of ${items.length} shown, ${seen.size} ticked` : "nothing has this";
};
const filter = () => {
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
  item.classList.toggle("ticked", on);
  item.querySelector("input").checked = on;
  if (on) open(item, false);
  if (on) seen.add(item.id); else seen.delete(item.id);
  try { localStorage.setItem(key, JSON.stringify([...seen])); } catch { /* until it is closed */ }
  count();
};
for (const item of items) {
  item.querySelector("details").addEventListener("toggle", (event) => fill(event.target));
  item.querySelector("input").addEventListener("change", (event) => tick(item, event.target.checked));
  if (seen.has(item.id)) tick(item, true);
}
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
  if (rest) rest.open = true;
  for (const item of visible()) open(item);
});
filter();
if (location.hash) follow();
