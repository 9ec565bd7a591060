// The search page: asks POST /search and shows the lists side by side.
"use strict";

const form = document.getElementById("search");
const lists = document.getElementById("lists");

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

async function search(event) {
  if (event) event.preventDefault();
  const query = form.elements.query.value.trim();
  if (!query) return;
  const asked = { query, method: form.elements.method.value };
  if (asked.method !== "dot") asked.strength = Number(form.elements.strength.value);
  const answer = await fetch("/search", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(asked),
  });
  const found = await answer.json();
  lists.replaceChildren();
  if (!answer.ok) {
    lists.append(element("p", found.error, { role: "alert" }));
    return;
  }
  for (const list of found.lists) {
    const section = element("section");
    section.append(element("h2", `${list.method} ${list.strength || ""}`));
    const items = element("ol");
    for (const result of list.results) {
      const item = element("li");
      if (result.thumbnail) {
        item.append(element("img", undefined, { src: result.thumbnail, alt: result.name, loading: "lazy" }));
      }
      item.append(element("span", `${result.name} ${result.score.toFixed(3)} ${result.change}`));
      items.append(item);
    }
    section.append(items);
    lists.append(section);
  }
}

form.addEventListener("submit", search);
form.elements.strength.addEventListener("input", search);
