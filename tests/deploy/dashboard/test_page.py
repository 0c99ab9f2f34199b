"""The page in a real browser: what a person sees, and what the page asks for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.dashboard import Settings, evidence_files
from deploy.sources.base import Health, State

pytestmark = pytest.mark.service

DOOR, GATE, HALL = "camera 0", "rtsp://***@gate.example/stream", "hall.mp4"
TOKEN = "a-token-of-twenty-ch"
CARDS = "[...document.querySelectorAll('.camera')]"
LIVE = "document.querySelector('.link.live')"
FAKE = (0xB8, 0x3A, 0x12)  # --fake of the light style sheet
# Whether a canvas has a colour at a place; a copy is read, because reading makes a canvas slow.
NEAR = """(async (canvas, x, y, want) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const pen = copy.getContext("2d", { willReadFrequently: true });
  pen.drawImage(await createImageBitmap(canvas), 0, 0);
  const got = [...pen.getImageData(x, y, 1, 1).data];
  return [...want, 255].every((value, index) => Math.abs(value - got[index]) < 14);
})"""


@pytest.fixture
def look(browser: Any, serve: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Opens the page of a served run; at the end nothing may have gone wrong in it."""
    addresses: list[str] = []

    def start(run: Any = None, path: str = "/", size: Any = (1280, 900), **options: Any) -> Any:
        served = serve(run, **options)
        addresses.append(served.address)
        browser.open(served.address + path, *size)
        return served

    yield start
    browser.run("1")  # events that are on their way
    assert browser.errors == []
    assert browser.requests
    for address in browser.requests:
        assert address.startswith((addresses[-1], "data:", "about:")), address


def card(index: int, selector: str) -> str:
    return f"{CARDS}[{index}].querySelector('{selector}')"


def test_the_page_shows_what_the_run_says(look: Callable[..., Any], browser: Any) -> None:
    served = look()
    run = served.run
    run.begin(DOOR)
    run.clip(DOOR, 3, 1000.0, 0.91, "FAKE")
    run.clip(DOOR, 4, 1000.0, 0.12, "REAL")
    browser.wait(f"{card(0, '.face')} && {CARDS}[0].querySelectorAll('.face').length === 2")
    names = browser.run(f"{CARDS}.map(one => one.querySelector('.name').textContent)")
    states = browser.run(f"{CARDS}.map(one => one.querySelector('.state').textContent)")
    assert names == [DOOR, GATE, HALL]
    assert states == ["● Running", "↻ Reconnecting", "● Running"]
    faces = browser.run(
        f"[...{CARDS}[0].querySelectorAll('.who')].map(one => one.innerText.replace(/\\s+/g, ' '))"
    )
    assert faces == ["#3 ▲ FAKE 0.91", "#4 ✓ REAL 0.12"]
    health = browser.run(f"{card(0, '.health')}.innerText")
    for shown in ("24.9 fps", "312 / 401 / 656 ms", "7 stale", "640 × 480"):
        assert shown in health
    assert browser.run(f"{card(1, '.trouble')}.innerText") == "no answer from gate.example"
    assert browser.run(f"{card(2, '.nobody')}.innerText") == "No face in sight"
    assert "2 running · 1 reconnecting · 2 faces · 1 FAKE" in browser.text("#summary")
    assert browser.run("document.title") == "▲ 1 FAKE · keras-ddl"
    assert "0123456789ab" in browser.text("#model")


