// Small parts of pages: elements, tags of verdicts, numbers.

export const SIGNS = { FAKE: "▲", REAL: "✓", UNCERTAIN: "?", NO_FACE: "–" };
const part = (id) => document.getElementById(id);

/** An element with its properties and what is in it. */
export function make(kind, properties = {}, ...inside) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...inside);
  return made;
}

/** Rows [name, value, title] for a list of descriptions. */
export function pairs(rows) {
  return rows.map(([name, value, title = ""]) => make("div", { title },
    make("dt", { textContent: name }), make("dd", { textContent: value })));
}

export function clone(id) {
  return part(id).content.firstElementChild.cloneNode(true);
}

export function tag(element, verdict) {
  element.className = `tag ${verdict.toLowerCase().replace("_", "-")}`;
  element.textContent = `${SIGNS[verdict] ?? "?"} ${verdict.replace("_", " ")}`;
}

export function percent(value) {
  return value === null || value === undefined ? "…" : value.toFixed(2);
}
