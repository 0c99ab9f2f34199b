"""Contact sheet of videos and what a model made of them: `python -m deploy.contact_sheet`.

Per video, or per face with `--faces`: six face crops evenly spread over time, the same with the
model's map over them and a line that says what it shows, and the timeline of scores; above them the
true label, where the folder's name tells it, and the verdict.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deploy.backends import Backend
from deploy.bundle import Bundle, known_errors, open_bundle
from deploy.drawing.panels import CROPS, THUMB, Panel, contact_sheet, picture_path, write_png
from deploy.judging.options import DETECTORS, FOOTAGE
from deploy.judging.output import Output
from deploy.judging.records import Point, ScoredClip
from deploy.judging.session import RunDescription
from deploy.judging.verdict import Label, policy_for
from deploy.log_lines import set_up_logging
from deploy.sinks import Sink
from deploy.sources import open_source
from deploy.streaming.pipeline import Pipeline
from keras_ddl.edge.bundle import default_bundle
from keras_ddl.edge.clipper import DETECT_EVERY, FaceClipper
from keras_ddl.edge.errors import USAGE, Parser, UserError, run_cli
from keras_ddl.edge.faces import FaceDetector, open_detector
from keras_ddl.edge.faces.search import FULL_EVERY, SearchRule
from keras_ddl.edge.optional_import import need

TRUTHS = ("real", "fake")
KEPT = 256  # thumbnails held per track; when full, every other one goes


class Collector(Sink):
    """The thumbnails, maps and scores of a run."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._thumbs: dict[int, list[tuple[np.ndarray, np.ndarray | None]]] = {}
        self._clips: dict[int, int] = {}

    def write(self, output: Output) -> None:
        """Take the judged clips."""
        for scored in output.scored:
            if scored.point is not None:
                self.points.append(scored.point)
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
        clipper = FaceClipper(
            bundle.spec,
            source.searched_by(detector),
            DETECT_EVERY,
            search=source.search(SearchRule(FULL_EVERY)),
        )
        collector = Collector()
        run = RunDescription(bundle, backend, footage)
        end = Pipeline(run, source, clipper, [collector]).run()
        policy = policy_for(bundle, footage, source.still)

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
            policy=policy,
            caption=bundle.map_kind.caption if bundle.map_kind else "",
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(prog="contact_sheet", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="videos or pictures")
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("sheet.png"), help="a .png (%(default)s)")
    parser.add_argument("--detector", choices=DETECTORS, default="auto", help="(auto)")
    parser.add_argument("--faces", action="store_true", help="a verdict and a panel for each face")
    parser.add_argument("--domain", choices=FOOTAGE, default="real", help="what the videos show")
    args = parser.parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    out = picture_path(args.out)
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
    write_png(contact_sheet(panels, f"{heading} | footage: {args.domain}"), out)
    if not policy_for(bundle, args.domain).abstain:
        print(f"known errors: {known_errors(bundle)}", file=sys.stderr)
    if args.faces:
        for panel in panels:
            print(_line(panel))
    print(out)
    return code


def _line(panel: Panel) -> str:
    """A panel's verdict in one line."""
    score = "no score" if panel.probability is None else f"{panel.probability:.3f}"
    return f"{panel.title}: {panel.label.value} {score} ({panel.reason})"


if __name__ == "__main__":
    raise SystemExit(main())
