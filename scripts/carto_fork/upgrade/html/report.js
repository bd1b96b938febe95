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
const texts = new Map();
const textOf = (item) => {
  if (!texts.has(item)) {
    const inside = item.querySelector("template");
    texts.set(item, `${item.textContent} ${inside ? inside.content.textContent : ""}`.toLowerCase());
  }
  return texts.get(item);
};
const visible = () => items.filter((item) => !item.hidden);
const filter = () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean)
    .map((word) => /^[0-9a-f]{11,}$/.test(word) ? word.slice(0, 10) : word); // as commits are shown
  for (const item of items) {
    const fits = !fate.value || item.dataset.fate === fate.value;
    item.hidden = !fits || !words.every((word) => textOf(item).includes(word));
  }
  shown.textContent = `${visible().length} of ${items.length} shown`;
};
const tick = (item, on) => {
  item.classList.toggle("ticked", on);
  item.querySelector("input").checked = on;
  if (on) seen.add(item.id); else seen.delete(item.id);
  try { localStorage.setItem(key, JSON.stringify([...seen])); } catch { /* until it is closed */ }
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
document.getElementById("fold").addEventListener("click", () => {
  const open = !visible().some((item) => item.querySelector("details").open);
  for (const item of visible()) item.querySelector("details").open = open;
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
  shown.textContent = `copied: ${line}`;
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
    o: () => { if (item) item.querySelector("details").open ^= true; },
    x: () => { if (item) tick(item, !seen.has(item.id)); } }[event.key];
  if (does) { event.preventDefault(); does(); }
});
addEventListener("beforeprint", () => {
  for (const item of visible()) { const it = item.querySelector("details"); fill(it); it.open = true; }
});
filter();
