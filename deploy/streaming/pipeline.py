"""One source from its first frame to its last on one thread: source → faces → model → sinks.

Deterministic: the same file gives the same records. `deploy.streaming.runner` does the same for
several sources at once, on threads. Knows nothing of command lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from deploy.drawing.scene import annotated
from deploy.judging.output import Output
from deploy.judging.records import Record
from deploy.judging.session import RunDescription, SourceJudge
from deploy.sinks import Sink
from deploy.sources import Source
from deploy.streaming.micro_batcher import answers_of
from keras_ddl.edge.clipper import FaceClipper, FrameResult
from keras_ddl.edge.errors import UserError

BATCH = 8  # clips per call of the model at most


class Pipeline:
    """One source judged in order; the caller opens and closes what it is given.

    Args:
        run: What judges.
        source: Frames.
        clipper: Faces, tracks and clips.
        sinks: Where results go.
    """

    def __init__(
        self, run: RunDescription, source: Source, clipper: FaceClipper, sinks: Sequence[Sink]
    ) -> None:
        self._run = run
        self._source = source
        self._clipper = clipper
        self._sinks = sinks
        self._judge = SourceJudge(run, source, clipper)
        self._measure = partial(run.telemetry.measure, source=source.name)
        clipper.measure = self._measure

    def run(self) -> Record:
        """Go through the source and return the closing record, which the sinks got too.

        Raises:
            UserError: the source broke off; the sinks have got the closing record by then.
        """
        self._emit(self._judge.begin())
        try:
            self._walk()
        except UserError:
            self._close("error")
            raise
        return self._close("source")

    def _close(self, ended: str) -> Record:
        summary = self._run.telemetry.summary(self._source.name)
        last = self._judge.end(ended, self._source.dropped, summary)
        self._emit(last)
        return last.records[-1]

    def _walk(self) -> None:
        frames = iter(self._source)
        while True:
            with self._measure("decode"):
                frame = next(frames, None)
            if frame is None:
                return
            self._step(self._clipper.push(frame))

    def _step(self, result: FrameResult) -> None:
        self._judge.see(result)
        for first in range(0, len(result.clips), BATCH):
            chunk = result.clips[first : first + BATCH]
            with self._measure("infer"):
                answers = answers_of(self._run.backend, [clip.frames for clip in chunk])
            for clip, answer in zip(chunk, answers, strict=True):
                self._judge.score(clip, result.track(clip), answer.probability, answer.heat)
        draw = any(sink.wants_picture for sink in self._sinks)
        with self._measure("draw" if draw else "decide"):
            output = self._judge.output(annotated(self._judge, result) if draw else None)
        self._emit(output)

    def _emit(self, output: Output) -> None:
        for sink in self._sinks:
            sink.write(output)
