"""What is kept of a run, for whom, and that it stays bounded."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from deploy.dashboard import sink as sinks
from deploy.dashboard.history import EVENTS, POINTS, TRACKS, History
from deploy.dashboard.sink import WIDEST, Pictures

DOOR = "camera 0"


def clip(track: int, time_ms: float, score: float | None = 0.5) -> dict[str, Any]:
    fields = {"fake_probability": score, "probability_smoothed": score, "verdict": "UNCERTAIN"}
    return {"type": "clip", "track": track, "time_ms": time_ms, **fields}


def verdict(label: str = "FAKE", **fields: object) -> dict[str, Any]:
    return {"type": "verdict", "track": 1, "verdict": label, "time_ms": 0.0, **fields}


def test_only_news_is_given_after_a_revision() -> None:
    kept = History()
    kept.add(DOOR, {"type": "start", "fake_from": 0.6, "real_to": 0.4, "spec": {"frames": 8}})
    kept.add(DOOR, clip(1, 100.0, 0.25))
    kept.add(DOOR, verdict(event="a"))
    first = kept.since(0)
    assert first["scores"] == {
        DOOR: {
            "rule": {"fake_from": 0.6, "real_to": 0.4},
            "tracks": {1: [(100.0, 0.25, 0.25, "UNCERTAIN")]},
        }
    }
    assert [event["event"] for event in first["events"]] == ["a"]
    assert kept.since(first["revision"]) == {
        "revision": first["revision"],
        "events": [],
        "scores": {},
    }
    kept.add(DOOR, clip(1, 200.0, None))
    news = kept.since(first["revision"])
    assert news["scores"][DOOR] == {"tracks": {1: [(200.0, None, None, "UNCERTAIN")]}}


def test_everything_is_bounded() -> None:
    kept = History()
    for index in range(POINTS + 50):
        kept.add(DOOR, clip(0, float(index)))
    assert len(kept.since(0)["scores"][DOOR]["tracks"][0]) == POINTS
    for track in range(1, TRACKS + 5):
        kept.add(DOOR, clip(track, 1000.0))
    assert set(kept.since(0)["scores"][DOOR]["tracks"]) == set(range(5, TRACKS + 5))
    for index in range(EVENTS + 10):
        kept.add(DOOR, verdict(event=str(index)))
    events = kept.events()
    assert (len(events), events[0]["event"], events[-1]["event"]) == (EVENTS, str(EVENTS + 9), "10")
    assert [event["event"] for event in kept.events(2)] == [str(EVENTS + 9), str(EVENTS + 8)]


def test_a_track_seen_again_is_not_the_one_that_goes() -> None:
    kept = History()
    for track in range(TRACKS):
        kept.add(DOOR, clip(track, 0.0))
    kept.add(DOOR, clip(0, 1.0))
    kept.add(DOOR, clip(99, 2.0))
    tracks = kept.since(0)["scores"][DOOR]["tracks"]
    assert 0 in tracks and 1 not in tracks


def test_a_source_that_starts_again_begins_anew() -> None:
    kept = History()
    kept.add(DOOR, clip(1, 60_000.0))
    kept.add("another", clip(1, 60_000.0))
    seen = kept.since(0)["revision"]
    kept.add(DOOR, {"type": "start", "fake_from": 0.6})
    kept.add(DOOR, clip(2, 40.0))
    news = kept.since(seen)["scores"]
    assert list(news) == [DOOR]
    assert (news[DOOR]["cleared"], list(news[DOOR]["tracks"])) == (True, [2])
    assert "cleared" not in kept.since(0)["scores"][DOOR]  # whoever comes new has nothing to forget


def test_pictures_are_wanted_only_while_somebody_asks(
    played: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = played().sink
    assert not sink.wants_picture
    sink.pictures.get(DOOR, 0)
    assert sink.wants_picture
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not sink.wants_picture


def test_a_picture_is_encoded_once_and_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2")
    encoded: list[tuple[int, ...]] = []
    original = sinks.jpeg
    monkeypatch.setattr(sinks, "jpeg", lambda image: encoded.append(image.shape) or original(image))
    kept = Pictures()
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 250
    kept.put(DOOR, red)
    first = kept.get(DOOR, 0)
    assert first is not None and kept.get(DOOR, 0) == first
    assert encoded == [(48, 64, 3)]
    blue, green, seen_red = cv2.imdecode(np.frombuffer(first.data, np.uint8), 1)[24, 32]
    assert seen_red > 240 and max(blue, green) < 12
    assert kept.get(DOOR, first.number) is None
    assert kept.get("another", 0) is None
    kept.put(DOOR, red)
    second = kept.get(DOOR, first.number)
    assert second is not None and second.number > first.number


def test_a_wide_picture_is_sent_smaller() -> None:
    cv2 = pytest.importorskip("cv2")
    data = sinks.jpeg(np.zeros((1080, 1920, 3), np.uint8))
    assert cv2.imdecode(np.frombuffer(data, np.uint8), 1).shape == (720, WIDEST, 3)
