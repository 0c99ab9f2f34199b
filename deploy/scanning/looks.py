"""The summary's style sheet and its script."""

STYLE = """
:root { color-scheme: light dark; --page: #f7f7f5; --card: #ffffff; --ink: #1c2127;
  --soft: #5d6772; --rule: #d9dde1; --fill: #eceef0; --accent: #2f6fb0;
  --fake: #b8400f; --real: #14704a; --unsure: #8a5a00; --noface: #565f69; --failed: #6b3fa0;
  --warn: #fff3d6; --warn-ink: #5c4300; --warn-rule: #e3b64f; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1c2024; --ink: #e4e8ec;
  --soft: #9aa5b0; --rule: #363c43; --fill: #2a3036; --accent: #6fb0ee;
  --fake: #ff8a5c; --real: #4cc795; --unsure: #f0c04a; --noface: #aab4be; --failed: #c9a2f2;
  --warn: #3a2f12; --warn-ink: #f4dca0; --warn-rule: #8a6d22; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.05rem; margin: 28px 0 6px; }
p { margin: 6px 0; max-width: 80ch; }
header p { max-width: none; }
.soft, small { color: var(--soft); }
small { display: block; font-size: 0.8rem; line-height: 1.35; }
code { font: 0.85em/1.4 ui-monospace, "DejaVu Sans Mono", Menlo, monospace;
  overflow-wrap: anywhere; }
.warning { background: var(--warn); color: var(--warn-ink); border: 1px solid var(--warn-rule);
  border-radius: 8px; padding: 10px 14px; margin: 14px 0; max-width: none; }
.FAKE { --mark: var(--fake); } .REAL { --mark: var(--real); }
.UNCERTAIN { --mark: var(--unsure); } .NO_FACE { --mark: var(--noface); }
.UNREADABLE { --mark: var(--failed); }
.tiles { display: grid; gap: 8px; margin: 16px 0 12px;
  grid-template-columns: repeat(auto-fit, minmax(104px, 1fr)); }
.tile { font: inherit; text-align: left; color: var(--ink); background: var(--card);
  border: 1px solid var(--rule); border-top: 4px solid var(--mark); border-radius: 8px;
  padding: 8px 12px; cursor: pointer; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.15;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 0.8rem; font-weight: 600; letter-spacing: 0.02em; }
.tile[aria-pressed=false] { opacity: 0.5; border-top-color: var(--rule); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.tools { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; margin: 0 0 10px;
  color: var(--soft); font-size: 0.9rem; }
html:not(.script) .needs-script { display: none; }
html:not(.script) .tile { cursor: default; }
input, select { font: inherit; color: var(--ink); background: var(--card); padding: 4px 8px;
  border: 1px solid var(--rule); border-radius: 6px; min-width: 0; }
.phone { display: none; }
table { border-collapse: separate; border-spacing: 0; width: 100%; background: var(--card);
  border: 1px solid var(--rule); border-radius: 8px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 10px; font-weight: 400; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
thead th { position: sticky; top: 0; z-index: 1; background: var(--card); padding: 0;
  border-bottom: 1px solid var(--rule); color: var(--soft); font-size: 0.82rem; }
thead th:first-child { border-top-left-radius: 8px; }
thead th:last-child { border-top-right-radius: 8px; }
thead button, thead th > span { font: inherit; font-weight: 600; color: inherit;
  display: block; padding: 9px 10px; white-space: nowrap; }
thead button { background: none; border: 0; cursor: pointer; width: 100%; text-align: left; }
th[aria-sort=ascending] button::after { content: " ↑"; }
th[aria-sort=descending] button::after { content: " ↓"; }
th[aria-sort] { color: var(--ink); }
.picture { width: 140px; }
.picture img, .blank { display: block; width: 120px; border-radius: 5px; background: var(--fill); }
.picture img { height: auto; max-height: 120px; object-fit: cover; }
.blank { height: 68px; line-height: 68px; text-align: center; color: var(--soft); }
.picture small { margin-top: 3px; }
th[scope=row] { min-width: 180px; }
.name { display: block; font-weight: 600; overflow-wrap: anywhere; }
.over { display: block; font-size: 0.8rem; overflow-wrap: anywhere; }
.verdict { width: 150px; }
.chip { display: inline-block; border-radius: 5px; padding: 1px 8px; font-weight: 700;
  font-size: 0.82rem; color: var(--card); background: var(--mark); white-space: nowrap; }
.chip.UNCERTAIN, .chip.NO_FACE, .chip.UNREADABLE { color: var(--mark); background: none;
  box-shadow: inset 0 0 0 1.5px var(--mark); }
.why { margin-top: 4px; overflow-wrap: anywhere; }
.alert { color: var(--fake); font-weight: 600; }
.number { white-space: nowrap; }
.bar { display: block; width: 72px; height: 5px; border-radius: 3px; background: var(--fill);
  margin: 3px 0; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--ink); opacity: 0.65; }
.line { min-width: 150px; width: 200px; }
svg { display: block; width: 100%; height: 44px; border-radius: 4px; background: var(--fill); }
.zone { fill: var(--mark); fill-opacity: 0.16; }
.scores { fill: none; stroke: var(--ink); stroke-width: 1.8; stroke-linejoin: round;
  stroke-linecap: round; vector-effect: non-scaling-stroke; }
.dots { fill: none; stroke: var(--ink); stroke-width: 5; stroke-linecap: round;
  vector-effect: non-scaling-stroke; }
.mark { fill: none; stroke: var(--accent); stroke-width: 1.5; stroke-dasharray: 3 3;
  vector-effect: non-scaling-stroke; }
details { margin-top: 4px; font-size: 0.85rem; }
summary { cursor: pointer; color: var(--accent); }
details ul { margin: 6px 0; padding-left: 18px; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 12px;
  margin: 6px 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
footer p { color: var(--soft); }
@media (max-width: 820px) {
  main { padding: 16px 12px 48px; }
  h1 { font-size: 1.35rem; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(104px, 1fr)); }
  .tile { padding: 6px 10px; } .tile b { font-size: 1.25rem; }
  .phone { display: block; }
  thead { display: none; }
  table { display: block; border: 0; background: none; }
  tbody { display: grid; gap: 10px; }
  tr { display: grid; grid-template-columns: 104px minmax(0, 5fr) minmax(0, 2fr) minmax(0, 3fr);
    gap: 6px 12px; grid-template-areas: "picture verdict verdict verdict"
      "picture name name name" "line line line line" "mean worst faces length";
    background: var(--card); border: 1px solid var(--rule); border-left: 4px solid var(--mark);
    border-radius: 8px; padding: 10px; }
  tr[hidden] { display: none; }
  tbody tr + tr > * { border-top: 0; }
  th, td { padding: 0; } th[scope=row] { grid-area: name; min-width: 0; }
  .picture { grid-area: picture; width: auto; } .picture img, .blank { width: 104px; }
  .verdict { grid-area: verdict; width: auto; } .line { grid-area: line; width: auto; }
  .number { white-space: normal; }
  .number::before { content: attr(data-head); display: block; color: var(--soft);
    font-size: 0.75rem; }
  .number:nth-child(4) { grid-area: mean; } .number:nth-child(5) { grid-area: worst; }
  .number:nth-child(7) { grid-area: faces; } .number:nth-child(8) { grid-area: length; }
  dl { grid-template-columns: minmax(0, 1fr); } dd { margin-bottom: 4px; } }
@media print { .tools, summary { display: none; } tr { break-inside: avoid; } }
"""

