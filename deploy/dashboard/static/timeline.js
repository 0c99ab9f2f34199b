// Scores of one track over the last minute, with the zones in which REAL and FAKE are said.

export const SPAN_MS = 60_000;
const PAD = 4;
const GUTTER = 30; // for the names of the zones

/** Draw points [time_ms, score, smoothed, verdict] whose newest moment is nowMs. */
export function drawTimeline(canvas, points, nowMs, rule) {
  const ratio = window.devicePixelRatio || 1;
  const wide = canvas.clientWidth, tall = canvas.clientHeight;
  if (!wide || !tall) return;
  canvas.width = Math.round(wide * ratio);
  canvas.height = Math.round(tall * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const color = (name) => style.getPropertyValue(`--${name.toLowerCase().replace("_", "-")}`).trim();
  const x = (time) => GUTTER + (wide - GUTTER - PAD) * (1 - (nowMs - time) / SPAN_MS);
  const y = (score) => PAD + (tall - 2 * PAD) * (1 - score);
  drawZones(pen, wide, tall, y, rule, color);
  drawSeconds(pen, tall, nowMs, x, color);
  const shown = points.filter(([time, score]) => nowMs - time <= SPAN_MS && score !== null);
  drawLine(pen, shown, x, y, color("ink"));
  for (const [time, score, , verdict] of shown) drawMark(pen, x(time), y(score), verdict, color);
}

function drawZones(pen, wide, tall, y, rule, color) {
  const zones = [["FAKE", 0, y(rule.fake_from)], ["REAL", y(rule.real_to), tall]];
  for (const [label, from, to] of zones) {
    pen.fillStyle = color(label);
    pen.globalAlpha = 0.13;
    pen.fillRect(0, from, wide, to - from);
    pen.globalAlpha = 0.7;
    pen.fillRect(0, label === "FAKE" ? to : from, wide, 1);
  }
  pen.globalAlpha = 0.9;
  pen.font = "9px system-ui, sans-serif";
  pen.fillStyle = color("FAKE");
  pen.fillText("FAKE", 3, 11);
  pen.fillStyle = color("REAL");
  pen.fillText("REAL", 3, tall - 4);
  pen.globalAlpha = 1;
}

function drawSeconds(pen, tall, nowMs, x, color) {
  pen.fillStyle = color("rule");
  const first = Math.ceil((nowMs - SPAN_MS) / 10_000) * 10_000;
  for (let time = first; time < nowMs; time += 10_000) pen.fillRect(Math.round(x(time)), 0, 1, tall);
}

function drawLine(pen, points, x, y, ink) {
  pen.strokeStyle = ink;
  pen.lineWidth = 1.6;
  pen.lineJoin = "round";
  pen.beginPath();
  for (const [time, , smoothed] of points) {
    if (smoothed !== null) pen.lineTo(x(time), y(smoothed));
  }
  pen.stroke();
}

/** A triangle for FAKE, a disc for REAL, a square for UNCERTAIN: told apart without colour too. */
function drawMark(pen, x, y, verdict, color) {
  pen.fillStyle = color(verdict);
  pen.beginPath();
  if (verdict === "FAKE") {
    pen.moveTo(x, y - 3.4);
    pen.lineTo(x + 3.2, y + 2.4);
    pen.lineTo(x - 3.2, y + 2.4);
  } else if (verdict === "REAL") {
    pen.arc(x, y, 2.3, 0, 2 * Math.PI);
  } else {
    pen.rect(x - 1.9, y - 1.9, 3.8, 3.8);
  }
  pen.fill();
}
