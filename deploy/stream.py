"""Judge a camera, a file or a network stream: `python deploy/stream.py --camera 0`.

JSON Lines go to stdout (docs/json-lines.md), everything for people to stderr, exit codes are in
docs/exit-codes.md. Needs the `edge` extra, not TensorFlow.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deploy.arguments import DETECTORS, FOOTAGE, at_least, positive, set_up_logging
from deploy.bundle import DEFAULT_BUNDLE, open_bundle
from deploy.sinks import STDOUT, AnnotatedVideo, JsonLines, Progress, Sink, Window
from keras_ddl.errors import INTERRUPTED, Parser, UserError, run_cli
from keras_ddl.faceclips import DETECT_EVERY


class Stopper:
    """Remembers that a run shall end; the first Ctrl-C sets it, the second one interrupts."""

    def __init__(self) -> None:
        self.asked = False
        self.by_signal = False
        self.source: Any = None

    def quit(self) -> None:
        """End the run at the next frame."""
        self.asked = True

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGINT or SIGTERM."""
        if self.by_signal:
            raise KeyboardInterrupt
        self.asked = self.by_signal = True
        if self.source is not None:
            self.source.interrupt()

    @contextmanager
    def listening(self, source: Any) -> Iterator[None]:
        """Handle signals within this block."""
        self.source = source
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = {kind: signal.signal(kind, self.on_signal) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parser().parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _quietly(args))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="stream.py", description=(__doc__ or "").partition("\n")[0])
    what = parser.add_argument_group("what to watch").add_mutually_exclusive_group(required=True)
    what.add_argument("--camera", type=at_least(0), metavar="N", help="camera by index")
    what.add_argument("--source", metavar="FILE_OR_URL", help="file, device, rtsp:// or http://")
    model = parser.add_argument_group("who judges")
    model.add_argument(
        "--bundle",
        type=Path,
        default=DEFAULT_BUNDLE,
        help="bundle or engine (default: %(default)s)",
    )
    model.add_argument("--threads", type=at_least(1), metavar="N", help="compute threads")
    model.add_argument(
        "--device",
        choices=("cpu", "cuda", "tensorrt"),
        default="cpu",
        help="where ONNX Runtime computes; an engine has its own (default: %(default)s)",
    )
    model.add_argument(
        "--domain",
        choices=FOOTAGE,
        default="real",
        help="what the footage shows; a model trained on synthetic faces judges only synthetic "
        "ones (default: %(default)s)",
    )
    faces = parser.add_argument_group("faces and clips")
    faces.add_argument("--detector", choices=DETECTORS, default="auto", help="(default: auto)")
    faces.add_argument(
        "--detect-every",
        type=at_least(1),
        default=DETECT_EVERY,
        metavar="FRAMES",
        help="look for faces every so many frames, track between (default: %(default)s)",
    )
    faces.add_argument(
        "--stride-ms",
        type=positive,
        metavar="MS",
        help="time between two clips of a face (default: clips do not overlap)",
    )
    results = parser.add_argument_group("results")
    results.add_argument(
        "--jsonl", default=STDOUT, metavar="FILE", help="JSON Lines to a file (default: stdout)"
    )
    results.add_argument("--save", type=Path, metavar="OUT.mp4", help="annotated video")
    results.add_argument("--show", action="store_true", help="annotated video in a window")
    results.add_argument("--heat", action="store_true", help="draw where the model sees change")
    results.add_argument("--max-seconds", type=positive, metavar="S", help="stop after this time")
    return parser


def _quietly(args: argparse.Namespace) -> int:
    """A reader of stdout that went away (`| head`) ends the run without a word."""
    try:
        return _run(args)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 0
    except OSError as error:  # disk full, device pulled out
        raise UserError(f"reading or writing failed: {error.strerror or error}") from error


def _run(args: argparse.Namespace) -> int:
    from deploy.pipeline import Parts, Pipeline
    from deploy.sources import open_source
    from deploy.timing import StageTimes
    from keras_ddl.faceclips import FaceClipper
    from keras_ddl.faces import open_detector

    stopper = Stopper()
    with ExitStack() as stack:
        text = str(args.camera) if args.camera is not None else args.source
        source = stack.enter_context(open_source(text))
        bundle, backend = open_bundle(args.bundle, args.threads, args.device)
        stack.enter_context(backend)
        detector = open_detector(args.detector)
        clipper = FaceClipper(bundle.spec, detector, args.detect_every, args.stride_ms)
        sinks = [stack.enter_context(sink) for sink in _sinks(args, source, stopper)]
        parts = Parts(
            source=source,
            clipper=clipper,
            detector=detector.name,
            bundle=bundle,
            backend=backend,
            sinks=sinks,
            footage=args.domain,
            heat=args.heat,
            times=StageTimes(),
        )
        pipeline = Pipeline(parts)
        _say(f"{source.name} | model {bundle.model_id} | {backend.name}")
        if pipeline.judge.policy.abstain:
            _say(f"no verdict on real footage: {pipeline.judge.policy.abstain}; scores follow")
        limit_ms = args.max_seconds * 1000.0 if args.max_seconds else None
        with stopper.listening(source):
            end = pipeline.run(lambda: stopper.asked, limit_ms)
    _say(_summary(end))
    return INTERRUPTED if stopper.by_signal else 0


def _sinks(args: argparse.Namespace, source: Any, stopper: Stopper) -> list[Sink]:
    sinks: list[Sink] = [JsonLines(args.jsonl)]
    if args.save:
        sinks.append(AnnotatedVideo(args.save, source.fps))
    if args.show:
        sinks.append(Window(source.name, stopper.quit))
    crowded = args.jsonl == STDOUT and sys.stdout.isatty()  # lines and bar on one screen
    if not (source.live or crowded):
        sinks.append(Progress(source.length))
    return sinks


def _summary(end: dict[str, Any]) -> str:
    """The closing record in one line for people."""
    video = end["video"]
    mean = "none" if video["fake_probability"] is None else f"{video['fake_probability']:.2f}"
    counts = f"{end['frames']} frames, tracks: {len(end['tracks'])}, clips: {end['clips']}"
    stages = end["latency_ms"].items()
    times = ", ".join(f"{name} {value['p50']:.1f}/{value['p90']:.1f}" for name, value in stages)
    verdict = f"{video['verdict']} ({video['reason']}), mean score {mean}"
    return f"{end['time_ms'] / 1000.0:.1f} s, {counts}: {verdict}; ms p50/p90: {times}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