SCRIPT = """
(() => {
  document.documentElement.classList.add('script');
  const body = document.querySelector('#files tbody');
  const rows = [...body.rows];
  const tiles = [...document.querySelectorAll('.tile')];
  const find = document.querySelector('#find');
  const select = document.querySelector('#sort');
  const heads = [...document.querySelectorAll('thead button')];
  const filter = () => {
    const on = new Set(tiles.filter(t => t.getAttribute('aria-pressed') === 'true')
      .map(t => t.dataset.show));
    const words = find.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      row.hidden = !(on.has(row.dataset.kind) && row.dataset.name.includes(words));
      count += !row.hidden;
    }
    document.querySelector('#shown').textContent =
      count === rows.length ? '' : `${count} of ${rows.length} shown`;
    document.querySelector('#none').hidden = count > 0 || !rows.length;
  };
  const sort = (key, up) => {
    const value = row => key === 'name' ? row.dataset.name : +row.dataset[key || 'order'];
    rows.sort((a, b) => {
      const x = value(a), y = value(b);
      const order = x < y ? -1 : x > y ? 1 : 0;
      return (up ? order : -order) || a.dataset.order - b.dataset.order;
    });
    body.append(...rows);
    for (const head of heads) {
      const cell = head.parentElement;
      if (head.dataset.key === key) {
        cell.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      } else {
        cell.removeAttribute('aria-sort');
      }
    }
    select.value = key;
  };
  for (const tile of tiles) {
    tile.addEventListener('click', () => {
      const all = tiles.every(t => t.getAttribute('aria-pressed') === 'true');
      const alone = tiles.every(t => (t.getAttribute('aria-pressed') === 'true') === (t === tile));
      for (const t of tiles) {
        if (all || alone) { t.setAttribute('aria-pressed', alone || t === tile); }
      }
      if (!all && !alone) {
        tile.setAttribute('aria-pressed', tile.getAttribute('aria-pressed') !== 'true');
      }
      filter();
    });
  }
  for (const head of heads) {
    head.addEventListener('click', () => {
      const now = head.parentElement.getAttribute('aria-sort');
      const first = head.dataset.first === 'up';
      sort(head.dataset.key, now ? now !== 'ascending' : first);
    });
  }
  select.addEventListener('change', () => {
    const head = heads.find(h => h.dataset.key === select.value);
    sort(select.value, !head || head.dataset.first === 'up');
  });
  find.addEventListener('input', filter);
})();
"""
