"""Live verdicts on cameras, network streams and files: `python deploy/stream.py --camera 0`.

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
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deploy.judging.options import check_evidence_proofs, search_rule
from deploy.judging.verdict import policy_for
from deploy.log_lines import set_up_logging
from deploy.streaming.options import check_uploads, stream_parser
from keras_ddl.edge.errors import INTERRUPTED, MISSING, UserError, run_cli

if TYPE_CHECKING:
    from deploy.bundle import Bundle
    from deploy.sinks import Sink
    from deploy.streaming.runner import Runner
    from deploy.streaming.source_worker import SourcePlan, SourceWorker
    from deploy.streaming.sources_file import SourceConfig
    from deploy.telemetry import Telemetry


class Stopper:
    """The handler of signals: the first ends a run in good order, the second one interrupts."""

    def __init__(self, runner: Runner) -> None:
        self.by_signal = False
        self._runner = runner

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGINT or SIGTERM."""
        if self.by_signal:
            raise KeyboardInterrupt
        self.by_signal = True
        self._runner.quit()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals within this block."""
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = {kind: signal.signal(kind, self.on_signal) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = stream_parser((__doc__ or "").partition("\n")[0])
    args = parser.parse_args(argv)
    if not (args.camera or args.source or args.config):
        parser.error("one of --camera --source --config is needed")
    set_up_logging(args.log)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from deploy.bundle import known_errors
    from deploy.judging.session import RunDescription
    from deploy.machine.choose_model import choose_model
    from deploy.machine.choose_threads import open_with_threads
    from deploy.sinks.mqtt.discovery import discovery_asked
    from deploy.streaming.open_sinks import open_sinks
    from deploy.streaming.runner import Runner
    from deploy.telemetry import Telemetry

    telemetry = Telemetry()
    configs = _configs(args)
    check_evidence_proofs(args)
    check_uploads(args)
    discovery_asked(args, "")  # a mistake is told before a model is opened
    _check(args, configs)
    model = choose_model(args.bundle, args.backend)
    bundle, backend, threads = open_with_threads(model, args.threads, args.device)
    with backend, ExitStack() as stack:
        description = RunDescription(
            bundle=bundle,
            backend=backend,
            footage=args.domain,
            heat=args.heat,
            telemetry=telemetry,
            limit_ms=args.max_seconds * 1000.0 if args.max_seconds else None,
            max_batch=args.max_batch,
            deadline_s=args.deadline_ms / 1000.0,
            max_memory=args.max_memory << 20 if args.max_memory else None,
        )
        runner = Runner(description, _plans(args, configs, bundle, telemetry))
        sinks = open_sinks(args, runner, bundle, telemetry)
        if args.dashboard:
            sinks.append(_dashboard(args, runner, telemetry, model, stack))
        stopper = Stopper(runner)
        for plan in runner.plans:
            runtime = f"{backend.name}, {threads}" if threads else backend.name
            _say(f"{plan.name} | model {bundle.model_id} | {runtime}")
        if why := policy_for(bundle, args.domain).abstain:
            _say(f"no verdict on real footage: {why}; scores follow")
        else:
            _say(f"known errors: {known_errors(bundle)}")
        with stopper.listening():
            sources = runner.run(sinks)
    return _conclude(runner, sources, stopper.by_signal)


def _dashboard(
    args: argparse.Namespace, runner: Runner, telemetry: Telemetry, model: Path, stack: ExitStack
) -> Sink:
    from deploy.dashboard import DashboardServer, DashboardSink, Settings
    from deploy.dashboard.uploads import PATH, uploads_page

    token_file, names = args.dashboard_token_file, args.dashboard_name
    proxies = args.dashboard_proxy
    settings = Settings.from_options(args.dashboard, token_file, names, proxies=proxies)
    sink, pages = DashboardSink(telemetry), []
    if args.dashboard_uploads:
        detector = runner.plans[0].clipper.detector.name
        page = uploads_page(args, model, runner.description, detector)
        pages.append(stack.enter_context(page).under(PATH))
    stack.enter_context(DashboardServer(settings, runner, sink, telemetry, args.evidence, pages))
    return sink


def _configs(args: argparse.Namespace) -> list[SourceConfig]:
    """All sources that were asked for; where others are watched, one that is not there can wait."""
    from deploy.sources import Limits, redact
    from deploy.streaming.sources_file import SourceConfig, read_streams
    from keras_ddl.edge.video.decoder import choose_decoder

    device = choose_decoder(args.decode)
    configs = read_streams(args.config) if args.config else []
    configs = [replace(config, device=device) for config in configs]
    texts = [*map(str, args.camera), *args.source]
    keep_trying = args.keep_trying or len(configs) + len(texts) > 1
    for text in texts:
        a_camera = text.isdecimal() and not Path(text).exists()
        name = _free_name(f"camera {text}" if a_camera else redact(text), text, configs)
        limits = Limits(args.variant, round(args.max_megapixels * 1e6))
        config = SourceConfig(text, name, keep_trying, args.realtime, limits=limits, device=device)
        configs.append(config)
    return configs


def _free_name(name: str, url: str, configs: Sequence[SourceConfig]) -> str:
    """A name, numbered where another address, alike in all that may be shown, has it already."""
    others = [config for config in configs if config.name == name and config.url != url]
    return f"{name} ({len(others) + 1})" if others else name


def _check(args: argparse.Namespace, configs: Sequence[SourceConfig]) -> None:
    """Refuse what can never be watched, before a model is opened.

    Raises:
        UserError: no such file, not an address, two of one name (2); not one is there just now,
            and none is waited for (3).
    """
    from deploy.sources import check_source

    names = [config.name for config in configs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"expected sources that differ, received '{twice}' twice")
    missing = []
    for config in configs:
        try:
            check_source(config.url, config.limits)
        except UserError as error:
            if error.exit_code != MISSING:
                raise
            missing.append(error)
    patient = args.keep_trying or any(config.keep_trying for config in configs if args.config)
    if len(missing) == len(configs) and not patient:
        raise missing[0]


def _plans(
    args: argparse.Namespace,
    configs: Sequence[SourceConfig],
    bundle: Bundle,
    telemetry: Telemetry,
) -> list[SourcePlan]:
    from deploy.sources import is_live
    from deploy.streaming.source_worker import SourcePlan
    from keras_ddl.edge.clipper import FaceClipper
    from keras_ddl.edge.faces import open_detector

    plans, chosen = [], args.detector
    for config in configs:
        detector = open_detector(chosen)  # one for each source: detectors keep state
        chosen = detector.name  # "auto" is decided once
        clipper = FaceClipper(
            bundle.spec,
            detector,
            args.detect_every,
            args.every * 1000.0,
            search=search_rule(args),
        )
        live = is_live(config.url)
        plans.append(SourcePlan(config.name, partial(config.open, telemetry), live, clipper))
    return plans


def _conclude(runner: Runner, sources: Sequence[SourceWorker], by_signal: bool) -> int:
    """Say how it went; the first trouble decides about the exit code."""
    if runner.quiet_end:
        # A reader of stdout that went away (`| head`) ends the run without a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return _leave(runner, 0)
    errors: list[Exception] = []
    for source in sources:
        if source.end is not None:
            _say(f"{source.name}: {_summary(source.end)}")
        if source.error is not None:
            errors.append(source.error)
    for name, error in runner.failures.items():
        code = error.exit_code if isinstance(error, UserError) else MISSING
        text = getattr(error, "strerror", None) or error
        errors.append(UserError(f"{name} did not take everything: {text}", code))
    if by_signal:
        return _leave(runner, INTERRUPTED)
    if not errors:
        return _leave(runner, 0)
    for error in errors[1:]:
        _say(f"error: {error}")
    raise errors[0]


def _leave(runner: Runner, code: int) -> int:
    """End the process at once where a thread hangs in a driver or behind a full pipe."""
    if runner.hanging:
        os._exit(code)
    return code


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