def test_a_verdict_appears_without_a_reload(look: Callable[..., Any], browser: Any) -> None:
    served = look()
    browser.wait(LIVE)
    browser.run("window.sameDocument = true")
    assert "No event yet" in browser.text("#no-events")
    served.run.verdict(DOOR, 7, "FAKE", reason="score >= 0.60")
    browser.wait("document.querySelectorAll('#list li').length === 1", 2)
    text = browser.text("#list li")
    for shown in ("▲ FAKE", "#7 camera 0", "0.91", "score >= 0.60", "was UNCERTAIN"):
        assert shown in text
    served.run.verdict(GATE, None, "NO_FACE", reason="no face in sight")
    served.run.verdict(DOOR, 7, "REAL")
    browser.wait("document.querySelectorAll('#list li').length === 3", 2)
    visible = "[...document.querySelectorAll('#list li')].filter(one => !one.hidden).length"
    assert browser.run(visible) == 2  # NO_FACE is no face's event
    browser.run(
        "document.querySelector('#filter').value = '';"
        "document.querySelector('#filter').dispatchEvent(new Event('change'))"
    )
    assert browser.run(visible) == 3
    assert browser.run("window.sameDocument")


def test_stop_and_start_reach_the_run(look: Callable[..., Any], browser: Any) -> None:
    served = look()
    browser.wait(f"{CARDS}.length === 3")
    assert browser.run(f"{card(0, '.toggle')}.getAttribute('aria-label')") == "Stop camera 0"
    browser.run(f"{card(0, '.toggle')}.click()")
    browser.wait(f"{card(0, '.state')}.textContent.includes('Stopped')")
    assert served.run.asked == [("stop", DOOR)]
    browser.wait(f"{card(0, '.toggle')}.textContent === 'Start' && !{card(0, '.toggle')}.disabled")
    browser.run(f"{card(0, '.toggle')}.click()")
    browser.wait(f"{card(0, '.state')}.textContent.includes('Running')")
    assert served.run.asked == [("stop", DOOR), ("start", DOOR)]


def test_pictures_move_and_timelines_are_drawn(look: Callable[..., Any], browser: Any) -> None:
    served = look()
    served.run.begin(DOOR)
    for index in range(20):
        served.run.clip(DOOR, 1, index * 500.0, 0.9, "FAKE")
    for colour in ((250, 0, 0), (0, 0, 250)):
        served.run.picture(DOOR, np.full((30, 40, 3), colour, np.uint8))
        browser.wait(f"{NEAR}({card(0, '.picture')}, 20, 15, {[*colour]})")
    assert browser.run(f"[{card(0, '.picture')}.width, {card(0, '.picture')}.height]") == [40, 30]
    # The newest score, 0.9 in FAKE's colour, stands at the right end, a tenth below the top.
    browser.wait(
        f"(() => {{ const c = {card(0, '.scores')};"
        f"return {NEAR}(c, c.width - 5, Math.round(4 + 0.1 * (c.height - 8)), {[*FAKE]}) }})()"
    )
    label = browser.run(f"{card(0, '.scores')}.getAttribute('aria-label')")
    assert label == "Scores of face 1: 20 in the last minute, now 0.90, FAKE"


