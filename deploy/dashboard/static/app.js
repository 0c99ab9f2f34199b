// The dashboard: one connection brings everything but the pictures, which are asked for one by one.

import { Camera } from "./camera.js";
import { addEvents, addEvidence, clearEvents } from "./events.js";
import { make, pairs } from "./parts.js";
import { listen, signedIn } from "./sign_in.js";

const LOST_MS = 4000; // the server says something every second
const part = (id) => document.getElementById(id);
const cameras = new Map(); // name → Camera
let connection = null;
let lastMessage = 0;
let signedOut = false;

function say(text) {
  part("message").textContent = text;
  part("message").hidden = !text;
}

function showSources(sources, scores) {
  const names = new Set(sources.map((source) => source.name));
  for (const [name, camera] of cameras) {
    if (names.has(name)) continue;
    camera.card.remove();
    cameras.delete(name);
  }
  for (const source of sources) {
    if (!cameras.has(source.name)) {
      cameras.set(source.name, new Camera(source, part("cameras"), say));
    }
    const camera = cameras.get(source.name);
    camera.addScores(scores[source.name] ?? {});
    camera.show(source);
  }
  part("no-cameras").hidden = sources.length > 0;
  part("timing").hidden = sources.length === 0;
}

function showSummary(sources) {
  const counts = new Map();
  for (const { state } of sources) counts.set(state, (counts.get(state) ?? 0) + 1);
  const faces = sources.flatMap((source) => source.faces);
  const fakes = faces.filter((face) => face.verdict === "FAKE").length;
  const parts = [...counts].map(([state, count]) => `${count} ${state}`);
  if (sources.length) parts.push(`${faces.length} ${faces.length === 1 ? "face" : "faces"}`);
  if (fakes) parts.push(`${fakes} FAKE`);
  part("summary").textContent = parts.join(" · ");
  document.title = fakes ? `▲ ${fakes} FAKE · keras-ddl` : "keras-ddl";
  const rules = [...cameras.values()].map((camera) => camera.rule);
  const model = rules.find((rule) => rule.model_id);
  part("model").textContent = model ? `model ${model.model_id}, trained on ${model.domain}` : "";
  const why = rules.find((rule) => rule.abstain)?.abstain;
  part("abstain").hidden = !why;
  part("abstain").textContent = why ? `No verdict is given: ${why}. Scores are shown all the same.` : "";
}

function showRun({ queues, dropped, failures }) {
  const list = (counts) => Object.entries(counts).map(([name, count]) =>
    `${name} ${count.toLocaleString()}`).join(", ") || "none";
  part("run").replaceChildren(...pairs([["Waiting", list(queues)], ["Thrown away", list(dropped)],
    ["Sinks' failures", list(failures)]]));
  const failing = Object.keys(failures);
  part("trouble").hidden = !failing.length;
  part("trouble").textContent = `Failures at: ${failing.join(", ")}. The log says why.`;
}

function showTiming(stages, shares) {
  if (!part("timing").open) return;
  const head = (text, index) => make("th", { textContent: text, scope: index ? "col" : "row" });
  const data = (text, index) => index ? make("td", { textContent: text }) : head(text, index);
  const measured = Object.entries(stages).filter(([, summary]) => Object.keys(summary).length);
  part("stages").replaceChildren(...measured.map(([name, summary]) => make("table", {},
    make("tr", {}, ...[name, "p50 ms", "p90 ms", "p99 ms"].map(head)),
    ...Object.entries(summary).map(([stage, value]) => make("tr", {},
      ...[stage, ...["p50", "p90", "p99"].map((one) => value[one].toFixed(1))].map(data))))));
  part("cpu").replaceChildren(...Object.entries(shares).map(([stage, share]) => {
    const bar = make("meter", { min: 0, max: 1, value: share });
    bar.setAttribute("aria-label", `${stage}, share of the CPU time`);
    const text = (words) => make("span", { textContent: words });
    return make("li", {}, text(stage), bar, text(`${(100 * share).toFixed(1)} %`));
  }));
}

function receive(message) {
  lastMessage = Date.now();
  setLost(false);
  if (message.version) { // the first message of a connection holds everything
    clearEvents();
    for (const camera of cameras.values()) camera.tracks.clear();
    part("judge").hidden = !message.pages.includes("/judge");
  }
  showSources(message.sources, message.scores);
  showSummary(message.sources);
  showRun(message.run);
  showTiming(message.stages, message.cpu_share);
  if (message.events.length) addEvents(message.events, Boolean(message.version));
  addEvidence(message.evidence);
}

function setLost(lost) {
  const link = part("link");
  link.className = lost ? "link lost" : "link live";
  link.textContent = lost ? "✕ Connection lost" : "● Live";
  part("lost").hidden = !lost;
  document.body.classList.toggle("stale", lost);
  if (lost && lastMessage) {
    const seconds = Math.round((Date.now() - lastMessage) / 1000);
    part("lost").textContent = `Connection lost. What you see is ${seconds} s old; trying again …`;
  } else if (lost) {
    part("lost").textContent = "No connection; trying again …";
  }
}

function connect() {
  connection?.close();
  connection = new EventSource("api/updates");
  connection.onmessage = (event) => receive(JSON.parse(event.data));
  connection.onerror = () => { if (!signedOut) setLost(true); };
}

/** Ask once whether a token is needed, so that a refusal is not taken for a lost connection. */
async function begin() {
  const signed = await signedIn();
  signedOut = signed === false;
  part("sign-in").hidden = !signedOut;
  part("main").hidden = signedOut;
  if (signedOut) {
    connection?.close();
    part("link").textContent = "Signed out";
    part("summary").textContent = "";
    part("lost").hidden = true;
    document.body.classList.remove("stale");
    part("token").focus();
  } else if (signed) {
    connect();
  } else {
    setLost(true);
  }
}

listen(begin);
setInterval(() => {
  if (signedOut || Date.now() - lastMessage <= LOST_MS) return;
  setLost(true);
  begin();
}, LOST_MS / 2);
begin();
