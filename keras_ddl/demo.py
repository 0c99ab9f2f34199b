"""`make demo`: train, evaluate, export and judge a video, with a picture at the end.

Every step is the very command a user types; this file only runs them one after the other.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from keras_ddl.edge.bundle import PRETRAINED
from keras_ddl.edge.commands import COMMANDS, typed
from keras_ddl.edge.errors import MISSING, Parser, UserError, run_cli
from keras_ddl.edge.files import read_json

OUT = Path("runs/demo")
RUN = Path("runs/latest")
VIDEOS_PER_CLASS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.demo",
        description="Train a small detector on generated videos, export it, judge videos it never "
        "saw, and draw what it saw. Ends by saying where to look.",
    )
    parser.add_argument("--preset", default="cpu", help="training preset (default cpu)")
    arguments = parser.parse_args(argv)
    return run_cli(lambda: _demo(arguments.preset))


def _demo(preset: str) -> int:
    started = time.monotonic()
    _step("1/6  generate faces, prepare clips, train", "train", "--preset", preset)
    _step("2/6  test split: videos of people never seen in training", "evaluate")
    _step("3/6  export to ONNX and prove that it kept the answer", "to-onnx")
    _step(
        "4/6  TensorRT: an engine, of TensorRT-RTX where there is no GPU",
        "to-trt",
        "--fp16",
        allowed=(0, MISSING),
    )
    videos = sample_videos(RUN)
    OUT.mkdir(parents=True, exist_ok=True)
    annotated = OUT / "annotated.mp4"
    verdicts = OUT / "verdicts.jsonl"
    sheet = OUT / "contact_sheet.png"
    made_with = ["--domain", "synthetic", "--detector", _detector(RUN)]
    results = ["--heat", "--save", str(annotated), "--jsonl", str(verdicts)]
    _step(
        "5/6  judge a video as a device would, without TensorFlow",
        "stream",
        "--source",
        str(videos[-1]),
        *made_with,
        *results,
    )
    _step(
        "6/6  draw the verdicts",
        "contact-sheet",
        *map(str, videos),
        *made_with,
        "--out",
        str(sheet),
    )
    print(f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes. Look at:")
    for what, path in {
        "contact sheet (start here)": sheet,
        "annotated video": annotated,
        "verdicts, one JSON object per line": verdicts,
        "training curves": RUN.resolve() / "curves.png",
        "evaluation, with the closest calls": RUN.resolve() / "report.html",
        "the model and its contract": RUN.resolve() / "bundle",
    }.items():
        print(f"  {what + ':':<38}{path}")
    print(f"\nReal faces: {typed('stream')} --camera 0 --bundle {PRETRAINED}")
    print(f"  a research preview; read {PRETRAINED / 'MODEL_CARD.md'} first")
    return 0


def _step(title: str, name: str, *options: str, allowed: Sequence[int] = (0,)) -> None:
    """Run one command of the project; stop the demo where it fails."""
    print(f"\n── {title}\n   {' '.join([typed(name), *options])}", flush=True)
    module = COMMANDS[name].module.removesuffix(".__main__")
    code = subprocess.run([sys.executable, "-m", module, *options], check=False).returncode
    if code not in allowed:
        raise UserError(f"that step failed with exit code {code}; the demo ends here", code)


def _detector(run: Path) -> str:
    """The face detector that cut the training clips."""
    return str(read_json(run / "clipspec.json")["detector"]) or "auto"


def sample_videos(run: Path) -> list[Path]:
    """Real, then fake videos of the run's test split: a few of each, of different people.

    Raises:
        UserError: the run's data is not there.
    """
    prepared = Path(read_json(run / "config.json")["data"]["prepared"])
    root = Path(read_json(prepared / "prepared.json")["root"])
    chosen: list[Path] = []
    for kind in ("real", "fake"):
        found = sorted((root / "test" / kind).glob("*.mp4"))
        if len(found) < VIDEOS_PER_CLASS:
            raise UserError(
                f"expected {VIDEOS_PER_CLASS} videos in {root / 'test' / kind}, found {len(found)}"
            )
        chosen += found[:: max(1, len(found) // VIDEOS_PER_CLASS)][:VIDEOS_PER_CLASS]
    return chosen


if __name__ == "__main__":
    sys.exit(main())
