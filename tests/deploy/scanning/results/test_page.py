"""The summary page, as text and in a real browser."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2")

from deploy.scanning.results.page import page, sparkline
from deploy.scanning.results.place import Results
from deploy.scanning.results.summary import table_row, table_writer, write_summary

LIMITS = {"fake_from": 0.6, "real_to": 0.4}
VOID = {"meta", "img", "input", "br", "path", "rect"}


def record(path: str, verdict: str | None, score: float | None, **more: Any) -> dict[str, Any]:
    fields = {
        "path": path,
        "size": 1234,
        "sha256": "ab" * 32,
        "status": "judged" if verdict else "unreadable",
        "verdict": verdict,
        "reason": "because",
        "fake_probability": score,
        "notes": [],
    }
    if verdict:
        judged_at = "2026-11-25T10:00:00+00:00"
        counts = {"frames": 50, "clips": 6, "faces": 1, "seconds": 2.0, "still": False}
        fields |= {**counts, "judged_at": judged_at, "elapsed_s": 1.0, "records": "records/x.jsonl"}
    return {**fields, **more}


@pytest.fixture
def scan() -> dict[str, Any]:
    worst = {"track": 2, "fake_probability": 0.93, "verdict": "FAKE", "reason": "x<y", "clips": 3}
    files = [
        record("in/b.mp4", "FAKE", 0.9, worst_face=worst, timeline=[[0.1, 0.8], [0.2, 0.9]]),
        record("in/<script>alert(1)</script>.mp4", "UNCERTAIN", 0.5, fake_events=2, tracks=[worst]),
        record("in/a.mp4", "REAL", 0.1, notes=["3 corrupted packets skipped"]),
        record("in/n.mp4", "NO_FACE", None),
        record("in/x.mp4", None, None),
    ]
    return {
        "model": {
            "id": "0123456789ab",
            "domain": "some<set",
            "weights_sha256": "",
            "model_sha256": "cd" * 32,
            "backend": "onnxruntime",
        },
        "thresholds": LIMITS,
        "options": {"detector": "haar"},
        "program": "keras-ddl",
        "abstain": "",
        "left": 0,
        "finished": "2026-11-25T10:00:00+00:00",
        "totals": {"FAKE": 1, "UNCERTAIN": 1, "REAL": 1, "NO_FACE": 1, "unreadable": 1},
        "files": files,
    }


class Checked(HTMLParser):
    """Fails on tags that do not match, and notes what a page must not have."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(
    scan: dict[str, Any], tmp_path: Path
) -> None:
    checked = Checked()
    text = page(scan, 8.0, lambda name: None)
    checked.feed(text)
    assert checked.open == []
    assert [tag for tag, _ in checked.seen].count("script") == 1
    for tag, attributes in checked.seen:
        assert tag not in ("link", "iframe", "base", "form")
        assert not {"src", "href"} & attributes.keys() or tag == "img"
        assert not any(name.startswith("on") for name in attributes)
    assert "http:" not in text and "https:" not in text and "url(" not in text


def test_what_must_be_known_is_said(scan: dict[str, Any], tmp_path: Path) -> None:
    text = page(scan, 8.0, lambda name: None)
    assert "script&gt;.mp4" in text and "some&lt;set" in text
    assert "FAKE for a while: 2 times" in text and "NO FACE" in text and "UNREADABLE" in text
    assert "3 corrupted packets skipped" in text and "not recorded" in text
    assert "No file gets a verdict" not in text and "Not finished" not in text
    told = {"abstain": "model trained on synthetic faces only", "left": 3}
    blind = page({**scan, **told}, 8.0, lambda name: None)
    assert "No file gets a verdict" in blind and "3 files not judged yet" in blind


def test_a_line_breaks_where_nobody_was_there() -> None:
    steady = [[n / 40, 0.5] for n in range(8)]
    drawn = sparkline([*steady, *([0.7 + n / 40, 0.9] for n in range(8))], LIMITS, 0.5)
    assert drawn.count('class="scores"') == 2 and drawn.count('class="mark"') == 1
    assert 'aria-label="scores from 0.50 to 0.90"' in drawn
    assert sparkline(steady, LIMITS, None).count('class="scores"') == 1
    alone = sparkline([[0.5, 0.25]], LIMITS, None)
    assert "M96.0 31.0h0" in alone  # the middle; 4 + 0.75 * 36 from the top
    assert 'aria-label="no scores"' in sparkline([], LIMITS, None)


