// The result of one video: verdict per face, scores over time, moments, who judged.

import { clone, make, pairs, tag } from "./parts.js";
import { clock, drawTimeline } from "./timeline.js";

const SAID = {
  FAKE: "The model takes this face for a forgery.",
  REAL: "The model takes this face for real.",
  UNCERTAIN: "The model does not say.",
};
const MOMENTS = {
  FAKE: "The moments that decided: most suspicious first",
  REAL: "The moments that decided: least suspicious first",
  UNCERTAIN: "The most suspicious moments",
};
const STATUS = {
  unreadable: "The file could not be judged",
  crashed: "The file could not be judged: reading it ended the program that does",
  timeout: "The file could not be judged in the time that there is",
  failed: "The file could not be judged, which is no fault of its own",
  unfetched: "The file behind the link could not be fetched",
};
const HINT = "A verdict is a hint for somebody who looks, and no proof.";
const plural = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

/** Fill a box with a result. */
export function showResult(box, result) {
  const address = (name) => `api/v1/videos/${result.id}/pictures/${encodeURIComponent(name)}`;
  box.replaceChildren(headline(result));
  if (result.status === "judged") box.append(caution(result));
  box.append(share(result));
  const left = Object.values(result.faces_by_verdict).reduce((sum, count) => sum + count, 0) - result.faces.length;
  for (const face of result.faces) box.append(makeFace(box, face, result, address));
  if (result.status === "judged" && left > 0) {
    const words = `${plural(left, "further face")} without a picture; the data has the counts.`;
    box.append(make("p", { className: "soft", textContent: words }));
  }
  if (!result.faces.length && result.picture) box.append(firstPicture(result, address));
  box.append(facts(result));
  for (const draw of box.querySelectorAll(".face")) draw.drawLine();
}

/** What is said of a result in a list: tags. */
export function marks(told) {
  if (told.status !== "judged") return [make("span", { className: "tag no-face", textContent: "not judged" })];
  const counts = Object.entries(told.faces_by_verdict ?? {});
  const order = ["FAKE", "UNCERTAIN", "REAL"];
  counts.sort(([one], [other]) => order.indexOf(one) - order.indexOf(other));
  if (told.verdict === "NO_FACE" || !counts.length) counts.splice(0, counts.length, [told.verdict, 1]);
  return counts.map(([verdict, count]) => {
    const made = make("span");
    tag(made, verdict);
    if (count > 1) made.textContent += ` × ${count}`;
    return made;
  });
}

function headline(result) {
  const line = make("p", { className: "headline" }, ...marks(result));
  if (result.status !== "judged") {
    line.append(`${STATUS[result.status] ?? result.status}: ${result.reason}`);
  } else if (result.verdict === "NO_FACE") {
    line.append("No face was found in it, so there is nothing to judge.");
  } else if (!result.faces.length) {
    line.append(`No verdict: ${result.reason}.`);
  } else {
    const faces = Object.values(result.faces_by_verdict).reduce((sum, count) => sum + count, 0);
    line.append(`${plural(faces, "face")} in ${clock(result.seconds)} of video`);
  }
  return line;
}

function caution(result) {
  const known = result.abstain ? `No verdict is given: ${result.abstain}; scores are shown all the same.`
    : `Known errors of this model: ${result.model.known_errors}.`;
  return make("p", { className: "caution", textContent: `${HINT} ${known}` });
}

function share(result) {
  const link = make("input", { readOnly: true, value: location.href.split("#")[0] + `#${result.id}` });
  link.setAttribute("aria-label", "Link to this result, for those who may open this page");
  const copy = make("button", { type: "button", textContent: "Copy link" });
  copy.addEventListener("click", async () => {
    link.select();
    const done = await (navigator.clipboard?.writeText(link.value) ?? Promise.reject()).then(() => true, () => document.execCommand("copy"));
    copy.textContent = done ? "Copied" : "Copy it by hand";
  });
  const data = make("a", { href: `api/v1/videos/${result.id}/result?download=1`, textContent: "Data (JSON)" });
  data.download = `verdict-${result.id}.json`;
  return make("div", { className: "share" }, link, copy, data);
}

function makeFace(box, face, result, address) {
  const made = clone("face");
  made.querySelector(".who").textContent = `Face ${face.track}`;
  tag(made.querySelector(".tag"), face.verdict);
  const score = face.fake_probability;
  made.querySelector(".score").textContent = score === null ? "no score" : `score ${score.toFixed(2)}`;
  made.querySelector(".why").textContent =
    `${SAID[face.verdict]} ${plural(face.clips, "clip")} of it ${face.clips === 1 ? "was" : "were"} looked at; ${face.reason}.`;
  made.querySelector(".moments").append(...face.moments.map((moment, index) => makeMoment(moment, index, address)));
  made.querySelector("h4").textContent = MOMENTS[face.verdict];
  made.querySelector("h4").hidden = !face.moments.length;
  made.querySelector("details").open = face === result.faces[0];
  const sheet = made.querySelector(".sheet");
  sheet.src = address(face.picture);
  sheet.alt = `Face ${face.track}: crops of it, where the network looked, and scores over time`;
  made.drawLine = () => drawTimeline(made.querySelector(".timeline"), face.timeline, face.moments, result.thresholds, result.seconds);
  return made;
}

function makeMoment(moment, index, address) {
  const score = moment.fake_probability === null ? "no score" : `score ${moment.fake_probability.toFixed(2)}`;
  const unusable = moment.unusable ? `, not counted: ${moment.unusable}` : "";
  const words = `${index + 1}: at ${clock(moment.time_ms / 1000)}, ${score}${unusable}`;
  const alt = `The frame at ${clock(moment.time_ms / 1000)} with the face marked, the face, and where the network looked`;
  const image = make("img", { src: address(moment.picture), alt, loading: "lazy", height: 200 });
  return make("li", {}, make("figure", {}, image, make("figcaption", { textContent: words })));
}

function firstPicture(result, address) {
  const alt = "A frame of the video";
  return make("figure", {}, make("img", { src: address(result.picture), alt }), make("figcaption", { textContent: alt }));
}

function facts(result) {
  const { model, thresholds, options } = result;
  const rows = [
    ["Model", model.id], ["Trained on", model.domain], ["Runs on", model.backend],
    ["FAKE from, REAL to", `${thresholds.fake_from}, ${thresholds.real_to}`],
    ["Face detector", options.detector], ["Program", result.program],
    ["Received", new Date(result.received).toLocaleString()],
    ["Size", `${result.size.toLocaleString()} bytes`],
    ["Length", result.seconds === null ? "–" : `${clock(result.seconds)}, ${plural(result.frames, "frame")}, ${plural(result.clips, "clip")}`],
    ["Mean score of all faces", result.fake_probability === null ? "–" : result.fake_probability.toFixed(3)],
    ["Model file, SHA-256", model.model_sha256], ["This file, SHA-256", result.sha256 || "–"],
  ];
  if (result.link) rows.push(["Link", result.link]);
  if (result.notes.length) rows.push(["Notes of the reader", result.notes.join("; ")]);
  const list = make("dl", { className: "facts" }, ...pairs(rows));
  for (const row of list.children) {
    if (/SHA|Notes|Link/.test(row.firstChild.textContent)) row.className = "wide";
  }
  return make("details", {}, make("summary", { textContent: "Who judged, and what" }), list);
}
