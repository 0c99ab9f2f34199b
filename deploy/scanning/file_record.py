"""Record of one file in `scan.jsonl`: what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.judging.records import Record
from deploy.judging.verdict import Label
from deploy.scanning.files import Candidate
from keras_ddl.edge.faces.search import SearchRule
from keras_ddl.edge.workers.pool import TIMEOUT, Loss

JUDGED, UNREADABLE, SKIPPED = "judged", "unreadable", "skipped"  # or `CRASHED`, `TIMEOUT`
EVERY_FACE = "no face{} in any frame"
NO_PLACE = "no face{} at any of the {} places looked at"
TOO_SHORT = "{} too few to tell whether there is a face"


def blank_record(candidate: Candidate) -> Record:
    """What every record begins with."""
    return {
        **({"tag": candidate.tag} if candidate.tag else {}),
        "path": candidate.path,
        "size": candidate.size,
        "mtime_ns": candidate.mtime_ns,
        "sha256": "",
        "status": UNREADABLE,
        "verdict": None,
        "reason": "",
        "notes": [],
    }


def lost_record(candidate: Candidate, loss: Loss, timeout_s: float) -> Record:
    """Return the record of a file that has no result of its own.

    Args:
        candidate: The file.
        loss: How it was lost.
        timeout_s: The bound on time that held.
    """
    record = {**blank_record(candidate), "status": loss.kind, "reason": loss.reason}
    if loss.kind == TIMEOUT:
        record["reason"] += "; raise it with --file-timeout"
        record["timeout_s"] = timeout_s
    return record


def troubled_record(candidate: Candidate) -> Record:
    """Return the record of what cannot be tried."""
    return {"type": "file", **blank_record(candidate), "reason": candidate.trouble}


def judged_record(
    end: Record,
    any_face: bool,
    too_few: int,
    search: SearchRule,
    sample: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return what the record of a judged file says of its verdict, which is the closing record's.

    Args:
        end: The closing record.
        any_face: Whether a face was confirmed in any frame; where none was it is NO_FACE.
        too_few: In a video of so many frames, or fewer, none can be confirmed: nothing is said.
        search: Which faces were looked for.
        sample: In how many `places` it was looked at; None = every frame was.
    """
    video = end["video"]
    if not any_face and sample:
        reason = NO_PLACE.format(search.sizes, sample["places"])
        video = {**video, "verdict": Label.NO_FACE.value, "reason": reason}
    elif not any_face and end["frames"] > too_few:
        video = {**video, "verdict": Label.NO_FACE.value, "reason": EVERY_FACE.format(search.sizes)}
    elif not any_face:
        many = "1 frame is" if end["frames"] == 1 else f"{end['frames']} frames are"
        video = {**video, "reason": TOO_SHORT.format(many)}
    tracks = [{"track": int(track), **facts} for track, facts in end["tracks"].items()]
    scored = [facts for facts in tracks if facts["fake_probability"] is not None]
    return {
        "status": JUDGED,
        "verdict": video["verdict"],
        "reason": video["reason"],
        "fake_probability": video["fake_probability"],
        "worst_face": max(scored, key=lambda facts: facts["fake_probability"], default=None),
        "tracks": tracks,
        "frames": end["frames"],
        "clips": end["clips"],
    }
