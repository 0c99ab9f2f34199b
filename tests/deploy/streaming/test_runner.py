"""Several sources on threads: the same records as one after the other, and nobody stops another."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from deploy.backends import Backend, TensorSpec
from deploy.bundle import Bundle
from deploy.judging.quality import DAMAGED
from deploy.judging.session import RunDescription, SourceJudge
from deploy.judging.verdict import TOO_FEW
from deploy.sinks import JsonLines, Output, Sink
from deploy.sources import Source, open_source
from deploy.sources.base import State
from deploy.sources.live.connection import Shot
from deploy.streaming.pipeline import Pipeline
from deploy.streaming.runner import Runner
from deploy.streaming.source_worker import SourcePlan
from deploy.streaming.verdict_worker import FrameMessage
from deploy.telemetry import Telemetry
from keras_ddl.edge.clipper import FaceClipper, FrameResult
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.faces.face import Face
from keras_ddl.edge.video import Frame

pytest.importorskip("cv2")
ROOT = Path(__file__).resolve().parents[3]
LONG_S = 30.0
SPEC = ClipSpec(frames=4, size=32)
SIDE = 64.0


class OneFace:
    """Finds a face in the middle of every picture that is not black."""

    name = "one face"

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        high, wide = image_rgb.shape[:2]
        box = ((wide - SIDE) / 2, (high - SIDE) / 2, SIDE, SIDE)
        return [Face(box, 0.9)] if image_rgb.any() else []


class Brightness(Backend):
    """Probability = mean brightness / 255; a gate may hold it up."""

    name = "brightness"
    metadata: Mapping[str, str] = {}
    inputs = (TensorSpec("clip", np.dtype(np.uint8), (None, 4, 32, 32, 3)),)
    outputs = (TensorSpec("fake_probability", np.dtype(np.float32), (None,)),)

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []

    def _run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.batches.append(len(feed["clip"]))
        if feed["clip"].any():  # the warm-up is black
            assert self.gate.wait(LONG_S)
        means = feed["clip"].mean(axis=(1, 2, 3, 4)) / 255.0
        return {"fake_probability": means.astype(np.float32)}


def picture(level: float) -> np.ndarray:
    """A pattern with the contrast and the sharpness of a face, black for level 0."""
    blocks = np.random.default_rng(0).uniform(-50.0, 50.0, (24, 32, 1))
    pattern = np.kron(blocks, np.ones((4, 4, 3)))
    return np.clip(level + pattern * (level > 0), 0, 255).astype(np.uint8)


class Played(Source):
    """Plays pictures at 25 fps of their own time; then ends, breaks off, waits, or repeats."""

    live = False

    def __init__(self, name: str, levels: list[float], then: str = "end") -> None:
        self.name, self.levels, self.then = name, levels, then
        self.live = then in ("wait", "repeat")
        self.left = threading.Event()
        self.played = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        levels = itertools.cycle(self.levels) if self.then == "repeat" else self.levels
        for index, level in enumerate(levels):
            if self.left.wait(0.002 if self.live else 0.0):
                return
            yield Frame(picture(level), index * 40.0, index)
        self.played.set()
        if self.then == "break":
            raise UserError(f"lost {self.name}", 3)
        if self.then == "wait":
            assert self.left.wait(LONG_S)

    def interrupt(self) -> None:
        self.left.set()


class Kept(Sink):
    """Remembers records, tells when enough have come."""

    name = "kept"

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.frames = 0
        self.came = threading.Condition()

    def write(self, output: Output) -> None:
        with self.came:
            self.records += output.records
            self.frames += output.frame is not None
            self.came.notify_all()

    def of(self, source: str, kind: str = "") -> list[dict[str, Any]]:
        rows = [row for row in self.records if row["source"] == source]
        return [row for row in rows if row["type"] == kind] if kind else rows

    def wait(self, what: Callable[[], Any]) -> None:
        with self.came:
            assert self.came.wait_for(what, LONG_S)


BUNDLE = Bundle(Path(), SPEC, "abc", "someset")


def clipper() -> FaceClipper:
    return FaceClipper(SPEC, OneFace(), 1, 500.0)


def plan_of(name: str, open_source: Callable[[], Source], live: bool = False) -> SourcePlan:
    return SourcePlan(name, open_source, live, clipper())


def runner_of(*plans: Source | SourcePlan, backend: Backend | None = None, **bounds: Any) -> Runner:
    return Runner(
        RunDescription(BUNDLE, backend or Brightness(), **bounds),
        [p if isinstance(p, SourcePlan) else plan_of(p.name, lambda p=p: p, p.live) for p in plans],
    )


@pytest.fixture
def background() -> Iterator[Callable[[Runner, Sink], threading.Thread]]:
    """Run in another thread; ended at the end of the test."""
    runs: list[tuple[Runner, threading.Thread]] = []

    def start(runner: Runner, sink: Sink) -> threading.Thread:
        thread = threading.Thread(target=runner.run, args=([sink],))
        runs.append((runner, thread))
        thread.start()
        return thread

    yield start
    for runner, thread in runs:
        runner.quit()
        thread.join(LONG_S)
        assert not thread.is_alive()


def told(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What records say, without ids, times of day and durations."""
    changing = {"event", "at", "latency_ms"}
    return [{k: v for k, v in row.items() if k not in changing} for row in records]


