// One source: its picture, its faces with their scores, its health, and the button that stops it.

import { clone, pairs, percent, tag } from "./parts.js";
import { SPAN_MS, drawTimeline } from "./timeline.js";

const PICTURE_MS = 90; // between two pictures of one source
const IDLE_MS = 1000; // between two looks at a source that gives none
const ROWS = 6; // faces shown per source
const PAST = 2; // of them out of sight
const RULE = { fake_from: 0.6, real_to: 0.4 }; // until the run has said its own
const STATES = {
  connecting: ["◌", "Connecting", "Waiting for the first frame"],
  running: ["●", "Running", "Waiting for a picture"],
  frozen: ["‖", "Frozen", "The camera repeats one picture; nothing is judged"],
  reconnecting: ["↻", "Reconnecting", "Lost"],
  stopped: ["■", "Stopped", "Stopped"],
  ended: ["✓", "Ended", "The file has ended"],
  failed: ["✕", "Failed", "Given up"],
};
const STARTABLE = ["stopped", "ended", "failed"];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A card in `box`; `say` shows a message to the operator, "" takes it away. */
export class Camera {
  constructor(source, box, say) {
    this.source = source;
    this.say = say;
    this.pictured = 0; // when the newest picture that moved came, 0 before
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
    box.append(this.card);
    new IntersectionObserver(([seen]) => { this.visible = seen.isIntersecting; }).observe(this.card);
    this.watch();
  }

  part(selector) {
    return this.card.querySelector(selector);
  }

  /** Fetch pictures while somebody can see them. */
  async watch() {
    while (this.card.isConnected) {
      const idle = document.hidden || !this.visible ;
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
      if (this.number >= 0) this.pictured = Date.now();
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
      this.say(answer.ok ? "" : `${this.source.name}: cannot ${action} (${(await answer.json()).error})`);
    } catch {
      this.say(`${this.source.name}: cannot ${action}, no connection`);
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
    this.part(".over").textContent = this.number < 0 ? over : `${over}; ${this.age()}`;
    this.part(".trouble").textContent = source.error;
    this.part(".trouble").hidden = !source.error || source.state === "running";
    const button = this.part(".toggle");
    const startable = STARTABLE.includes(source.state);
    button.textContent = startable ? "Start" : "Stop";
    button.setAttribute("aria-label", `${startable ? "Start" : "Stop"} ${source.name}`);
    this.part(".picture").setAttribute("aria-label", `Picture of ${source.name}, ${word.toLowerCase()}`);
    this.showHealth();
    this.showFaces();
  }

  age() {
    if (!this.pictured) return "this is the last picture";
    return `last picture ${Math.round((Date.now() - this.pictured) / 1000)} s ago`;
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
    this.part(".health").replaceChildren(...pairs(rows));
  }

  showFaces() {
    const present = new Map(this.source.faces.map((face) => [String(face.track), face]));
    const past = [...this.tracks.keys()].filter((track) => !present.has(track)).slice(-PAST).reverse();
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
    const nobody = !rows.length && this.source.state === "running";
    this.part(".nobody").hidden = !nobody;
    this.part(".faces").hidden = !rows.length;
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
