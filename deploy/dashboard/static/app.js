// The dashboard: one connection brings everything but the pictures, which are asked for one by one.

import { addEvents, addEvidence, clearEvents, clone, percent, tag } from "./events.js";
import { SPAN_MS, drawTimeline } from "./timeline.js";

const LOST_MS = 4000; // the server says something every second
const PICTURE_MS = 90; // between two pictures of one source
const IDLE_MS = 1000; // between two looks at a source that gives none
const ROWS = 5; // faces shown per source
const RULE = { fake_from: 0.6, real_to: 0.4 }; // until the run has said its own
const STATES = {
  connecting: ["◌", "Connecting", "Waiting for the first frame"],
  running: ["●", "Running", ""],
  frozen: ["‖", "Frozen", "The camera repeats one picture; nothing is judged"],
  reconnecting: ["↻", "Reconnecting", "Lost; this is the last picture"],
  stopped: ["■", "Stopped", "Stopped; this is the last picture"],
  ended: ["✓", "Ended", "The file has ended"],
  failed: ["✕", "Failed", "Given up"],
};
const STARTABLE = ["stopped", "failed"];
const part = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const cameras = new Map(); // name → Camera
let connection = null;
let lastMessage = 0;
let signedOut = false;

class Camera {
  constructor(source) {
    this.source = source;
    this.number = -1; // of the newest picture; -1 before the first
    this.tracks = new Map();
    this.rule = {};
    this.nowMs = 0;
    this.visible = true;
    this.card = clone("camera");
    this.faces = new Map(); // track → row
    this.part(".name").textContent = source.name;
    this.part(".name").title = source.name;
    this.part(".toggle").addEventListener("click", () => this.toggle());
    part("cameras").append(this.card);
    new IntersectionObserver(([seen]) => { this.visible = seen.isIntersecting; }).observe(this.card);
    this.watch();
  }

  part(selector) {
    return this.card.querySelector(selector);
  }

  /** Fetch pictures while somebody can see them. */
  async watch() {
    while (this.card.isConnected) {
      const idle = document.hidden || !this.visible || signedOut;
      const fresh = idle ? false : await this.fetchPicture();
      await sleep(fresh || this.source.state === "running" ? PICTURE_MS : IDLE_MS);
    }
  }

  async fetchPicture() {
    const after = this.number < 0 ? "" : `?after=${this.number}`;
    try {
      const answer = await fetch(`api/sources/${this.source.id}/picture.jpg${after}`);
      if (answer.status !== 200) return false;
      const bitmap = await createImageBitmap(await answer.blob());
      const canvas = this.part(".picture");
      if (canvas.width !== bitmap.width) canvas.width = bitmap.width;
      if (canvas.height !== bitmap.height) canvas.height = bitmap.height;
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
      bitmap.close();
      this.number = Number(answer.headers.get("x-picture"));
      this.card.classList.add("has-picture");
      return true;
    } catch {
      return false; // the connection's own watch says so
    }
  }

  async toggle() {
    const action = STARTABLE.includes(this.source.state) ? "start" : "stop";
    this.part(".toggle").disabled = true;
    try {
      const answer = await fetch(`api/sources/${this.source.id}/${action}`, { method: "POST" });
      say(answer.ok ? "" : `${this.source.name}: cannot ${action} (${(await answer.json()).error})`);
    } catch {
      say(`${this.source.name}: cannot ${action}, no connection`);
    }
    setTimeout(() => { this.part(".toggle").disabled = false; }, 600);
  }

  addScores(scores) {
    if (scores.cleared) {
      this.tracks.clear();
      this.nowMs = 0;
    }
    if (scores.rule) this.rule = scores.rule;
    for (const [track, points] of Object.entries(scores.tracks ?? {})) {
      const all = [...(this.tracks.get(track) ?? []), ...points];
      this.nowMs = Math.max(this.nowMs, all.at(-1)[0]);
      this.tracks.set(track, all);
    }
    for (const [track, points] of this.tracks) {
      const kept = points.filter(([time]) => this.nowMs - time <= SPAN_MS);
      if (kept.length) this.tracks.set(track, kept);
      else this.tracks.delete(track);
    }
  }

  show(source) {
    this.source = source;
    const [sign, word, over] = STATES[source.state] ?? ["?", source.state, ""];
    const state = this.part(".state");
    state.className = `state ${source.state}`;
    state.textContent = `${sign} ${word}`;
    this.card.classList.toggle("off", source.state !== "running");
    this.part(".over").textContent = over;
    this.part(".trouble").textContent = source.error;
    this.part(".trouble").hidden = !source.error || source.state === "running";
    const button = this.part(".toggle");
    const startable = STARTABLE.includes(source.state);
    button.textContent = startable ? "Start" : "Stop";
    button.setAttribute("aria-label", `${startable ? "Start" : "Stop"} ${source.name}`);
    button.hidden = source.state === "ended";
    this.part(".picture").setAttribute("aria-label", `Picture of ${source.name}, ${word.toLowerCase()}`);
    this.showHealth();
    this.showFaces();
  }

