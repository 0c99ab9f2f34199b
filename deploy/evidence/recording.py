"""Recording of one event, from its pre-roll to its manifest."""

from __future__ import annotations

import csv
import io
import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from deploy.evidence.frame_ring import KeptFrame
from deploy.evidence.partial import Partial
from deploy.evidence.pictures import png_from_clip
from deploy.evidence.store import EvidenceStore
from deploy.judging.records import ScoredClip
from keras_ddl.edge.errors import UserError, is_refusal
from keras_ddl.edge.video import VideoWriter

VIDEO = "clip.mp4"
SCORES = "scores.csv"
PRESET = "ultrafast"  # an event is filmed while the run goes on; docs/evidence.md has the cost
CRF = 20
COLUMNS = (
    "start_ms",
    "end_ms",
    "fake_probability",
    "probability_smoothed",
    "verdict",
    "reason",
    "not_usable",
    "crops",
)

Row = dict[str, Any]


class Recording:
    """An event's folder while it fills.

    Crops and scores are on disk when the constructor returns; the video is encoded a few frames at
    a time, so that an event never holds up its sink for long.

    Args:
        partial: Its folder.
        draft: The manifest as far as it is known.
        until_ms: Where the post-roll ends, time of the source.
        fps: Nominal frames per second of the source.
    """

    def __init__(
        self, partial: Partial, draft: dict[str, Any], until_ms: float, fps: float
    ) -> None:
        self.track = int(draft["track"])
        self.ended = ""  # why nothing more is to come; "" while something is
        self._partial = partial
        self._draft = draft
        self._until_ms = until_ms
        self._waiting: deque[KeptFrame] = deque()
        self._picture: tuple[int, int, int] | None = None
        self._times: list[float] = []
        self._rows: list[Row] = []
        self._writer: VideoWriter | None = VideoWriter(
            partial.path / VIDEO, fps, crf=CRF, preset=PRESET
        )

    def keep(self, name: str, data: bytes | None) -> None:
        """Write a file of the folder; None = there is none."""
        if data is not None:
            self._partial.write(name, data)

    def keep_clips(self, clips: Sequence[ScoredClip]) -> None:
        """Write the crops that led to the event, as the model saw them."""
        listed = []
        for number, scored in enumerate(clips):
            name = f"crops_{number:03}.png"
            self.keep(name, png_from_clip(scored.clip.frames))
            listed.append(
                {
                    "file": name,
                    "frames": int(scored.clip.frames.shape[0]),
                    "size": int(scored.clip.frames.shape[1]),
                    "times_ms": [float(time) for time in scored.clip.times_ms],
                    "box": [float(value) for value in scored.box],
                    "fake_probability": float(scored.probability),
                }
            )
        self._draft["clips"] = listed

    def begin_video(self, frames: Iterable[KeptFrame], picture: tuple[int, int, int]) -> None:
        """Take the pre-roll; from here on only frames of this segment and size belong."""
        self._picture = picture
        self._waiting.extend(frame for frame in frames if frame.picture == picture)

    def without_video(self, reason: str) -> None:
        """Record scores only."""
        self._writer = None
        self._draft["video_missing"] = reason

    def save_draft(self) -> None:
        """From here on a crash leaves something to finish."""
        self._write_scores()
        self._partial.draft(self._draft)

    def add_frame(self, kept: KeptFrame) -> None:
        """Take the next frame of the source, or end with the one before."""
        if self.ended:
            return
        if kept.time_ms > self._until_ms:
            self.ended = "complete"
        elif self._picture is not None and kept.picture != self._picture:
            self.ended = "the picture changed its size, or the source was interrupted"
        else:
            self._waiting.append(kept)

    def add_score(self, row: Row) -> None:
        """Take a clip of the source; those of other tracks, or after the post-roll, are not kept.

        Args:
            row: From `score_row`, with its `track`.
        """
        if row["track"] == self.track and row["end_ms"] <= self._until_ms:
            self._rows.append(row)

    def encode(self) -> bool:
        """Encode one waiting frame, if any; returns whether none is left.

        Raises:
            UserError, OSError: the machine does not let it be written. A picture that no encoder
                takes costs the video alone.
        """
        if self._waiting:
            kept = self._waiting.popleft()
            if self._writer is not None:
                try:
                    self._writer.write(kept.image(), kept.time_ms)
                except UserError as error:
                    if is_refusal(error):
                        raise
                    self.without_video(str(error))
                self._times.append(kept.time_ms)
        return not self._waiting

    def finish(self, store: EvidenceStore, deadline: float = math.inf) -> None:
        """Encode what is left and have the folder take its place in the chain.

        Args:
            store: Where the chain is.
            deadline: Of `time.monotonic`; frames that are not encoded by then are left out.
        """
        while not self.encode():
            if time.monotonic() > deadline:
                self._draft["frames_left_out"] = len(self._waiting)
                break
        if self._writer is not None and self._times and self._picture is not None:
            self._writer.close()
            self._partial.adopt(VIDEO)
            self._draft["video"] = {
                "file": VIDEO,
                "frames": len(self._times),
                "from_ms": self._times[0],
                "to_ms": self._times[-1],
                "height": self._picture[1],
                "width": self._picture[2],
            }
        self._writer = None
        self._draft["ended"] = self.ended
        self._write_scores()
        store.finish(self._partial, self._draft)

    def discard(self) -> None:
        """Take the folder away."""
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.__exit__(OSError, None, None)
        finally:
            self._partial.discard()

    def _write_scores(self) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        names = {clip["times_ms"][-1]: clip["file"] for clip in self._draft.get("clips", ())}
        for row in self._rows:
            table.writerow({**row, "crops": names.get(row["end_ms"], "")})
        self.keep(SCORES, text.getvalue().encode())


def score_row(scored: ScoredClip) -> Row:
    """A clip as a row of `scores.csv`; numbers in full, "" for those that are none."""
    smoothed = scored.decision.probability
    return {
        "track": scored.clip.track_id,
        "start_ms": scored.start_ms,
        "end_ms": scored.time_ms,
        "fake_probability": scored.probability if math.isfinite(scored.probability) else "",
        "probability_smoothed": "" if smoothed is None else smoothed,
        "verdict": scored.decision.label.value,
        "reason": scored.decision.reason,
        "not_usable": scored.poor,
    }
