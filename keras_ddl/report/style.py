"""The report's style sheet."""

STYLE = """
:root { color-scheme: light dark; --page: #fbfbfa; --card: #ffffff; --ink: #1c2127;
  --soft: #5d6772; --rule: #d9dde1; --grid: #e8ebee; --real: #2f6fb0; --fake: #c8501e;
  --warn: #fff3d6; --warn-ink: #5c4300; --warn-rule: #e3b64f; --accent: #2f6fb0;
  --c0: #2f6fb0; --c1: #c8501e; --c2: #3c8a4e; --c3: #8a52a8; --c4: #a8791a; --c5: #4a5560; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1c2024; --ink: #e4e8ec;
  --soft: #9aa5b0; --rule: #363c43; --grid: #2a3036; --real: #6fb0ee; --fake: #f08a55;
  --warn: #3a2f12; --warn-ink: #f4dca0; --warn-rule: #8a6d22; --accent: #6fb0ee;
  --c0: #6fb0ee; --c1: #f08a55; --c2: #77c98a; --c3: #c795e2; --c4: #dcb256; --c5: #b4bec8; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.2rem; margin: 40px 0 8px; }
h3 { font-size: 1rem; margin: 20px 0 6px; }
p { margin: 6px 0; max-width: 75ch; }
.soft, small, figcaption { color: var(--soft); }
code, pre { font: 0.85em/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, monospace; }
code { overflow-wrap: anywhere; }
pre { overflow-x: auto; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; padding: 12px; }
.warning { background: var(--warn); color: var(--warn-ink); border: 1px solid var(--warn-rule);
  border-radius: 8px; padding: 10px 14px; margin: 16px 0; max-width: none; }
.scroll { overflow-x: auto; margin: 8px 0; border: 1px solid var(--rule); border-radius: 8px;
  background: var(--card); width: fit-content; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 12px; text-align: right; vertical-align: top; white-space: nowrap; }
th[scope=row] { text-align: left; font-weight: 500; }
thead th { color: var(--soft); font-weight: 600; font-size: 0.85rem;
  border-bottom: 1px solid var(--rule); }
thead th:first-child { text-align: left; }
td small, tbody th small { display: block; font-size: 0.72rem; }
td small.paper { color: var(--accent); white-space: nowrap; } td b { font-weight: 700; }
.comparison td, .comparison th { padding-left: 9px; padding-right: 9px; }
tr:has(> th .failed) > *, tr:has(> th .waiting) > * { color: var(--soft); }
.failed { color: var(--fake); }
th[scope=rowgroup] { text-align: left; background: var(--page); white-space: normal; }
th[scope=rowgroup] span { position: sticky; left: 8px; overflow-wrap: anywhere; }
tbody + tbody > tr:first-child > *, tbody tr + tr > * { border-top: 1px solid var(--grid); }
header p { max-width: none; }
.cards { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(
  min(100%, 320px), 1fr)); align-items: start; margin: 8px 0; }
.cards > figure, .case { margin: 0; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; padding: 12px; min-width: 0; }
.cards > figure { max-width: 560px; }
figcaption { font-size: 0.85rem; margin-top: 4px; }
figure > b { display: block; font-size: 0.95rem; margin-bottom: 4px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 11.5px; }
.grid { stroke: var(--grid); }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
.chance, .threshold { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 4 4; }
.before { --mark: var(--soft); } .after { --mark: var(--accent); }
.fake { --mark: var(--fake); } .real { --mark: var(--real); }
.series0 { --mark: var(--c0); } .series1 { --mark: var(--c1); } .series2 { --mark: var(--c2); }
.series3 { --mark: var(--c3); } .series4 { --mark: var(--c4); } .series5 { --mark: var(--c5); }
.curve:not(.chance):not(.threshold) { stroke: var(--mark); }
.bar { fill: var(--mark); } .dot { fill: var(--mark); fill-opacity: 0.75; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 16px; padding: 0;
  margin: 4px 0 0; font-size: 0.85rem; color: var(--soft); }
.legend li { overflow-wrap: anywhere; }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px;
  background: var(--mark); vertical-align: -1px; }
.key.chance, .key.threshold { --mark: transparent; border: 1.5px dashed var(--soft); }
.case { margin: 10px 0; }
.case p { margin: 0 0 8px; max-width: none; overflow-wrap: anywhere; }
.strip { display: grid; grid-template-columns: repeat(8, 1fr); gap: 4px; }
.strip img { width: 100%; height: auto; display: block; border-radius: 3px; }
.tag { display: inline-block; border-radius: 4px; padding: 0 8px; font-weight: 600;
  color: var(--card); background: var(--mark); margin-right: 8px; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 16px;
  margin: 8px 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
details { margin: 8px 0; } summary { cursor: pointer; }
@media (max-width: 600px) { .strip { grid-template-columns: repeat(4, 1fr); }
  main { padding: 16px 12px 48px; } th, td { padding: 6px 8px; }
  th[scope=row] { white-space: normal; max-width: 9rem; }
  td small { white-space: normal; max-width: 5rem; margin-left: auto; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; } dd { margin-bottom: 8px; } }
"""