  showHealth() {
    const { fps, size, latency_ms: latency, dropped, reconnects, frames, error, state } = this.source;
    const drops = Object.entries(dropped).filter(([, count]) => count > 0);
    const rows = [
      ["Speed", `${fps.toFixed(1)} fps`],
      ["Capture to verdict", "p50" in latency
        ? `${["p50", "p90", "p99"].map((name) => Math.round(latency[name])).join(" / ")} ms` : "–",
      "p50 / p90 / p99 of the newest clips"],
      ["Dropped", drops.map(([cause, count]) => `${count.toLocaleString()} ${cause}`).join(", ") || "none"],
      ["Reconnects", String(reconnects), state === "running" && error ? `last error: ${error}` : ""],
      ["Picture", size[0] ? `${size[0]} × ${size[1]}` : "–"],
      ["Frames", frames.toLocaleString()],
    ];
    this.part(".health").replaceChildren(...rows.map(([name, value, title]) => {
      const pair = document.createElement("div");
      const term = document.createElement("dt"), text = document.createElement("dd");
      term.textContent = name;
      text.textContent = value;
      if (title) pair.title = title;
      pair.append(term, text);
      return pair;
    }));
  }

  showFaces() {
    const present = new Map(this.source.faces.map((face) => [String(face.track), face]));
    const past = [...this.tracks.keys()].filter((track) => !present.has(track)).reverse();
    const rows = [...present.keys(), ...past].slice(0, ROWS);
    for (const [track, row] of this.faces) {
      if (rows.includes(track)) continue;
      row.remove();
      this.faces.delete(track);
    }
    for (const track of rows) {
      if (!this.faces.has(track)) this.faces.set(track, clone("face"));
      this.part(".faces").append(this.faces.get(track));
      this.showFace(this.faces.get(track), track, present.get(track));
    }
    this.card.classList.toggle("no-face", rows.length === 0);
    if (!rows.length) {
      const running = this.source.state === "running";
      this.part(".faces").textContent = running ? "No face in sight" : "";
    } else if (this.part(".faces").firstChild.nodeType === Node.TEXT_NODE) {
      this.part(".faces").firstChild.remove();
    }
  }

  showFace(row, track, face) {
    const points = this.tracks.get(track) ?? [];
    const [, , smoothed = null, verdict = "UNCERTAIN"] = points.at(-1) ?? [];
    const label = face?.verdict ?? verdict;
    const score = face ? face.probability : smoothed;
    row.classList.toggle("gone", !face);
    row.querySelector(".track").textContent = `#${track}`;
    tag(row.querySelector(".tag"), label);
    row.querySelector(".score").textContent = percent(score);
    row.querySelector(".reason").textContent = face ? face.reason : "out of sight";
    row.querySelector(".reason").title = face?.reason ?? "";
    const canvas = row.querySelector(".scores");
    canvas.setAttribute("aria-label",
      `Scores of face ${track}: ${points.length} in the last minute, now ${percent(score)}, ${label}`);
    drawTimeline(canvas, points, this.nowMs, { ...RULE, ...this.rule });
  }
}

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
    if (!cameras.has(source.name)) cameras.set(source.name, new Camera(source));
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
  parts.push(`${faces.length} ${faces.length === 1 ? "face" : "faces"}`);
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

function showTiming(stages, shares) {
  if (!part("timing").open) return;
  const cell = (kind, text) => Object.assign(document.createElement(kind), { textContent: text });
  const row = (kind, texts) => {
    const line = document.createElement("tr");
    line.append(...texts.map((text, index) => {
      const made = cell(index ? kind : "th", text);
      if (made.tagName === "TH") made.scope = index ? "col" : "row";
      return made;
    }));
    return line;
  };
  const lines = Object.entries(stages).flatMap(([name, summary]) => [
    row("th", [name, "p50 ms", "p90 ms", "p99 ms"]),
    ...Object.entries(summary).map(([stage, value]) =>
      row("td", [stage, ...["p50", "p90", "p99"].map((one) => value[one].toFixed(1))])),
  ]);
  part("stages").replaceChildren(...lines);
  part("cpu").replaceChildren(...Object.entries(shares).map(([stage, share]) => {
    const item = document.createElement("li");
    const bar = document.createElement("meter");
    Object.assign(bar, { min: 0, max: 1, value: share });
    bar.setAttribute("aria-label", `${stage}, share of the CPU time`);
    item.append(cell("span", stage), bar, cell("span", `${(100 * share).toFixed(1)} %`));
    return item;
  }));
}

function receive(message) {
  lastMessage = Date.now();
  setLost(false);
  if (message.version) { // the first message of a connection holds everything
    clearEvents();
    for (const camera of cameras.values()) camera.tracks.clear();
  }
  showSources(message.sources, message.scores);
  showSummary(message.sources);
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

async function connect() {
  connection?.close();
  connection = new EventSource("api/updates");
  connection.onmessage = (event) => receive(JSON.parse(event.data));
  connection.onerror = () => { if (!signedOut) setLost(true); };
}

/** Ask once whether a token is needed, so that a refusal is not taken for a lost connection. */
async function begin() {
  const answer = await fetch("api/status").catch(() => null);
  signedOut = answer?.status === 401;
  part("sign-in").hidden = !signedOut;
  part("main").hidden = signedOut;
  if (signedOut) {
    connection?.close();
    part("link").textContent = "Signed out";
    part("summary").textContent = "";
    part("lost").hidden = true;
    document.body.classList.remove("stale");
    part("token").focus();
  } else if (answer?.ok) {
    connect();
  } else {
    setLost(true);
  }
}

part("sign-in").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const body = JSON.stringify({ token: part("token").value });
  const answer = await fetch("api/login", { method: "POST", body }).catch(() => null);
  part("wrong").hidden = Boolean(answer?.ok);
  part("wrong").textContent = answer ? "This is not the token." : "No connection.";
  part("token").value = "";
  if (answer?.ok) begin();
});

setInterval(() => {
  if (signedOut || Date.now() - lastMessage <= LOST_MS) return;
  setLost(true);
  begin();
}, LOST_MS / 2);
begin();
