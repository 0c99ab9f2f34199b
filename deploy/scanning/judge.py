"""Judging of one file with the pipeline of `deploy/stream.py`."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.judging.records import Record, number
from deploy.judging.verdict import policy_for
from deploy.scanning.collector import Collector, CountingClipper
from deploy.scanning.file_at_hand import file_at_hand
from deploy.scanning.file_record import SKIPPED, UNREADABLE, blank_record, judged_record
from deploy.scanning.files import Candidate, is_picture
from deploy.scanning.kit import Kit
from deploy.scanning.progress import ShareSink
from deploy.scanning.results.place import RECORDS, THUMBS, Results
from deploy.scanning.results.stored_evidence import evidence_root
from deploy.scanning.sampling.sampled_clipper import SampledClipper
from deploy.scanning.sampling.sampled_source import SampledSource, sampling
from deploy.sinks.base import Sink
from deploy.sources.base import Source
from keras_ddl.edge.errors import MISSING, USAGE, UserError
from keras_ddl.edge.faces.track import MIN_HITS
from keras_ddl.edge.files import printable
from keras_ddl.edge.workers.pool import tell_share

if TYPE_CHECKING:
    from deploy.judging.session import RunDescription
    from deploy.telemetry import Telemetry

READERS = (  # loggers whose warnings are notes
    "keras_ddl.edge.video",
    "keras_ddl.edge.faces.repeated_frames",
    "deploy.sources.still",
)
FETCH = "fetch"  # reading all of a file for its digest, or fetching it from its store
STAGES = ("decode", "detect", "crop", "infer")
EVENT_DIGITS = 20  # hex, of the ids of a file's events


def judge_in_worker(kit: Kit, candidate: Candidate) -> Record:
    """Judge a file in a process of a `ProcessPool`.

    Raises:
        UserError: as `judge_file`, and where the results cannot be written.
    """
    try:
        return judge_file(candidate, kit, tell_share)
    except OSError as error:
        reason = f"writing results to '{kit.options.out}' failed: {error.strerror or error}"
        raise UserError(f"{reason}; make room and run the same command again", MISSING) from error


def judge_file(
    candidate: Candidate,
    kit: Kit,
    tell: Callable[[float], None],
    watchers: Callable[[Source], Sequence[Sink]] = lambda source: (),
) -> Record:
    """Judge a file and return its record for `scan.jsonl`, without its `key`.

    Args:
        candidate: The file.
        kit: Model, detector, options.
        tell: Called now and then with the share of the file that is done, in [0, 1].
        watchers: Returns further sinks for the opened file; where one of them, or this itself,
            raises a UserError of bad input, that is what the file's record says.

    Raises:
        UserError: something that is not this file's fault.
        OSError: the results cannot be written.
    """
    began = time.monotonic()
    record = blank_record(candidate)
    read_from = candidate.path
    with _reader_warnings() as notes:
        try:
            with file_at_hand(candidate, kit.options, tell) as (path, sha256):
                read_from = str(path)
                record["sha256"] = sha256
                fetched_s = time.monotonic() - began
                record |= _run(candidate, path, kit, sha256, tell, watchers)
                record["stage_s"] = {FETCH: round(fetched_s, 3), **record["stage_s"]}
        except UserError as error:
            if error.exit_code != USAGE:
                raise
            reason = str(error).replace(read_from, candidate.path)
            reason = reason.removeprefix(f"{candidate.path}: ")
            record |= {"status": UNREADABLE if candidate.expected else SKIPPED, "reason": reason}
    called = printable(candidate.path)
    record["notes"] = [note.replace(printable(read_from), called) for note in notes]
    record["elapsed_s"] = round(time.monotonic() - began, 3)
    record["judged_at"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return record


def _run(
    candidate: Candidate,
    path: Path,
    kit: Kit,
    sha256: str,
    tell: Callable[[float], None],
    watchers: Callable[[Source], Sequence[Sink]],
) -> dict[str, Any]:
    from deploy.sinks import JsonLines
    from deploy.streaming.pipeline import Pipeline
    from deploy.telemetry import Telemetry

    options, bundle, telemetry = kit.options, kit.bundle, Telemetry()
    results, name = Results(options.out), _result_name(candidate.path)
    lines, thumb = f"{RECORDS}/{name}.jsonl", f"{THUMBS}/{name}.jpg"
    with ExitStack() as stack:
        evidence = stack.enter_context(evidence_root(options.evidence, name))
        partial = stack.enter_context(results.writing(lines))
        picture = stack.enter_context(results.writing(thumb))
        source = stack.enter_context(_open(candidate, path, kit))
        clipper = _clipper(kit, source)
        collector = Collector()
        sinks: list[Sink] = [collector, ShareSink(source, tell), JsonLines(partial)]
        if evidence:
            policy = policy_for(bundle, options.footage, source.still)
            sinks.append(_evidence(kit, policy, evidence, candidate.path, sha256))
        sinks += watchers(source)
        for sink in sinks:
            stack.enter_context(sink)
        try:
            end = Pipeline(_description(kit, sha256, telemetry), source, clipper, sinks).run()
        finally:
            _close(sinks, candidate)
        picture.write_bytes(collector.thumbnail())
    seconds = source.sample["seconds"] if source.sample else _seconds(end, source)
    too_few = options.detect_every * (MIN_HITS - 1)
    return {
        **judged_record(end, bool(clipper.seen), too_few, options.search, source.sample),
        "fake_events": collector.fakes,
        "moment_ms": number(collector.moment_ms),
        "moment_probability": number(collector.moment_probability),
        "timeline": collector.timeline(1000.0 * seconds if source.sample else end["time_ms"]),
        "faces": len(clipper.seen),
        "decoder": end["decoder"],
        "still": source.still,
        "seconds": seconds,
        "sample": source.sample,
        "stage_s": _stage_seconds(telemetry),
        "records": lines,
        "thumb": thumb,
    }


def _seconds(end: Record, source: Source) -> float:
    """Until the last frame ends."""
    return float(round((end["time_ms"] + 1000.0 / source.fps) / 1000.0, 3))


def _stage_seconds(telemetry: Telemetry) -> dict[str, float]:
    """Seconds that each stage took."""
    stages = telemetry.totals().stages
    return {
        name: round(stages[key].seconds, 3) for name in STAGES for key in stages if key[0] == name
    }


def _clipper(kit: Kit, source: Source) -> CountingClipper | SampledClipper:
    spec, options = kit.bundle.spec, kit.options
    found, search = source.searched_by(kit.detector), source.search(options.search)
    every, stride = options.detect_every, options.stride_ms
    if isinstance(source, SampledSource):
        return SampledClipper(spec, found, every, stride, source.video.enough, search)
    return CountingClipper(spec, found, every, stride, search=search)


def _description(kit: Kit, sha256: str, telemetry: Telemetry) -> RunDescription:
    """The same file by the same rule has the same events, however often it is judged."""
    from deploy.judging.session import RunDescription

    recording = hashlib.sha256(f"{sha256} {kit.options.key}".encode()).hexdigest()[:EVENT_DIGITS]
    return RunDescription(
        bundle=kit.bundle,
        backend=kit.backend,
        footage=kit.options.footage,
        telemetry=telemetry,
        recording=recording,
    )


def _close(sinks: Sequence[Sink], candidate: Candidate) -> None:
    """Close the sinks; a file is done when all that belongs to it is on disk.

    Raises:
        UserError: something is not.
    """
    for sink in sinks:
        sink.close()
        if sink.missing:
            message = f"{printable(candidate.path)}: {sink.name} did not take everything"
            remedy = "make room and run the same command again"
            raise UserError(f"{message}: {sink.missing}; {remedy}", MISSING)


def _open(candidate: Candidate, path: Path, kit: Kit) -> Source:
    """By what the file is: a suffix is only a name."""
    from deploy.sources.still import StillSource

    source: Source
    if is_picture(path):
        source = StillSource(path, most_pixels=kit.options.most_pixels)
    else:
        source = _open_video(path, kit)
    fetched = candidate.path if candidate.stored is not None else ""
    source.name = candidate.name or fetched or printable(source.name)
    return source


def _open_video(path: Path, kit: Kit) -> Source:
    """A few places of it where that was asked for, unless it is too short for them."""
    from deploy.sources.file import FileSource

    options = kit.options
    if options.clips:
        how = sampling(kit.bundle.spec, options.clips, options.detect_every, options.stride_ms)
        sampled = SampledSource(path, how, options.most_pixels, options.decoder)
        if sampled.sample:
            return sampled
        sampled.close()
    return FileSource(path, "", options.most_pixels, options.decoder)


def _evidence(kit: Kit, policy: Any, root: str, path: str, sha256: str) -> Any:
    from deploy.sinks.evidence_folder import EvidenceFolder

    facts = {"file": printable(path), "file_sha256": sha256}
    options = kit.options
    key = Path(options.evidence_key) if options.evidence_key else None
    sink = EvidenceFolder(root, kit.bundle, policy, key=key, facts=facts, repeatable=True)
    sink.open()
    return sink


def _result_name(path: str) -> str:
    """A name for a file's results: readable, and unlike any other path's."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", Path(path).stem).strip("-")[:40] or "file"
    return f"{slug}-{hashlib.sha256(printable(path).encode()).hexdigest()[:12]}"


@contextmanager
def _reader_warnings() -> Iterator[list[str]]:
    """Collect what the reader warns of (corrupted packets, an early end) for the record."""
    notes: list[str] = []

    class _Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notes.append(printable(record.getMessage()))

    loggers, handler = [logging.getLogger(name) for name in READERS], _Collect(logging.WARNING)
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield notes
    finally:
        for logger, propagates in zip(loggers, before, strict=True):
            logger.propagate = propagates
            logger.removeHandler(handler)
