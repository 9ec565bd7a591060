// The search page: asks POST /search and shows its lists side by side.
"use strict";

const $ = (id) => document.getElementById(id);
const form = $("search"), lists = $("lists"), status = $("status"), refusal = $("refusal");
const fields = form.elements;
const own = (select) => Number(select.selectedOptions[0].dataset.strength);
const state = { picture: null, swapped: false, difference: false, answer: null };
let asking = null, again = false;

// Elements -------------------------------------------------------------------------------------

function element(name, classes, text, attributes = {}) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function number(value) {
  return Math.abs(value) < 10 ? value.toFixed(3) : value.toPrecision(4);
}

function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.01) return "< 0.01 %";
  return `${value < 1 ? value.toPrecision(1) : value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
}

// Settings -------------------------------------------------------------------------------------

function moved() {
  const strength = Number(fields.strength.value), step = Number(fields.strength.step) || 0.05;
  return Math.abs(strength - own(fields.method)) >= step / 2 - 1e-9;
}

function showSettings() {
  const dot = fields.method.value === "dot";
  fields.strength.disabled = dot;
  $("strength-value").textContent = dot ? "0" : moved() ? fields.strength.value : own(fields.method);
  for (const option of fields.also.options) {
    option.disabled = option.value !== "" && option.value === fields.method.value;
  }
  if (fields.also.selectedOptions[0].disabled) fields.also.value = "";
  $("swap").setAttribute("aria-pressed", state.swapped);
  $("difference").setAttribute("aria-pressed", state.difference);
  lists.classList.toggle("difference", state.difference);
}

function keepInAddress() {
  const kept = new URLSearchParams();
  const words = fields.query.value.trim();
  if (words && !state.picture) kept.set("q", words);
  kept.set("method", fields.method.value);
  if (fields.method.value !== "dot" && moved()) kept.set("strength", fields.strength.value);
  if (fields.also.value) kept.set("also", fields.also.value);
  if (fields.k.value !== "12") kept.set("k", fields.k.value);
  if (state.swapped) kept.set("swap", "1");
  if (state.difference) kept.set("diff", "1");
  history.replaceState(null, "", `?${kept}`);
}

function choose(select, value) {
  if (value !== null && [...select.options].some((option) => option.value === value)) {
    select.value = value;
  }
}

function readAddress() {
  const kept = new URLSearchParams(location.search);
  choose(fields.method, kept.get("method"));
  fields.strength.value = own(fields.method);
  const strength = Number(kept.get("strength"));
  if (kept.has("strength") && Number.isFinite(strength)) fields.strength.value = strength;
  choose(fields.also, kept.get("also"));
  choose(fields.k, kept.get("k"));
  state.swapped = kept.get("swap") === "1";
  state.difference = kept.get("diff") === "1";
  fields.query.value = kept.get("q") || "";
}

// Searching ------------------------------------------------------------------------------------

function asked() {
  const body = { k: Number(fields.k.value), method: fields.method.value };
  if (body.method !== "dot" && moved()) body.strength = Number(fields.strength.value);
  if (fields.also.value) body.also = { method: fields.also.value };
  if (state.picture) body.picture = state.picture;
  else body.query = fields.query.value.trim();
  return body;
}

async function post(path, body, headers = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  let found = {};
  try { found = text ? JSON.parse(text) : {}; } catch { found = { error: `HTTP ${answer.status}` }; }
  return { status: answer.status, ok: answer.ok, found };
}

function refuse(line) {
  refusal.textContent = line;
  refusal.hidden = !line;
}

async function search() {
  showSettings();
  if (!state.picture && !fields.query.value.trim()) return;
  keepInAddress();
  // One request at a time: the slider asks for its last place once the answer is there.
  if (asking) { again = true; return; }
  asking = true;
  try {
    do {
      again = false;
      const answer = await post("/search", asked());
      if (answer.status === 401) { $("door").hidden = false; $("token").focus(); return; }
      if (!answer.ok) { refuse(answer.found.error || `HTTP ${answer.status}`); continue; }
      refuse("");
      state.answer = answer.found;
      show();
    } while (again);
  } catch {
    refuse("The service does not answer; is it still running?");
  } finally {
    asking = null;
  }
}

// Lists ----------------------------------------------------------------------------------------

function title(list) {
  return list.method === "dot" ? "dot product" : `${list.method}, strength ${Number(list.strength.toFixed(3))}`;
}

function changeOf(result, first, sole) {
  if (sole) return null;
  if (first) {
    if (result.change === "gone") return element("span", "change down", "gone", { title: "not among these of the next list" });
    if (result.change === "=") return element("span", "change", "=", { title: "the same place in the next list" });
    return element("span", `change ${result.move > 0 ? "up" : "down"}`, `→ ${result.ranks[1]}`, { title: "its place in the next list" });
  }
  const was = result.ranks[0] === null ? "far down by the dot product" : `was ${result.ranks[0]} by the dot product`;
  const kind = result.change === "=" ? "" : result.change === "new" || result.move > 0 ? "up" : "down";
  return element("span", `change ${kind}`, result.change, { title: was });
}

function badges(result, list) {
  const made = [element("span", "badge", number(result.score), { title: list.score })];
  if (result.probability !== undefined) {
    made.push(element("span", "badge sure", `P ${percent(result.probability)}`, { title: "probability of a match" }));
  } else if (result.false_alarm_rate !== undefined) {
    made.push(element("span", "badge sure", `alarm ${percent(result.false_alarm_rate)}`, { title: "false-alarm rate: share of non-matching pairs that score as high" }));
  }
  return made;
}

function card(result, list, first, sole) {
  const same = result.change === "=" && !sole;
  const made = element("li", `card${same ? " same" : ""}${result.below ? " below" : ""}`);
  made.tabIndex = -1;
  made.dataset.id = String(result.id);
  const words = result.caption || result.name;
  if (result.thumbnail) {
    const image = element("img", "", undefined, { src: result.thumbnail, alt: words, loading: "lazy" });
    image.addEventListener("error", () => image.replaceWith(element("span", "words", words)), { once: true });
    made.append(image);
  } else {
    made.append(element("div", "words", words));
  }
  const facts = element("p", "facts");
  facts.append(element("span", "rank", String(result.rank)), " ");
  const change = changeOf(result, first, sole);
  if (change) facts.append(change, " ");
  for (const badge of badges(result, list)) facts.append(badge, " ");
  if (result.thumbnail) facts.append(element("span", "name", words));
  for (const [key, value] of Object.entries(result.fields || {})) facts.append(element("span", "name", `${key}: ${value}`));
  made.append(facts);
  return made;
}

function column(list, first, sole) {
  const made = element("section", "", undefined, { "aria-label": title(list) });
  made.append(element("h2", "", title(list)), element("p", "note", list.score));
  const cards = element("ol", "cards");
  let under = false;
  for (const result of list.results) {
    if (result.below && !under) {
      under = true;
      cards.append(element("li", "threshold", "below this: none of these"));
    }
    cards.append(card(result, list, first, sole));
  }
  if (!list.results.length) cards.append(element("li", "note", "nothing found"));
  made.append(cards);
  return made;
}

function show() {
  const { lists: found, notes } = state.answer;
  const at = document.activeElement && document.activeElement.closest ? document.activeElement.closest(".card") : null;
  const columns = found.map((list, place) => column(list, place === 0, found.length === 1));
  if (state.swapped && columns.length > 1) [columns[0], columns[1]] = [columns[1], columns[0]];
  $("start").hidden = true;
  lists.dataset.count = columns.length;
  lists.replaceChildren(...columns);
  const cards = allCards();
  if (cards.length) cards[0].tabIndex = 0;
  const same = at && cards.find((each) => each.dataset.id === at.dataset.id);
  if (same) same.focus({ preventScroll: true });
  const parts = [];
  if (found.length > 1) {
    const changes = found[1].results.map((result) => result.change);
    const fresh = changes.filter((change) => change === "new").length;
    const kept = changes.filter((change) => change === "=").length;
    parts.push(`${title(found[1])}: ${fresh} new, ${changes.length - fresh - kept} moved, ${kept} as before`);
  }
  if (state.answer.statistics && state.answer.statistics.source === "learned") {
    parts.push(`statistics learned from queries, version ${state.answer.statistics.version}`);
  }
  status.textContent = [...parts, ...notes].join(". ");
}

const allCards = () => [...lists.querySelectorAll(".card")];

function link(id) {
  for (const each of allCards()) each.classList.toggle("linked", id !== null && each.dataset.id === id);
}

// The nearest card in a direction, by where cards lie on the screen.
function neighbour(from, key) {
  const box = from.getBoundingClientRect();
  const middle = (b) => [b.left + b.width / 2, b.top + b.height / 2];
  const [x, y] = middle(box);
  let best = null, least = Infinity;
  for (const each of allCards()) {
    if (each === from) continue;
    const other = each.getBoundingClientRect();
    if (!other.height) continue;
    const [u, v] = middle(other);
    const along = { ArrowRight: u - x, ArrowLeft: x - u, ArrowDown: v - y, ArrowUp: y - v }[key];
    const across = key === "ArrowRight" || key === "ArrowLeft" ? Math.abs(v - y) : Math.abs(u - x);
    if (along <= 4) continue;
    const distance = along + 3 * across;
    if (distance < least) [best, least] = [each, distance];
  }
  return best;
}

function walk(key) {
  const from = document.activeElement.closest ? document.activeElement.closest(".card") : null;
  const to = from && lists.contains(from) ? neighbour(from, key) : allCards()[0];
  if (!to) return;
  for (const each of allCards()) each.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
  to.scrollIntoView({ block: "nearest" });
}

// Pictures -------------------------------------------------------------------------------------

function forget() {
  if ($("preview").src) URL.revokeObjectURL($("preview").src);
  state.picture = null;
  $("preview").hidden = true;
  $("preview").removeAttribute("src");
  if ($("file")) $("file").value = "";
}

function take(file) {
  const most = Number(form.dataset.picture);
  if (!most) { refuse("The model of this store encodes no pictures: look for words."); return; }
  if (!file.type.startsWith("image/")) { refuse(`${file.name} is no picture.`); return; }
  if (file.size > most) { refuse(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; at most ${(most / 1e6).toFixed(0)} are taken: make it smaller.`); return; }
  const reader = new FileReader();
  reader.addEventListener("load", () => {
    forget();
    fields.query.value = "";
    state.picture = String(reader.result).split(",")[1] || "";
    $("preview").src = URL.createObjectURL(file);
    $("preview").hidden = false;
    search();
  });
  reader.addEventListener("error", () => refuse(`${file.name} cannot be read.`));
  reader.readAsDataURL(file);
}

