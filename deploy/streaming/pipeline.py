"""One source from its first frame to its last on one thread: source → faces → model → sinks.

Deterministic: the same file gives the same records. `deploy.streaming.runner` does the same for
several sources at once, on threads. Knows nothing of command lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from deploy.backends import Backend
from deploy.bundle import Bundle
from deploy.judging.frame_result import Sight, Spotter
from deploy.judging.records import Record
from deploy.judging.session import Setting, SourceJudge
from deploy.judging.verdict import Judge
from deploy.sinks import Output, Sink
from deploy.sources import Source
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.clipper import FaceClipper
from keras_ddl.edge.errors import UserError

BATCH = 8  # clips per call of the model at most


@dataclass(frozen=True)
class Parts:
    """What a run is made of; the caller opens and closes it.

    Attributes:
        source: Frames.
        clipper: Faces, tracks and clips.
        detector: Its name, for the records.
        bundle: The model's contract.
        backend: The model.
        sinks: Where results go.
        footage: What the source shows: "real" or "synthetic" faces.
        heat: Draw the inconsistency map over the faces.
        telemetry: Observer of the stages' duration.
    """

    source: Source
    clipper: FaceClipper
    detector: str
    bundle: Bundle
    backend: Backend
    sinks: Sequence[Sink] = ()
    footage: str = "real"
    heat: bool = False
    telemetry: NullTelemetry = field(default_factory=NullTelemetry)


class Pipeline:
    """One source judged in order."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        source = parts.source
        setting = Setting(
            source=source.name,
            bundle=parts.bundle,
            backend=parts.backend.name,
            detector=parts.detector,
            live=source.live,
            still=source.still,
            fps=source.fps,
            footage=parts.footage,
            heat=parts.heat,
            min_face=parts.clipper.min_face,
        )
        self._source_judge = SourceJudge(setting)
        self._spotter = Spotter(parts.clipper, parts.telemetry, source.name)

    @property
    def judge(self) -> Judge:
        """The verdicts so far."""
        return self._source_judge.judge

    def run(
        self, stop: Callable[[], bool] = lambda: False, limit_ms: float | None = None
    ) -> Record:
        """Go through the source and return the closing record, which the sinks got too.

        Args:
            stop: Asked before every frame; true ends the run in good order.
            limit_ms: Ends the run at this time of the source.

        Raises:
            UserError: the source broke off; the sinks have got the closing record by then.
        """
        self._emit(self._source_judge.begin())
        try:
            ended = self._walk(stop, limit_ms)
        except UserError:
            self._close("error")
            raise
        return self._close(ended)

    def _close(self, ended: str) -> Record:
        source = self._parts.source
        summary = self._parts.telemetry.summary(source.name)
        last = self._source_judge.end(ended, source.dropped, summary)
        self._emit(last)
        return last.records[-1]

    def _walk(self, stop: Callable[[], bool], limit_ms: float | None) -> str:
        telemetry, name = self._parts.telemetry, self._parts.source.name
        frames = iter(self._parts.source)
        while not stop():
            with telemetry.measure("decode", name):
                frame = next(frames, None)
            if frame is None:
                return "stopped" if stop() else "source"
            if limit_ms is not None and frame.time_ms >= limit_ms:
                return "limit"
            self._step(self._spotter.look(frame))
        return "stopped"

    def _step(self, sight: Sight) -> None:
        telemetry, name = self._parts.telemetry, self._parts.source.name
        self._source_judge.see(sight)
        clips = sight.step.clips
        for first in range(0, len(clips), BATCH):
            chunk = clips[first : first + BATCH]
            with telemetry.measure("infer", name):
                outputs = self._parts.backend.infer({"clip": np.stack([c.frames for c in chunk])})
            maps = outputs.get("inconsistency_map")
            for index, clip in enumerate(chunk):
                heat = None if maps is None else maps[index]
                probability = float(outputs["fake_probability"][index])
                self._source_judge.score(clip, sight.track(clip), probability, heat)
        draw = any(sink.wants_picture for sink in self._parts.sinks)
        with telemetry.measure("draw" if draw else "decide", name):
            output = self._source_judge.output(draw)
        self._emit(output)

    def _emit(self, output: Output) -> None:
        for sink in self._parts.sinks:
            sink.write(output)