def test_the_summary_is_written_a_record_at_a_time_and_the_page_has_the_first(
    scan: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = scan.pop("files")
    totals = scan.pop("totals")
    for shown, name in ((5, "whole"), (2, "part")):
        monkeypatch.setattr("deploy.scanning.results.summary.ROWS", shown)
        (tmp_path / name).mkdir()
        write_summary(Results(str(tmp_path / name)), iter(files), totals, scan)
        text = (tmp_path / name / "scan.json").read_text()
        written = {"schema": 1, **scan, "totals": totals, "files": files}
        assert text == json.dumps(written, indent=1, ensure_ascii=False) + "\n"
        assert len((tmp_path / name / "scan.csv").read_text().splitlines()) == 6
    whole, part = ((tmp_path / name / "scan.html").read_text() for name in ("whole", "part"))
    assert "are below" not in whole and "in/n.mp4" not in part
    assert "The first 2 of 5 files</strong> are below" in part and "<h1>5 files, 8 s" in part
    write_summary(Results(str(tmp_path)), iter(()), {}, scan)
    assert json.loads((tmp_path / "scan.json").read_text())["files"] == []


def test_a_spreadsheet_takes_no_name_for_a_formula() -> None:
    file = io.StringIO()
    rows = table_writer(file)
    for one in (record("=1+1.mp4", "REAL", 0.1), record("a,\n.mp4", None, None)):
        rows.writerow(table_row(one))
    text = file.getvalue()
    assert "\n'=1+1.mp4,judged,REAL,0.1," in text and '"a,\n.mp4",unreadable,,,' in text


@pytest.fixture
def browse(tmp_path: Path):
    """Open a page in headless Chromium, run a script in it, return what `say(…)` was given."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs chromium")

    def run(text: str, script: str) -> list[str]:
        if script:  # the page allows no script but its own
            text = re.sub("<meta http-equiv[^>]*>", "", text)
            say = "const say = t => document.body.append(Object.assign(document.createElement('q'),"
            text = text.replace(
                "</body>", f"<script>{say}{{textContent: t}}));{script}</script></body>"
            )
        file = tmp_path / "page.html"
        file.write_text(text, encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/user"]
        line = [chromium, *flags, "--dump-dom", f"file://{file}"]
        done = subprocess.run(line, capture_output=True, text=True, timeout=90)
        if not script:
            return [done.stdout]
        return re.findall("<q>(.*?)</q>", done.stdout)

    return run


def test_the_page_in_a_browser(scan: dict[str, Any], tmp_path: Path, browse) -> None:
    text = page(scan, 8.0, lambda name: None)
    (dom,) = browse(text, "")
    assert '<html lang="en" class="script">' in dom  # its policy lets its own script run
    said = browse(
        text,
        """
        const names = () => [...document.querySelectorAll('tbody tr')].filter(r => !r.hidden)
          .map(r => r.dataset.kind[0]).join('');
        const click = css => { document.querySelector(css).click(); say(names()); };
        say(names());
        click('[data-key=name]'); click('[data-key=name]'); click('[data-key=score]');
        click('[data-show=REAL]'); click('[data-show=FAKE]'); click('[data-show=FAKE]');
        click('[data-show=REAL]');
        const find = document.querySelector('#find');
        find.value = 'SCRIPT'; find.dispatchEvent(new Event('input')); say(names());
        say(document.querySelector('#shown').textContent);
        say(document.querySelector('[aria-sort]').textContent);
        find.value = 'nothing'; find.dispatchEvent(new Event('input'));
        say(document.querySelector('#none').hidden);
        """,
    )
    assert said == [
        "FURNU",  # FAKE, UNCERTAIN, REAL, NO_FACE, UNREADABLE
        "URFNU",  # by name: <script>, a, b, n, x
        "UNFRU",
        "FURNU",  # by score, the highest first
        "R",  # one tile alone
        "FR",
        "R",
        "FURNU",  # the last one off: all again
        "U",
        "1 of 5 shown",
        "Mean score",
        "false",
    ]