LEVELS = {
    "bright": [200.0] * 60,
    "dark": [60.0] * 60,
    "turning": [60.0] * 50 + [220.0] * 50,
    "nobody": [0.0] * 40,
}


def test_sources_together_get_the_records_that_each_gets_alone() -> None:
    sink = Kept()
    sources = runner_of(*(Played(name, levels) for name, levels in LEVELS.items())).run([sink])
    assert [source.error for source in sources] == [None] * len(LEVELS)
    for name, levels in LEVELS.items():
        alone = Kept()
        run = RunDescription(BUNDLE, Brightness())
        Pipeline(run, Played(name, levels), clipper(), [alone]).run()
        assert told(sink.of(name)) == told(alone.records)
    assert sink.frames == sum(map(len, LEVELS.values()))
    labels = {name: [r["verdict"] for r in sink.of(name, "verdict")] for name in LEVELS}
    expected = {"bright": ["FAKE"], "dark": ["REAL"], "turning": ["REAL", "FAKE"]}
    assert labels == {**expected, "nobody": ["NO_FACE"]}
    assert len({row["event"] for row in sink.records if "event" in row}) == sum(
        row["type"] == "verdict" for row in sink.records
    )


def test_a_source_that_cannot_be_opened_or_breaks_off_stops_no_other() -> None:
    sink = Kept()

    def refuse() -> Source:
        raise UserError("no such camera", 3)

    good, broken = Played("good", [200.0] * 30), Played("broken", [200.0] * 30, "break")
    runner = runner_of(plan_of("absent", refuse), good, broken)
    sources = {source.name: source for source in runner.run([sink])}
    assert str(sources["absent"].error) == "no such camera"
    assert sink.of("absent") == []
    assert str(sources["broken"].error) == "lost broken"
    assert sink.of("broken")[-1]["ended"] == "error"
    assert sink.of("broken")[-1]["frames"] == 30
    assert (sources["good"].error, sink.of("good")[-1]["ended"]) == (None, "source")
    states = {status.name: status.health.state for status in runner.status()}
    assert states == {"absent": State.FAILED, "broken": State.FAILED, "good": State.ENDED}


def test_a_live_source_never_waits_for_the_model(background: Callable[..., Any]) -> None:
    backend, sink = Brightness(), Kept()
    backend.gate.clear()
    source = Played("door", [200.0] * 60, "wait")
    telemetry = Telemetry()
    background(runner_of(source, backend=backend, telemetry=telemetry), sink)
    sink.wait(lambda: sink.frames == 60)  # all frames came out, not one answer has
    assert sink.of("door", "clip") == []
    backend.gate.set()
    sink.wait(lambda: len(sink.of("door", "clip")) >= 2)
    clips = sink.of("door", "clip")
    assert clips[0]["fake_probability"] == pytest.approx(200 / 255, abs=0.04)
    times = [clip["time_ms"] for clip in clips]
    assert times == sorted(times)
    assert telemetry.totals().dropped["superseded", "door"] >= 1  # old clips were not kept for it


