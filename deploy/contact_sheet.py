"""One picture that shows what a model made of some videos: `python -m deploy.contact_sheet`.

Per video, or per face with `--faces`: six face crops evenly spread over time, the same with the
inconsistency map over them, and the timeline of scores; above them the true label, where the
folder's name tells it, and the verdict.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deploy.backends import Backend
from deploy.bundle import Bundle, open_bundle
from deploy.drawing import canvas as drawing
from deploy.drawing.canvas import COLORS, INK, MUTED, PAPER, Point, Rect
from deploy.judging.arguments import DETECTORS, FOOTAGE
from deploy.judging.records import ScoredClip
from deploy.judging.session import point
from deploy.judging.verdict import Label, Policy
from deploy.log_lines import set_up_logging
from deploy.sinks import Output, Sink
from deploy.sources import open_source
from deploy.streaming.pipeline import Parts, Pipeline
from keras_ddl.edge.bundle import DEFAULT_BUNDLE
from keras_ddl.edge.clipper import DETECT_EVERY, FaceClipper
from keras_ddl.edge.errors import USAGE, Parser, UserError, run_cli
from keras_ddl.edge.faces import FaceDetector, open_detector
from keras_ddl.edge.optional_import import need

CROPS = 6
THUMB = 176  # px
TRUTHS = ("real", "fake")
KEPT = 256  # thumbnails held per track; when full, every other one goes
TEXT = 12  # capital height in px
PAD = 18
GAP = 6
TIMELINE = 72
ONE_COLUMN = 3  # up to so many videos stand in one column
SHEET: tuple[int, int, int] = (26, 29, 34)


@dataclass(frozen=True)
class Panel:
    """One video on the sheet.

    Attributes:
        title: Its name.
        truth: "real", "fake", or "" where nobody said.
        label: Verdict on the mean of all clips.
        probability: That mean; None without clips.
        reason: Why this verdict.
        crops: Up to six face crops, uint8 (S, S, 3) RGB.
        heats: Their inconsistency maps, (h, w) in [0, 1]; empty where the model has none.
        points: One per clip of every track.
        length_ms: Duration of the video.
        policy: Thresholds of the verdict.
    """

    title: str
    truth: str
    label: Label
    probability: float | None
    reason: str
    crops: tuple[np.ndarray, ...]
    heats: tuple[np.ndarray, ...]
    points: tuple[Point, ...]
    length_ms: float
    policy: Policy


class Collector(Sink):
    """Keeps thumbnails, maps and scores of a run."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._thumbs: dict[int, list[tuple[np.ndarray, np.ndarray | None]]] = {}
        self._clips: dict[int, int] = {}

    def write(self, output: Output) -> None:
        """Take the judged clips."""
        for scored in output.scored:
            if (mark := point(scored)) is not None:
                self.points.append(mark)
            self._keep(scored)

    def _keep(self, scored: ScoredClip) -> None:
        cv2 = need("cv2", "drawing a contact sheet")
        track, frames = scored.clip.track_id, scored.clip.frames
        self._clips[track] = self._clips.get(track, 0) + 1
        thumbs = self._thumbs.setdefault(track, [])
        for index in (len(frames) // 4, 3 * len(frames) // 4):
            small = cv2.resize(frames[index], (THUMB, THUMB), interpolation=cv2.INTER_AREA)
            heat = None if scored.heat is None else scored.heat[index].copy()
            thumbs.append((small, heat))
        if len(thumbs) > KEPT:
            del thumbs[::2]

    def main_track(self) -> int | None:
        """The track with most clips; None without any."""
        return min(self._clips, key=lambda track: (-self._clips[track], track), default=None)

    def pictures(self, track: int | None) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Evenly spread crops and maps of a track."""
        if track not in self._thumbs:
            return (), ()
        thumbs = self._thumbs[track]
        chosen = np.unique(np.linspace(0, len(thumbs) - 1, CROPS).round().astype(int))
        heats = tuple(heat for i in chosen if (heat := thumbs[i][1]) is not None)
        return tuple(thumbs[i][0] for i in chosen), heats


def panels_for(
    video: Path,
    bundle: Bundle,
    backend: Backend,
    detector: FaceDetector,
    footage: str,
    by_face: bool = False,
) -> list[Panel]:
    """Run a video through the pipeline and collect what the sheet shows of it.

    Args:
        video: A video file or a picture.
        bundle: The model's contract.
        backend: The model.
        detector: Finds the faces.
        footage: What it shows: "real" or "synthetic" faces.
        by_face: A panel for each face with clips, not one for the video; one all the same where
            there is no such face.
    """
    with open_source(str(video)) as source:
        clipper = FaceClipper(bundle.spec, detector, DETECT_EVERY)
        sinks: list[Sink] = []
        parts = Parts(source, clipper, detector.name, bundle, backend, sinks, footage)
        pipeline = Pipeline(parts)
        collector = Collector()
        sinks.append(collector)
        end = pipeline.run()

    def panel(title: str, track: int | None, verdict: dict[str, Any], alone: bool) -> Panel:
        crops, heats = collector.pictures(track)
        return Panel(
            title=title,
            truth=truth_of(video),
            label=Label(verdict["verdict"]),
            probability=verdict["fake_probability"],
            reason=verdict["reason"],
            crops=crops,
            heats=heats,
            points=tuple(p for p in collector.points if not alone or p.track == track),
            length_ms=end["time_ms"],
            policy=pipeline.judge.policy,
        )

    if by_face and end["tracks"]:
        return [
            panel(f"{video.name}, face {track}", int(track), verdict, alone=True)
            for track, verdict in end["tracks"].items()
        ]
    return [panel(video.name, collector.main_track(), end["video"], alone=False)]


def truth_of(video: Path) -> str:
    """The label the plain-folder layout gives a video: its folder is `real` or `fake`.

    Only where the other of the two lies beside it: a folder may be called "real" for any reason.
    """
    folder = video.resolve().parent
    name = folder.name.lower()
    if name not in TRUTHS:
        return ""
    other = TRUTHS[1 - TRUTHS.index(name)]
    beside = {path.name.lower() for path in folder.parent.iterdir() if path.is_dir()}
    return name if other in beside else ""


def contact_sheet(panels: Sequence[Panel], heading: str) -> np.ndarray:
    """Lay the panels out and return the sheet, uint8 (H, W, 3) RGB.

    Raises:
        ValueError: no panels.
    """
    if not panels:
        raise ValueError("expected at least one panel, received none")
    columns = 1 if len(panels) <= ONE_COLUMN else 2
    rows = math.ceil(len(panels) / columns)
    wide, high = _panel_size()
    top = PAD + 2 * TEXT + PAD
    shape = (top + rows * (high + PAD), PAD + columns * (wide + PAD), 3)
    sheet = np.full(shape, SHEET, np.uint8)
    line = drawing.fit(heading, TEXT + 2, shape[1] - 2 * PAD)
    drawing.put_text(sheet, line, (PAD, PAD), TEXT + 2, PAPER)
    for index, panel in enumerate(panels):
        corner = (PAD + index % columns * (wide + PAD), top + index // columns * (high + PAD))
        _draw_panel(sheet, panel, corner)
    return sheet


def _panel_size() -> tuple[int, int]:
    wide = CROPS * THUMB + (CROPS - 1) * GAP
    return wide, 2 * TEXT + GAP + 2 * (THUMB + GAP) + TIMELINE + 2 * TEXT


def _draw_panel(sheet: np.ndarray, panel: Panel, corner: tuple[int, int]) -> None:
    x, y = corner
    wide, _ = _panel_size()
    _draw_title(sheet, panel, corner, wide)
    y += 2 * TEXT + GAP
    for index in range(CROPS):
        left = x + index * (THUMB + GAP)
        for row, maps in enumerate(((), panel.heats)):
            top = y + row * (THUMB + GAP)
            spot = (left, top, left + THUMB, top + THUMB)
            _draw_thumb(sheet, panel, index, spot, maps)
            if row and index < len(panel.crops) and not maps:
                drawing.put_text(sheet, "no map", (left + GAP, top + GAP), TEXT, MUTED)
    y += 2 * (THUMB + GAP)
    graph = (x, y, x + wide, y + TIMELINE)
    drawing.panel(sheet, graph, INK, 1.0)
    drawing.timeline(sheet, graph, panel.points, (0.0, panel.length_ms), panel.policy)
    drawing.put_text(sheet, "FAKE", (x + 2, y), TEXT - 2, MUTED)
    drawing.put_text(sheet, "REAL", (x + 2, graph[3] - 2 * TEXT + 6), TEXT - 2, MUTED)
    length = f"{panel.length_ms / 1000.0:.1f} s"
    drawing.put_text(sheet, "0 s", (x, graph[3] + 1), TEXT - 2, MUTED)
    right = graph[2] - drawing.text_size(length, TEXT - 2)[0]
    drawing.put_text(sheet, length, (right, graph[3] + 1), TEXT - 2, MUTED)


def _draw_title(sheet: np.ndarray, panel: Panel, corner: tuple[int, int], wide: int) -> None:
    x, y = corner
    score = "no clips" if panel.probability is None else f"{panel.probability:.2f}"
    verdict = f"{panel.label.value} {score}"
    width = drawing.text_size(verdict, TEXT, bold=True)[0]
    drawing.panel(sheet, (x + wide - width, y, x + wide, y + 2 * TEXT), COLORS[panel.label], 1.0)
    place = (x + wide - width, y + 3)
    drawing.put_text(sheet, verdict, place, TEXT, INK, bold=True)
    truth = _comparison(panel)
    left = x + wide - width - drawing.text_size(truth, TEXT)[0]
    drawing.put_text(sheet, truth, (left, y + 3), TEXT, MUTED)
    title = drawing.fit(panel.title, TEXT, left - x)
    drawing.put_text(sheet, title, (x, y + 3), TEXT, PAPER, bold=True)
    after = x + drawing.text_size(title, TEXT, bold=True)[0]
    reason = drawing.fit(panel.reason, TEXT, left - after)
    drawing.put_text(sheet, reason, (after, y + 3), TEXT, MUTED)


def _comparison(panel: Panel) -> str:
    """The true label and what the verdict is, measured by it."""
    if not panel.truth:
        return "no label, verdict"
    names = {Label.REAL: "real", Label.FAKE: "fake"}
    wrong = panel.label in names and names[panel.label] != panel.truth
    return f"labelled {panel.truth}, {'WRONG ' if wrong else ''}verdict"


def _draw_thumb(
    sheet: np.ndarray, panel: Panel, index: int, spot: Rect, maps: Sequence[np.ndarray]
) -> None:
    drawing.panel(sheet, spot, INK, 1.0)
    if index >= len(panel.crops):
        return
    sheet[spot[1] : spot[3], spot[0] : spot[2]] = panel.crops[index]
    if index < len(maps):
        drawing.heat(sheet, spot, maps[index])


def write_png(sheet: np.ndarray, path: Path) -> None:
    """Write an RGB picture as PNG."""
    cv2 = need("cv2", "writing a PNG")
    _, data = cv2.imencode(".png", sheet[..., ::-1])
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        message = f"expected a file to write the picture to, received '{path}': {error.strerror}"
        raise UserError(message, USAGE) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(prog="contact_sheet", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="videos or pictures")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("sheet.png"), help="(%(default)s)")
    parser.add_argument("--detector", choices=DETECTORS, default="auto", help="(auto)")
    parser.add_argument("--faces", action="store_true", help="a verdict and a panel for each face")
    parser.add_argument("--domain", choices=FOOTAGE, default="real", help="what the videos show")
    args = parser.parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    bundle, backend = open_bundle(args.bundle)
    with backend:
        detector = open_detector(args.detector)
        panels: list[Panel] = []
        code = 0
        for number, video in enumerate(args.videos, 1):
            print(f"{number}/{len(args.videos)} {video.name}", file=sys.stderr, flush=True)
            with_footage = (bundle, backend, detector, args.domain)
            try:
                panels += panels_for(video, *with_footage, by_face=args.faces)
            except UserError as error:  # this file's own; the others are judged all the same
                if error.exit_code != USAGE:
                    raise
                print(f"error: {error}", file=sys.stderr)
                code = error.exit_code
    if not panels:
        return code
    heading = f"model {bundle.model_id} | trained on: {bundle.domain} | faces: {detector.name}"
    write_png(contact_sheet(panels, f"{heading} | footage: {args.domain}"), args.out)
    if args.faces:
        for panel in panels:
            print(_line(panel))
    print(args.out)
    return code


def _line(panel: Panel) -> str:
    """A panel's verdict in one line."""
    score = "no score" if panel.probability is None else f"{panel.probability:.3f}"
    return f"{panel.title}: {panel.label.value} {score} ({panel.reason})"


if __name__ == "__main__":
    raise SystemExit(main())
