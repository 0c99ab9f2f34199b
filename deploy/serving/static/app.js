// The page: files in, where they are, and the result of the one that is looked at.

import { clone } from "./parts.js";
import { marks, showResult } from "./result.js";
import { listen, signedIn } from "./sign_in.js";

const API = "api/v1";
const BUSY_MS = 500, IDLE_MS = 5000, RETRY_MS = 2000;
const part = (id) => document.getElementById(id);
const videos = new Map(); // id → what is told of it, the newest last; with `file`: not sent yet, the id is ours
const ours = new Set(); // ids of those that were sent from here
const shown = { id: "", done: false };
let about = null;
let timer = 0;
let offered = 0;

const percent = (share) => `${Math.round(100 * share)} %`;
const WORDS = {
  held: () => "Waits to be sent",
  sending: (video) => `Sending: ${percent(video.share)}`,
  receiving: (video) => `Arriving: ${percent(video.share)}`,
  waiting: (video) => video.ahead ? `Waiting: ${video.ahead} before it` : "Waiting: next",
  fetching: (video) => `Fetching: ${percent(video.share)}`,
  judging: (video) => video.share ? `Judging: ${percent(video.share)}` : "Judging: getting ready",
};

function refuse(words) {
  part("refused").textContent = words;
  part("refused").hidden = !words;
}

function size(bytes) {
  return bytes >= 1 << 20 ? `${Math.round(bytes / (1 << 20)).toLocaleString()} MiB` : `${bytes.toLocaleString()} bytes`;
}

