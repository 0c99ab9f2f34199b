// The list of events, and the evidence behind one of them.

import { clone, make, percent, tag } from "./parts.js";

const MOST = 500;
const part = (id) => document.getElementById(id);
const shown = { date: "", items: new Map() }; // event id → { event, item, files }

/** Add events, oldest first; `quiet` for those from before the page was opened. */
export function addEvents(events, quiet) {
  for (const event of events) {
    if (shown.items.has(event.event)) continue;
    const item = makeItem(event);
    shown.items.set(event.event, { event, item, files: [] });
    part("list").prepend(item);
    if (!quiet && event.verdict === "FAKE") {
      part("announce").textContent = `FAKE: ${event.source}, face ${event.track}`;
    }
  }
  while (shown.items.size > MOST) {
    const [oldest, { item }] = shown.items.entries().next().value;
    item.remove();
    shown.items.delete(oldest);
  }
  applyFilter();
}

/** Forget everything: another run answers. */
export function clearEvents() {
  shown.items.clear();
  part("list").replaceChildren();
  applyFilter();
}

/** Enter evidence, { event id: [file names] }. */
export function addEvidence(evidence) {
  for (const [id, files] of Object.entries(evidence)) {
    const known = shown.items.get(id);
    if (!known || !files.length) continue;
    known.files = files;
    const button = known.item.querySelector(".show");
    const cover = files.find((name) => /\.(png|jpg)$/.test(name));
    button.replaceChildren();
    if (cover) button.append(make("img", { loading: "lazy", src: address(id, cover), alt: "" }));
    button.append("Evidence");
    button.setAttribute("aria-label", `Evidence of ${describe(known.event)}`);
    button.hidden = false;
  }
  applyFilter();
}

export function applyFilter() {
  const wanted = part("filter").value;
  let visible = 0;
  for (const { event, item, files } of shown.items.values()) {
    const fits = { faces: event.track !== null, FAKE: event.verdict === "FAKE", evidence: files.length > 0 };
    item.hidden = wanted in fits && !fits[wanted];
    visible += item.hidden ? 0 : 1;
  }
  const empty = part("no-events").querySelector("p");
  part("no-events").hidden = visible > 0;
  part("list").hidden = visible === 0;
  if (shown.items.size) empty.textContent = "No event of this kind yet.";
}

function makeItem(event) {
  const item = clone("event");
  const at = new Date(event.at);
  const time = item.querySelector("time");
  time.dateTime = event.at;
  time.title = at.toLocaleString();
  time.textContent = at.toLocaleTimeString([], { hour12: false });
  tag(item.querySelector(".tag"), event.verdict);
  const who = event.track === null ? "" : `#${event.track} `;
  item.querySelector(".where").textContent = `${who}${event.source}`;
  item.querySelector(".where").title = event.source;
  const score = event.probability_smoothed === null ? "" : `${percent(event.probability_smoothed)} · `;
  const before = event.previous ? ` (was ${event.previous})` : "";
  item.querySelector(".reason").textContent = `${score}${event.reason}${before}`;
  item.dataset.event = event.event;
  item.querySelector(".show").addEventListener("click", () => showEvidence(event.event));
  return item;
}

function describe(event) {
  const who = event.track === null ? "" : `, face ${event.track}`;
  return `${event.verdict} at ${event.source}${who}`;
}

function address(id, name) {
  return `evidence/${encodeURIComponent(id)}/${encodeURIComponent(name)}`;
}

function showEvidence(id) {
  const { event, files } = shown.items.get(id);
  part("evidence-title").textContent = describe(event);
  const score = percent(event.probability_smoothed);
  part("evidence-text").textContent =
    `${new Date(event.at).toLocaleString()} · score ${score} · ${event.reason} · event ${id}`;
  const box = part("evidence-files");
  box.replaceChildren();
  const pictures = make("div", { className: "pictures" });
  const links = make("ul");
  for (const name of files) {
    if (name.endsWith(".mp4")) box.append(makeVideo(id, name));
    if (/\.(png|jpg)$/.test(name)) pictures.append(makeFigure(id, name));
    links.append(makeLink(id, name));
  }
  box.append(pictures, links);
  part("evidence").showModal();
}

function makeVideo(id, name) {
  const playing = { controls: true, loop: true, muted: true, playsInline: true };
  const video = make("video", { src: address(id, name), ...playing });
  video.setAttribute("aria-label", `Clip ${name}`);
  return video;
}

function makeFigure(id, name) {
  const image = make("img", { src: address(id, name), alt: `Evidence picture ${name}` });
  return make("figure", {}, image, make("figcaption", { textContent: name }));
}

function makeLink(id, name) {
  const opened = { href: address(id, name), target: "_blank", rel: "noopener" };
  return make("li", {}, make("a", { ...opened, textContent: name }));
}

part("filter").addEventListener("change", applyFilter);
part("close").addEventListener("click", () => part("evidence").close());
part("evidence").addEventListener("close", () => part("evidence-files").replaceChildren());
