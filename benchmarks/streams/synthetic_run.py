"""A run on drawn faces, watched from inside, for the other benchmarks of streams."""

from __future__ import annotations

import json
import os
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from deploy.backends import Backend
from deploy.bundle import SYNTHETIC, Bundle
from deploy.control import SourceStatus
from deploy.judging.options import EVERY_S
from deploy.judging.output import Output
from deploy.judging.records import Record
from deploy.judging.session import RunDescription
from deploy.sinks import JsonLines, Sink
from deploy.sources import Watch, open_source
from deploy.streaming.runner import Runner
from deploy.streaming.source_worker import SourcePlan, SourceWorker
from deploy.telemetry import Telemetry
from keras_ddl.edge.clipper import FaceClipper
from keras_ddl.edge.faces import open_detector
from keras_ddl.edge.faces.search import FULL_EVERY, SearchRule
from keras_ddl.edge.memory import resident_bytes

DETECTOR = "haar"
SAMPLE_S = 5.0  # between two looks at the process, less in a short run


@dataclass(frozen=True)
class Sample:
    """The process at one moment.

    Attributes:
        seconds: Since the start.
        memory: Bytes.
        threads, files: How many there are, how many are open.
        dropped: By cause, frames and clips until then.
    """

    seconds: float
    memory: int
    threads: int
    files: int
    dropped: Mapping[str, int] = field(default_factory=Counter)


@dataclass
class SyntheticRun:
    """What a run came to.

    Attributes:
        seconds: Its length.
        frames: Handled, of all sources.
        dropped: By cause, frames and clips.
        delays: (seconds since the start, seconds from capture to verdict) of each clip.
        samples: The process every so often.
        written: Lines of the JSON Lines file.
        made: Records that were handed to the sinks.
        events: Verdict records in the file.
        gaps: Numbers missing among the events' ids: verdicts that were lost.
        cpu: Seconds of CPU time of the process.
        stages: Seconds of CPU time per stage, of the threads that ran it.
        clips: Clips judged.
    """

    seconds: float = 0.0
    frames: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    delays: list[tuple[float, float]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    written: int = 0
    made: int = 0
    events: int = 0
    gaps: int = 0
    cpu: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    clips: int = 0

    def delay(self, percent: float, since: float = 0.0, until: float = np.inf) -> float:
        """A percentile of the delays within a part of the run, in seconds; NaN without any."""
        chosen = [delay for moment, delay in self.delays if since <= moment < until]
        return float(np.percentile(chosen, percent)) if chosen else float("nan")


class _Clock(Telemetry):
    """Also remembers when each verdict came, and how late."""

    def __init__(self) -> None:
        super().__init__()
        self.began = time.monotonic()
        self.moments, self.lateness = array("d"), array("d")

    def observe(
        self, stage: str, seconds: float, source: str = "", cpu_seconds: float = 0.0
    ) -> None:
        super().observe(stage, seconds, source, cpu_seconds)
        if stage == "end_to_end":
            self.moments.append(time.monotonic() - self.began)
            self.lateness.append(seconds)

    @property
    def delays(self) -> list[tuple[float, float]]:
        """(Seconds since the start, seconds from capture to verdict) of each clip."""
        return list(zip(self.moments, self.lateness, strict=True))


class _Count(Sink):
    name = "count"

    def __init__(self) -> None:
        self.records = 0

    def write(self, output: Output) -> None:
        self.records += len(output.records)


def watch_synthetic(
    bundle: Bundle,
    backend: Backend,
    seconds: float,
    lines: Path,
    addresses: Sequence[str],
    every_s: float = EVERY_S,
    detector: str = DETECTOR,
) -> SyntheticRun:
    """Watch sources for a while.

    Args:
        bundle, backend: The model.
        seconds: How long.
        lines: File for the JSON Lines.
        addresses: The sources, `synthetic://…` for instance.
        every_s: Time between two clips of a face.
        detector: Of faces, as `open_detector` takes it.
    """
    telemetry, count, file = _Clock(), _Count(), JsonLines(lines)
    plans = [
        _plan(index, text, bundle, telemetry, every_s, detector)
        for index, text in enumerate(addresses)
    ]
    runner = Runner(RunDescription(bundle, backend, SYNTHETIC, telemetry=telemetry), plans)
    file.open()
    run = SyntheticRun(seconds=seconds)
    done = threading.Event()
    look = partial(_look, runner, telemetry)
    sampler = threading.Thread(
        target=_sample, args=(run.samples, look, done, min(SAMPLE_S, seconds / 20)), daemon=True
    )
    timer = threading.Timer(seconds, runner.quit)
    cpu = time.process_time()
    telemetry.began = time.monotonic()
    sampler.start()
    timer.start()
    try:
        sources = runner.run([file, count])
    finally:
        timer.cancel()
        done.set()
        sampler.join()
    run.cpu = time.process_time() - cpu
    run.delays, run.made = telemetry.delays, count.records
    _add_up(run, sources, telemetry)
    _read_back(run, lines)
    return run


def _plan(
    index: int, text: str, bundle: Bundle, telemetry: Telemetry, every_s: float, detector: str
) -> SourcePlan:
    name = f"{index} {text}"
    clipper = FaceClipper(
        bundle.spec,
        open_detector(detector),
        stride_ms=every_s * 1000.0,
        search=SearchRule(FULL_EVERY),
    )
    watch = Watch(keep_trying=True, telemetry=telemetry)
    return SourcePlan(name, partial(open_source, text, name=name, watch=watch), True, clipper)


def _add_up(run: SyntheticRun, sources: Sequence[SourceWorker], telemetry: Telemetry) -> None:
    """Sum over sources, and over what the run and its sources dropped."""
    for source in sources:
        run.frames += source.end["frames"] if source.end else 0
        run.clips += source.end["clips"] if source.end else 0
    run.dropped = _dropped([source.status() for source in sources], telemetry)
    for (stage, _), counts in telemetry.totals().stages.items():
        run.stages[stage] = run.stages.get(stage, 0.0) + counts.cpu_seconds


def _dropped(sources: Iterable[SourceStatus], telemetry: Telemetry) -> Counter[str]:
    """What the sources and the run dropped, by cause."""
    dropped: Counter[str] = Counter()
    for source in sources:
        dropped.update(source.health.dropped)
    for (cause, _), number in telemetry.totals().dropped.items():
        dropped[cause] += number
    return dropped


def _look(runner: Runner, telemetry: _Clock) -> Sample:
    """The process now."""
    files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    return Sample(
        time.monotonic() - telemetry.began,
        resident_bytes(),
        threading.active_count(),
        files,
        _dropped(runner.status(), telemetry),
    )


def _sample(
    samples: list[Sample], look: Callable[[], Sample], done: threading.Event, every_s: float
) -> None:
    while not done.wait(every_s):
        samples.append(look())


def _read_back(run: SyntheticRun, lines: Path) -> None:
    """Count what was written, and look for holes in the numbers of the events."""
    numbers: dict[str, list[int]] = {}
    for line in lines.read_text(encoding="utf-8").splitlines():
        record: Record = json.loads(line)
        run.written += 1
        if record["type"] == "verdict":
            started, _, number = record["event"].partition("-")
            numbers.setdefault(started, []).append(int(number))
    run.events = sum(map(len, numbers.values()))
    run.gaps = sum(max(found) - len(set(found)) for found in numbers.values())