/** What was answered; nothing where something between here and the server answered, in words of its own. */
function read(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** The same of an answer that may break off in the middle. */
const readAll = async (answer) => read(await answer?.text().catch(() => ""));

const answered = (status) => status === 413
  ? "a proxy before the server does not let files of this size through (413)" : `the server answered ${status}`;

// --- sending -------------------------------------------------------------------------------

/** Have a file sent when those before it are, and when there is room for it. */
function offer(file) {
  if (file.size > about.limits.max_bytes) {
    return refuse(`${file.name}: ${size(file.size)} is more than the ${size(about.limits.max_bytes)} that are taken.`);
  }
  if (!file.size) return refuse(`${file.name}: the file is empty.`);
  const id = `held-${++offered}`;
  videos.set(id, { id, name: file.name, state: "held", share: 0, received: new Date().toISOString(), file });
  location.hash = id;
  return sendNext();
}

function sendNext() {
  render();
  const all = [...videos.values()];
  const early = all.filter((video) => ["receiving", "fetching", "waiting"].includes(video.state));
  const { max_waiting: most, max_waiting_each: each } = about.limits;
  const full = early.length >= most || early.filter((video) => ours.has(video.id)).length >= each;
  const next = all.find((video) => video.state === "held"); // none overtakes it
  if (!next || next.after > Date.now() || full || all.some((video) => video.state === "sending")) return;
  send(next);
}

function send(video) {
  const request = new XMLHttpRequest();
  Object.assign(video, { state: "sending", request });
  const end = (id, words) => {
    videos.delete(video.id);
    if (words) refuse(`${video.name}: ${words}`);
    if (location.hash.slice(1) === video.id) location.replace(`#${id}`);
    sendNext();
  };
  request.upload.onprogress = (progress) => {
    video.share = progress.loaded / video.file.size;
    render();
  };
  request.onload = () => {
    const answer = read(request.responseText);
    if ([429, 503].includes(request.status)) { // others, or another page of ours, were faster
      const seconds = Number(request.getResponseHeader("Retry-After")) || 5;
      Object.assign(video, { state: "held", share: 0, request: null, after: Date.now() + 1000 * seconds });
      return render();
    }
    if (request.status !== 202) return end("", answer.error ?? answered(request.status));
    const told = { id: answer.id, name: answer.name, state: "waiting", share: 0, ahead: 0 };
    videos.set(answer.id, { ...told, received: video.received });
    ours.add(answer.id);
    end(answer.id);
    return poll();
  };
  request.onerror = () => end("", "the connection broke off, or the file cannot be read any more");
  request.onabort = () => end("");
  request.open("POST", `${API}/videos?name=${encodeURIComponent(video.name)}`);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.send(video.file);
  render();
}

async function sendLink(url) {
  refuse("");
  const body = JSON.stringify({ url });
  const answer = await fetch(`${API}/links`, { method: "POST", body }).catch(() => null);
  const told = await readAll(answer);
  if (answer?.status !== 202) return refuse(told.error ?? (answer ? answered(answer.status) : "No connection."));
  part("link").value = "";
  videos.set(told.id, { ...told, share: 0, ahead: 0, received: new Date().toISOString() });
  ours.add(told.id);
  location.hash = told.id;
  return poll();
}

async function removeShown() {
  const video = videos.get(shown.id);
  if (video?.request) return video.request.abort();
  if (video?.file) videos.delete(video.id);
  else await fetch(`${API}/videos/${shown.id}`, { method: "DELETE" }).catch(() => null);
  videos.delete(shown.id);
  location.hash = "";
  return poll();
}

// --- asking --------------------------------------------------------------------------------

async function ask(path) {
  const answer = await fetch(`${API}/${path}`).catch(() => null);
  part("lost").hidden = Boolean(answer);
  if (answer?.status === 401) begin();
  return answer;
}

async function poll() {
  clearTimeout(timer);
  const before = new Map(videos);
  if (about.history) await askAll();
  const alone = [...videos.values()].filter((video) => !about.history && !video.file && video.state !== "done");
  const looked = location.hash.slice(1);
  if (looked && !videos.has(looked)) alone.push({ id: looked });
  await Promise.all(alone.map(askOne));
  for (const [id, video] of videos) {
    if (video.state === "done" && before.has(id) && before.get(id).state !== "done") {
      part("announce").textContent = `${video.name}: ${marks(video).map((one) => one.textContent).join(", ")}`;
    }
  }
  sendNext();
  const busy = [...videos.values()].some((video) => video.state !== "done");
  timer = setTimeout(poll, busy ? BUSY_MS : IDLE_MS);
}

async function askAll() {
  const asked = ours.size;
  const answer = await ask("videos");
  if (!answer?.ok) return;
  const told = (await readAll(answer)).videos;
  if (!told || asked !== ours.size) return; // it may not know yet what has been taken meanwhile
  const known = new Set(told.map((video) => video.id));
  for (const [id, video] of videos) if (!video.file && !known.has(id)) videos.delete(id);
  for (const video of told.reverse()) videos.set(video.id, video);
  for (const video of [...videos.values()].filter((one) => one.file)) { // they stay the newest
    videos.delete(video.id);
    videos.set(video.id, video);
  }
}

async function askOne({ id }) {
  const answer = await ask(`videos/${encodeURIComponent(id)}`);
  const told = answer?.ok ? await readAll(answer) : {};
  if (told.id) videos.set(id, told);
  else if (answer?.status === 404) videos.delete(id);
}

// --- showing -------------------------------------------------------------------------------

function render() {
  renderList();
  const id = location.hash.slice(1);
  const video = videos.get(id);
  part("welcome").hidden = Boolean(video);
  part("shown").hidden = !video;
  if (!video) {
    const gone = id && id !== "result";
    part("welcome").querySelector("h2").textContent = gone ? "There is no such video here, or not any more" : "No video chosen";
    Object.assign(shown, { id: "", done: false });
    return;
  }
  const done = video.state === "done";
  part("result-title").textContent = video.name;
  part("remove").textContent = done ? "Remove result" : "Cancel";
  part("progress").hidden = done;
  if (!done) {
    part("progress-words").textContent = WORDS[video.state](video);
    if (["waiting", "held"].includes(video.state)) part("bar").removeAttribute("value");
    else part("bar").value = video.share;
  }
  if (shown.id === id && shown.done === done) return;
  Object.assign(shown, { id, done });
  part("verdict").hidden = true;
  if (done) showDone(id);
}

async function showDone(id) {
  const answer = await ask(`videos/${encodeURIComponent(id)}/result`);
  const result = answer?.ok ? await readAll(answer) : {};
  if (shown.id !== id) return;
  if (!result.id) return Object.assign(shown, { id: "", done: false }); // and asked for again
  part("verdict").hidden = false;
  showResult(part("verdict"), result);
}

function renderList() {
  const items = [...videos.values()].reverse().map((video) => {
    const item = clone("item"), link = item.firstElementChild;
    link.href = `#${video.id}`;
    link.querySelector(".name").textContent = video.name;
    link.title = video.name;
    if (video.id === location.hash.slice(1)) link.setAttribute("aria-current", "true");
    const at = new Date(video.received).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const day = new Date(video.received).toDateString() === new Date().toDateString() ? "" : `${new Date(video.received).toLocaleDateString()} `;
    if (video.state === "done") link.querySelector(".marks").append(...marks(video));
    link.querySelector(".when").textContent = video.state === "done" ? `${day}${at}` : WORDS[video.state](video);
    return item;
  });
  const text = items.map((item) => item.innerHTML).join();
  if (text === renderList.text) return; // so that what is focused stays focused
  renderList.text = text;
  const focused = document.activeElement?.closest?.("#list a")?.getAttribute("href");
  part("list").replaceChildren(...items);
  if (focused) [...part("list").querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
  part("no-videos").hidden = items.length > 0;
}

function introduce() {
  const { model, limits, kept, kept_s: keptS, abstain } = about;
  part("model").textContent = `model ${model.id}, trained on ${model.domain}`;
  part("abstain").hidden = !abstain;
  part("abstain").textContent = abstain ? `No verdict is given on real footage: ${abstain}. Scores are shown all the same.` : "";
  const stays = kept.videos ? "The video and its result are kept." : kept.results
    ? "The video is deleted when it is judged, the result is kept."
    : `The video is deleted when it is judged, the result is forgotten after ${Math.round(keptS / 60)} minutes.`;
  part("limits").textContent =
    `At most ${size(limits.max_bytes)} and ${Math.round(limits.max_seconds / 6) / 10} minutes. ${stays}`;
  part("link-form").hidden = !about.links;
  part("live").hidden = !about.dashboard;
  part("list-title").textContent = about.history ? "Videos" : "Your videos in this tab";
}

async function begin() {
  const signed = await signedIn();
  part("sign-in").hidden = signed !== false;
  part("lost").hidden = signed !== null;
  if (signed !== true) part("main").hidden = true;
  if (signed === false) return part("token").focus();
  const answer = signed ? await ask("about") : null;
  if (!answer?.ok) return setTimeout(begin, RETRY_MS);
  about = await answer.json();
  introduce();
  part("main").hidden = false; // not before it is known what may be sent
  return poll();
}

const drop = part("drop");
part("file").addEventListener("change", () => {
  refuse("");
  for (const file of part("file").files) offer(file);
  part("file").value = "";
});
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // a file that misses the zone is not opened in place of the page
    drop.classList.toggle("over", kind === "dragover");
  });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  refuse("");
  for (const file of event.dataTransfer.files) if (about) offer(file);
});
part("link-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sendLink(part("link").value.trim());
});
part("remove").addEventListener("click", removeShown);
part("skip").addEventListener("click", (event) => {
  event.preventDefault();
  part("result").focus();
});
addEventListener("hashchange", () => { render(); if (about && !videos.has(location.hash.slice(1))) poll(); });
listen(begin);
begin();
