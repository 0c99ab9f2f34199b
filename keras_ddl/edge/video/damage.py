"""Damage of a video file: what could not be decoded, and what else its reader must tell."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from keras_ddl.edge.files import printable
from keras_ddl.edge.video.loss import LossTracker
from keras_ddl.edge.video.picture import hdr, is_interlaced

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

HDR_NOTE = "HDR ({}): its light is taken as it is, not brought down to that of other videos"
INTERLACED_NOTE = "interlaced: one field of each picture is shown"
EARLY_END_MS = 500.0  # a file whose frames end this much before its header says is truncated


@dataclass
class Damage:
    """What went wrong while a file was read, reported once at its end."""

    skipped: dict[str, int] = field(default_factory=dict)  # frames by cause
    untimed: int = 0
    smeared: int = 0
    loss: LossTracker = field(default_factory=LossTracker)
    notes: list[str] = field(default_factory=list)

    def seen(self, picture: VideoFrame) -> bool:
        """Note what a picture is that it should not be; return whether it is damaged."""
        if (name := hdr(picture)) and (note := HDR_NOTE.format(name)) not in self.notes:
            self.notes.append(note)
        if is_interlaced(picture) and INTERLACED_NOTE not in self.notes:
            self.notes.append(INTERLACED_NOTE)
        damaged = self.loss.is_damaged(picture)
        self.smeared += damaged
        return damaged

    def skip(self, cause: str) -> None:
        """Count a frame that is left out."""
        self.skipped[cause] = self.skipped.get(cause, 0) + 1

    def corrupted(self, part: Packet[VideoStream] | VideoFrame | None) -> None:
        """Note data that cannot be decoded."""
        self.skip("corrupted")
        self.loss.lost(part)

    def report(self, path: Path, end_ms: float, expected_ms: float | None) -> None:
        """Warn in one line of what is worth a warning.

        Args:
            path: The file.
            end_ms: Where its last frame ends.
            expected_ms: Where its header says that it does; None where it says nothing.
        """
        notes = list(self.notes)
        if corrupted := self.skipped.get("corrupted"):
            notes.append(f"{corrupted} corrupted packets skipped")
        if self.smeared:
            notes.append(f"{self.smeared} frames after lost data may be smeared, up to a key frame")
        if disorder := self.skipped.get("disorder"):
            notes.append(f"{disorder} frames without a later time skipped")
        if self.untimed:
            notes.append(f"{self.untimed} frames without a time stamp, timed by the mean rate")
        if is_early(end_ms, expected_ms):
            notes.append(f"ends at {end_ms:.0f} ms of {expected_ms:.0f} ms (truncated?)")
        if notes:
            log.warning("%s: %s", printable(path.name), "; ".join(notes))


def is_early(end_ms: float, expected_ms: float | None) -> bool:
    """Whether a file ends before its header says."""
    return expected_ms is not None and end_ms < expected_ms - EARLY_END_MS
