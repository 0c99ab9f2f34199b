// Scores of one face over a video, between the thresholds, as SVG.

const HIGH = 110, TOP = 14, FOOT = 16, LEFT = 34, RIGHT = 8;
const SPACE = "http://www.w3.org/2000/svg";
const GAP = 4; // the line breaks where points are so many usual distances apart

function shape(kind, attributes, words) {
  const made = document.createElementNS(SPACE, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (words !== undefined) made.textContent = words;
  return made;
}

export function clock(seconds) {
  const minutes = Math.floor(seconds / 60), rest = seconds - 60 * minutes;
  return minutes ? `${minutes}:${String(Math.floor(rest)).padStart(2, "0")}` : `${rest.toFixed(1)} s`;
}

/** Draw points [time in ms, score, smoothed score] into a box, and again when its width changes. */
export function drawTimeline(box, points, moments, thresholds, seconds) {
  const draw = () => {
    const wide = Math.max(200, box.clientWidth || 640);
    box.replaceChildren(picture(wide, points, moments, thresholds, Math.max(seconds, 0.1)));
  };
  draw();
  let width = box.clientWidth;
  new ResizeObserver(() => {
    if (box.clientWidth === width) return;
    width = box.clientWidth;
    draw();
  }).observe(box);
}

function picture(wide, points, moments, thresholds, seconds) {
  const x = (ms) => LEFT + (wide - LEFT - RIGHT) * Math.min(1, ms / 1000 / seconds);
  const y = (score) => TOP + (HIGH - TOP - FOOT) * (1 - score);
  const svg = shape("svg", { viewBox: `0 0 ${wide} ${HIGH}`, role: "img", "aria-label": words(points, seconds) });
  const fake = y(thresholds.fake_from), real = y(thresholds.real_to), across = wide - LEFT - RIGHT;
  svg.append(
    shape("rect", { class: "zone-fake", x: LEFT, y: TOP, width: across, height: fake - TOP }),
    shape("rect", { class: "zone-real", x: LEFT, y: real, width: across, height: HIGH - FOOT - real }),
    shape("path", { class: "edge-fake", d: `M${LEFT} ${fake}h${across}` }),
    shape("path", { class: "edge-real", d: `M${LEFT} ${real}h${across}` }),
    shape("text", { x: 2, y: TOP + 9 }, "FAKE"), shape("text", { x: 2, y: HIGH - FOOT - 3 }, "REAL"),
    shape("text", { x: LEFT, y: HIGH - 3 }, "0 s"),
    shape("text", { x: wide - RIGHT, y: HIGH - 3, "text-anchor": "end" }, clock(seconds)));
  moments.forEach((moment, index) => {
    const at = x(moment.time_ms);
    svg.append(shape("path", { class: "mark", d: `M${at} ${TOP}V${HIGH - FOOT}` }),
      shape("text", { class: "at", x: at, y: TOP - 3, "text-anchor": "middle" }, String(index + 1)));
  });
  for (const run of runs(points)) {
    const path = run.map(([ms, , smoothed]) => `${x(ms).toFixed(1)} ${y(smoothed).toFixed(1)}`);
    svg.append(shape("path", { class: "scores", d: `M${path.join("L")}` }));
  }
  if (points.length <= 160) {
    for (const [ms, score] of points) {
      svg.append(shape("circle", { class: "dot", cx: x(ms).toFixed(1), cy: y(score).toFixed(1), r: 2.2 }));
    }
  }
  return svg;
}

function runs(points) {
  if (!points.length) return [];
  const steps = points.slice(1).map((point, index) => point[0] - points[index][0]).sort((a, b) => a - b);
  const longest = steps.length ? GAP * steps[Math.floor(steps.length / 2)] : 0;
  const found = [[points[0]]];
  points.slice(1).forEach((point, index) => {
    if (point[0] - points[index][0] > longest) found.push([]);
    found.at(-1).push(point);
  });
  return found;
}

function words(points, seconds) {
  if (!points.length) return "no scores";
  const scores = points.map((point) => point[1]);
  const [low, high] = [Math.min(...scores), Math.max(...scores)].map((score) => score.toFixed(2));
  return `${points.length} scores from ${low} to ${high} over ${clock(seconds)}`;
}