def test_nobody_is_watched_in_a_hidden_tab(look: Callable[..., Any], browser: Any) -> None:
    served = look()
    browser.wait(LIVE)
    end = time.monotonic() + 5
    while not served.run.sink.wants_picture and time.monotonic() < end:
        time.sleep(0.05)
    assert served.run.sink.wants_picture
    browser.run("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    time.sleep(0.4)  # loops that were under way
    browser.run("1")
    before = sum("picture" in one for one in browser.requests)
    time.sleep(0.6)
    browser.run("1")
    assert sum("picture" in one for one in browser.requests) == before > 0


def test_evidence_is_one_click_away(
    look: Callable[..., Any],
    browser: Any,
    write_evidence: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(evidence_files, "REFRESH_S", 0.1)
    crop = cv2.imencode(".png", np.full((60, 40, 3), 90, np.uint8))[1].tobytes()
    served = look(evidence=write_evidence("other").parent)
    event = served.run.verdict(DOOR, 7, "FAKE")
    browser.wait("document.querySelector('#list li')")
    assert browser.run("document.querySelector('#list .show').hidden")
    write_evidence(event, crop_png=crop)  # it comes later: the seconds after have to pass first
    browser.wait("!document.querySelector('#list .show').hidden")
    browser.wait("document.querySelector('#list .show img').naturalWidth === 40")
    browser.run("document.querySelector('#list .show').click()")
    assert browser.run("document.querySelector('#evidence').open")
    assert browser.text("#evidence-title") == "FAKE at camera 0, face 7"
    browser.wait("document.querySelector('#evidence img').naturalHeight === 60")
    links = "[...document.querySelectorAll('#evidence a')].map(one => one.getAttribute('href'))"
    assert browser.run(links) == [f"evidence/{event}/crop.png", f"evidence/{event}/manifest.json"]
    browser.run("document.querySelector('#close').click()")
    assert not browser.run("document.querySelector('#evidence').open")


def test_a_name_is_text_and_never_markup(
    look: Callable[..., Any], browser: Any, played: Any
) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">"
    run = played((evil, "</script><script>document.title='owned'</script>", HALL))
    run.sources[evil] = replace(
        run.sources[evil], health=Health(State.FAILED, evil, dropped={evil: 3})
    )
    run.begin(evil, model_id=evil, abstain=evil)
    run.clip(evil, 1, 0.0, 0.9, "FAKE")
    look(run)
    run.verdict(evil, 1, "FAKE", reason=evil, previous=evil)
    browser.wait("document.querySelector('#list li')")
    browser.wait(f"{card(0, '.trouble')}.textContent.includes('onerror')")
    time.sleep(0.3)
    assert browser.run(f"{card(0, '.name')}.textContent") == evil
    assert browser.run("document.querySelectorAll('img, #main script').length") == 0
    assert "owned" not in browser.run("document.title")


def test_signing_in_by_hand_and_by_link(look: Callable[..., Any], browser: Any) -> None:
    served = look(settings=Settings(port=0, token=TOKEN))
    browser.wait("!document.querySelector('#sign-in').hidden")
    assert browser.run("document.querySelector('#main').hidden")
    browser.run(
        f"document.querySelector('#token').value = {json.dumps(TOKEN)};"
        "document.querySelector('#sign-in').requestSubmit()"
    )
    browser.wait(f"{LIVE} && {CARDS}.length === 3")
    assert browser.run("document.cookie") == ""  # out of a script's reach
    browser.call("Network.clearBrowserCookies")
    browser.open(f"{served.address}/?token={TOKEN}")
    browser.wait(f"{LIVE} && {CARDS}.length === 3")
    assert browser.run("location.href") == f"{served.address}/"  # no token left in the address


def test_timing_and_trouble_of_the_run(look: Callable[..., Any], browser: Any, played: Any) -> None:
    run = played()
    with run.telemetry.measure("infer", DOOR):
        sum(range(200_000))
    run.telemetry.observe("detect", 0.0125, DOOR)
    run.telemetry.depth("infer", 3)
    run.telemetry.drop("overflow evidence", count=1200)
    look(run)
    browser.wait(LIVE)
    assert browser.run("document.querySelector('#trouble').hidden")
    browser.run("document.querySelector('#timing').open = true")
    browser.wait("document.querySelector('#stages table')")
    rows = "[...document.querySelectorAll('#stages tr')].map(one => one.innerText.split('\\t'))"
    table = {row[0]: row[1:] for row in browser.run(rows)}
    assert table[DOOR] == ["p50 ms", "p90 ms", "p99 ms"]
    assert table["detect"] == ["12.5", "12.5", "12.5"]
    assert "elsewhere" in browser.text("#cpu") and "infer" in browser.text("#cpu")
    assert browser.text("#run").split("\n")[1::2] == ["infer 3", "overflow evidence 1,200", "none"]
    run.telemetry.failure("mqtt")
    browser.wait("document.querySelector('#trouble').innerText.startsWith('Failures at: mqtt.')")


def test_no_source_and_no_verdict_have_their_own_look(
    look: Callable[..., Any], browser: Any, played: Any
) -> None:
    run = played()
    sources, run.sources = run.sources, {}
    look(run)
    browser.wait(f"{LIVE} && !document.querySelector('#no-cameras').hidden")
    run.begin(DOOR, abstain="model trained on synthetic faces only", domain="synthetic")
    run.sources = sources
    browser.wait(f"{CARDS}.length === 3 && document.querySelector('#no-cameras').hidden")
    assert "model trained on synthetic faces only" in browser.text("#abstain")
    assert browser.run(f"{card(0, '.over')}.innerText") == "Waiting for a picture"


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_scrolling_sideways_and_text_can_be_read(
    look: Callable[..., Any], browser: Any, dark: bool
) -> None:
    served = look(size=(400, 860, dark))
    for track, verdict, score in ((1, "FAKE", 0.9), (2, "REAL", 0.1), (3, "UNCERTAIN", 0.5)):
        served.run.clip(DOOR, track, 0.0, score, verdict)
        served.run.verdict(DOOR, track, verdict, reason="a" * 200)
    browser.wait("document.querySelectorAll('#list li').length === 3")
    browser.wait(f"{CARDS}[0].querySelectorAll('.face').length === 3")
    assert browser.run("document.documentElement.scrollWidth") <= 400
    low = browser.run(f"({CONTRAST})()")
    assert low == [], low


def test_a_lost_connection_is_said_and_comes_back(
    browser: Any, serve: Callable[..., Any], played: Any
) -> None:
    served = serve(played())
    browser.open(served.address)
    browser.wait(f"{LIVE} && {CARDS}.length === 3")
    port = served.server.port
    served.server.close()
    browser.wait("!document.querySelector('#lost').hidden", 3)
    assert "Connection lost" in browser.text("#lost")
    assert "✕" in browser.text("#link")
    assert browser.run("document.body.classList.contains('stale')")
    again = serve(played(), Settings(port=port))
    again.run.verdict(HALL, 5, "FAKE")
    browser.wait(f"{LIVE} && document.querySelector('#lost').hidden", 8)
    browser.wait("document.querySelector('#list li')")
    assert "#5 hall.mp4" in browser.text("#list li")


def test_silence_is_a_lost_connection_too(
    look: Callable[..., Any], browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = look()
    browser.wait(f"{LIVE} && {CARDS}.length === 3")
    talks, status = threading.Event(), served.run.status
    monkeypatch.setattr(served.run, "status", lambda: talks.wait(20) and status())
    browser.run("window.now = Date.now; Date.now = () => window.now() + 5000")  # 5 s without a word
    try:
        browser.wait("!document.querySelector('#lost').hidden", 4)
        assert "Connection lost. What you see is " in browser.text("#lost")
        assert browser.run("document.body.classList.contains('stale')")
    finally:
        talks.set()
    browser.wait(f"{LIVE} && document.querySelector('#lost').hidden")
    assert not browser.run("document.body.classList.contains('stale')")


def test_a_busy_run_does_not_drown_the_page(look: Callable[..., Any], browser: Any) -> None:
    served = look()
    stop = threading.Event()

    def play() -> None:
        index = 0
        while not stop.is_set():
            index += 1
            served.run.clip(DOOR, index % 4, index * 40.0, 0.5, "UNCERTAIN")
            served.run.verdict(DOOR, index % 4, "UNCERTAIN")
            time.sleep(0.005)

    playing = threading.Thread(target=play)
    playing.start()
    try:
        browser.wait("document.querySelectorAll('#list li').length === 500", 60)  # and no more
        browser.wait(f"{CARDS}[0].querySelectorAll('.face').length === 4")
    finally:
        stop.set()
        playing.join()
    served.run.verdict(HALL, 5, "FAKE")
    browser.wait("document.querySelector('#list li').innerText.includes('#5 hall.mp4')")
    assert browser.run("document.querySelectorAll('#list li').length") == 500


# Text whose contrast with what lies behind it is below WCAG's 4.5 (AA), as "class: ratio".
CONTRAST = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const color = channels(getComputedStyle(one).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || !node.offsetParent || node.closest('.screen, .hidden, .skip, template')) continue;
    const [one, other] = [light(channels(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) low.push(`${node.className || node.tagName}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""