const carriesFile = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");

// Events ---------------------------------------------------------------------------------------

form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
fields.query.addEventListener("input", () => { if (state.picture && fields.query.value) forget(); });
fields.strength.addEventListener("input", search);
fields.method.addEventListener("change", () => { fields.strength.value = own(fields.method); search(); });
fields.also.addEventListener("change", search);
fields.k.addEventListener("change", search);

function toggle(name) {
  state[name] = !state[name];
  showSettings();
  keepInAddress();
  if (state.answer && name === "swapped") show();
}

$("swap").addEventListener("click", () => toggle("swapped"));
$("difference").addEventListener("click", () => toggle("difference"));
if ($("file")) $("file").addEventListener("change", () => { if ($("file").files[0]) take($("file").files[0]); });
for (const button of document.querySelectorAll(".example-query")) {
  button.addEventListener("click", () => { forget(); fields.query.value = button.textContent; search(); });
}

lists.addEventListener("pointerover", (event) => { const at = event.target.closest(".card"); link(at ? at.dataset.id : null); });
lists.addEventListener("pointerleave", () => link(null));
lists.addEventListener("focusin", (event) => { const at = event.target.closest(".card"); if (at) link(at.dataset.id); });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = event.target;
  const typing = at.matches("input:not([type=range]), select, textarea");
  if (event.key === "Escape" && at === fields.query) { event.preventDefault(); at.blur(); return; }
  if (event.key === "ArrowDown" && at === fields.query && allCards().length) { event.preventDefault(); walk(event.key); return; }
  if (typing) return;
  if (event.key === "/") { event.preventDefault(); fields.query.focus(); fields.query.select(); }
  else if (event.key === "s") toggle("swapped");
  else if (event.key === "d") toggle("difference");
  else if (event.key.startsWith("Arrow") && at.type !== "range" && allCards().length) { event.preventDefault(); walk(event.key); }
});

document.addEventListener("dragover", (event) => { if (carriesFile(event)) { event.preventDefault(); $("drop").hidden = false; } });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").hidden = true; });
document.addEventListener("drop", (event) => {
  $("drop").hidden = true;
  if (!carriesFile(event)) return;
  event.preventDefault();
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData ? event.clipboardData.files : [])].find((each) => each.type.startsWith("image/"));
  if (file) { event.preventDefault(); take(file); }
});

$("door").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await post("/session", {}, { Authorization: `Bearer ${$("token").value}` });
  if (!answer.ok) { refuse(answer.found.error || `HTTP ${answer.status}`); return; }
  $("token").value = "";
  $("door").hidden = true;
  refuse("");
  search();
});

readAddress();
showSettings();
search();