def test_stop_and_start_of_one_source(background: Callable[..., Any]) -> None:
    sink = Kept()
    opened: list[Played] = []

    def door() -> Source:
        opened.append(Played("door", [200.0] * 60, "repeat"))
        return opened[-1]

    hall = Played("hall", [60.0] * 60, "repeat")
    runner = runner_of(plan_of("door", door, live=True), hall)
    thread = background(runner, sink)
    labels = {"door": "FAKE", "hall": "REAL"}
    sink.wait(
        lambda: all(
            any(row["verdict"] == label for row in sink.of(name, "verdict"))
            for name, label in labels.items()
        )
    )
    status = {entry.name: entry for entry in runner.status()}
    assert [face.verdict for face in status["door"].faces] == ["FAKE"]
    assert runner.snapshot("door").shape == (96, 128, 3)
    assert not np.array_equal(runner.snapshot("door"), picture(200.0))  # there are marks on it
    runner.stop("door")
    sink.wait(lambda: sink.of("door", "end"))
    assert sink.of("door", "end")[0]["ended"] == "stopped"
    assert thread.is_alive() and not sink.of("hall", "end")
    runner.start("door")
    before = {clip["track"] for clip in sink.of("door", "clip")}
    sink.wait(lambda: {clip["track"] for clip in sink.of("door", "clip")} > before)
    after = {clip["track"] for clip in sink.of("door", "clip")} - before
    assert min(after) > max(before)  # numbers are never used again
    assert len(sink.of("door", "start")) == 2
    assert len(opened) == 2
    for ask in (runner.start, runner.stop, runner.snapshot):
        with pytest.raises(KeyError):
            ask("attic")


def test_a_run_whose_only_source_was_stopped_waits_to_be_asked(
    background: Callable[..., Any],
) -> None:
    sink = Kept()
    runner = runner_of(Played("door", [200.0] * 20, "wait"))
    thread = background(runner, sink)
    sink.wait(lambda: sink.frames == 20)
    runner.stop("door")
    sink.wait(lambda: sink.of("door", "end"))
    thread.join(0.5)
    assert thread.is_alive()


def test_the_end_comes_within_two_seconds_also_while_an_opening_hangs() -> None:
    gate, entered = threading.Event(), threading.Event()

    def hang() -> Source:
        entered.set()
        gate.wait(LONG_S)
        raise UserError("too late", 3)

    sink = Kept()
    hall = Played("hall", [60.0] * 30, "wait")
    runner = runner_of(plan_of("dead", hang, live=True), hall)
    thread = threading.Thread(target=runner.run, args=([sink],))
    thread.start()
    assert entered.wait(LONG_S)
    sink.wait(lambda: sink.frames == 30)
    asked = time.monotonic()
    runner.quit()
    thread.join(LONG_S)
    assert time.monotonic() - asked < 5.0  # 2 s are promised; machines are busy
    assert runner.hanging
    assert sink.of("hall")[-1]["ended"] == "stopped"
    gate.set()


def test_too_much_memory_ends_the_run_in_good_order() -> None:
    sink = Kept()
    runner = runner_of(Played("door", [200.0] * 20, "wait"), max_memory=1 << 20)
    with pytest.raises(UserError, match="at most 1 MiB of memory") as caught:
        runner.run([sink])
    assert caught.value.exit_code == 3
    assert sink.of("door")[-1]["ended"] == "stopped"


def test_a_limit_ends_each_source_at_its_own_time() -> None:
    sink = Kept()
    runner_of(Played("a", [200.0] * 50), limit_ms=800.0).run([sink])
    end = sink.of("a")[-1]
    assert (end["ended"], end["frames"]) == ("limit", 20)


def test_a_model_that_fails_ends_its_source_with_one_line() -> None:
    class Broken(Brightness):
        def _run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            if feed["clip"].any():
                raise RuntimeError("CUDA error: out of memory\nat line 7")
            return super()._run(feed)

    sink = Kept()
    (source,) = runner_of(Played("a", [200.0] * 60), backend=Broken()).run([sink])
    assert str(source.error) == "the model failed on a: CUDA error: out of memory"
    assert sink.of("a")[-1]["ended"] == "error"


def test_the_first_call_takes_the_memory_of_the_largest() -> None:
    backend = Brightness()
    backend.largest_batch = 5
    runner_of(Played("a", [200.0] * 30), backend=backend).run([Kept()])
    assert backend.batches[0] == 5 and max(backend.batches[1:]) <= 5


def test_latencies_and_drops_are_told() -> None:
    sink = Kept()
    runner_of(Played("a", [200.0] * 60), telemetry=Telemetry()).run([sink])
    stages = sink.of("a")[-1]["latency_ms"]
    assert {"decode", "detect", "crop", "infer", "decide", "end_to_end"} <= set(stages)
    for value in stages.values():
        assert 0 <= value["p50"] <= value["p90"] <= value["p99"]


def test_answers_that_come_after_their_face_has_gone_still_count_and_nothing_is_kept() -> None:
    """A face leaves while the model is busy; its clips are in the totals, its crops are let go."""
    finder = clipper()
    judge = SourceJudge(RunDescription(BUNDLE, Brightness()), Played("door", [], "wait"), finder)
    levels = [200.0] * 60 + [0.0] * 60
    asked, ended = [], 0
    for index, level in enumerate(levels):
        result = finder.push(Frame(picture(level), index * 40.0, index))
        judge.see(result)
        asked += [(clip, result.track(clip)) for clip in result.clips]
        ended += len(result.ended)
        judge.output()
    assert (len(asked), ended) == (5, 1)
    rows = []
    for number, (clip, track) in enumerate(asked):
        if number == 2:
            judge.miss(clip)  # superseded
        else:
            judge.score(clip, track, 0.9, None)
        rows += judge.output().records
    assert [row["type"] for row in rows] == ["clip", "clip", "clip", "verdict", "clip"]
    assert rows[3]["verdict"] == "FAKE"
    end = judge.end("source", 0, {}).records[-1]
    assert end["clips"] == end["video"]["clips"] == end["tracks"]["1"]["clips"] == 4
    assert judge.judge.current(1) is None
    assert not (judge._newest or judge._said or judge._asked or judge._leaving)


def judged(frames: Iterable[Frame]) -> SourceJudge:
    """A source's judge after these frames, whose clips are all called fake."""
    finder = clipper()
    judge = SourceJudge(RunDescription(BUNDLE, Brightness()), Played("door", [], "wait"), finder)
    for frame in frames:
        result = finder.push(frame)
        judge.see(result)
        for clip in result.clips:
            judge.score(clip, result.track(clip), 0.9, None)
        judge.output()
    return judge


def test_of_damaged_frames_nothing_is_claimed_and_the_reason_says_so() -> None:
    pictures = [picture(200.0)] * 60
    whole = judged(Frame(image, index * 40.0, index) for index, image in enumerate(pictures))
    assert whole.end("source", 0, {}).records[-1]["video"]["verdict"] == "FAKE"
    damaged = judged(
        Frame(image, index * 40.0, index, damaged=index >= 9)
        for index, image in enumerate(pictures)
    )
    end = damaged.end("source", 0, {}).records[-1]
    assert end["clips"] == whole.clips
    assert end["video"]["verdict"] == "UNCERTAIN"
    assert end["video"]["reason"] == f"{TOO_FEW.format(2)}: {DAMAGED}"


def test_where_clips_stop_the_reason_says_why_there_are_no_more() -> None:
    times = [*range(0, 320, 40), *range(400, 4000, 100)]
    judge = judged(Frame(picture(200.0), time, index) for index, time in enumerate(times))
    video = judge.end("source", 0, {}).records[-1]["video"]
    assert (video["clips"], video["verdict"]) == (1, "UNCERTAIN")
    assert video["reason"].startswith(
        f"{TOO_FEW.format(2)}: frames come every 100 ms (10.0 fps); a clip needs one at least"
    )


def test_a_live_frame_crosses_the_files_that_the_document_lists(tmp_path: Path) -> None:
    carriers = (Shot, Frame, FrameResult, FrameMessage, Output)
    crossed: set[str] = set()

    def note(frame: FrameType, event: str, value: object) -> None:
        path = frame.f_code.co_filename
        if event == "return" and path.startswith((str(ROOT / "deploy"), str(ROOT / "keras_ddl"))):
            if any(isinstance(held, carriers) for held in (value, *frame.f_locals.values())):
                crossed.add(Path(path).relative_to(ROOT).as_posix())

    plan = plan_of("door", partial(open_source, "synthetic://?seconds=1", name="door"), live=True)
    sink = JsonLines(tmp_path / "lines.jsonl")
    sink.open()
    threading.setprofile(note)
    try:
        (source,) = runner_of(plan).run([sink])
    finally:
        threading.setprofile(None)
    assert source.end is not None and source.end["frames"] > 0
    text = (ROOT / "docs" / "streaming.md").read_text(encoding="utf-8")
    first, *between, last = re.findall(r"^\d+\. `(\S+)`", text, re.MULTILINE)
    assert all((ROOT / file).is_file() for file in (first, last))
    assert crossed == {"deploy/sources/synthetic.py", *between, last}
    assert len(crossed) <= 8
