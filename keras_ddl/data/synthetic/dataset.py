"""The synthetic set as a folder of mp4 files and a manifest, made once and kept."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keras_ddl.data.synthetic.encode import write_video
from keras_ddl.data.video_index import CLASSES
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.files import PART, write_text
from keras_ddl.edge.workers.pool import Loss
from keras_ddl.edge.workers.pools import unordered_map

log = logging.getLogger(__name__)

VERSION = 1  # of the drawing: the same arguments under another version give other pixels
MANIFEST = "manifest.json"
DEFAULT_IDENTITIES: Mapping[str, int] = {"train": 40, "val": 12, "test": 16}
DEFAULT_DIFFICULTY = 0.3


@dataclass(frozen=True)
class Recipe:
    """What decides a set: the same recipe gives the same pixels.

    Args:
        version: Of the drawing.
        identities: People per split.
        videos_per_identity: Videos of each person in each class.
        frames: Frames per video.
        fps: Frames per second.
        size: Width and height in pixels, even, at least 160 x 120.
        difficulty: 0 (most of the fake marks are redrawn per frame) to 1 (hardly any).
        seed: Names the whole set; other seeds have other people.
        crf: Lowest and highest x264 quality, drawn per pair of videos.

    Raises:
        UserError: A value is out of range.
    """

    version: int = VERSION
    identities: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_IDENTITIES))
    videos_per_identity: int = 1
    frames: int = 50
    fps: int = 25
    size: tuple[int, int] = (320, 240)
    difficulty: float = DEFAULT_DIFFICULTY
    seed: int = 0
    crf: tuple[int, int] = (18, 23)

    def __post_init__(self) -> None:
        (width, height), (low, high), counts = self.size, self.crf, self.identities
        names = all(name and Path(name).name == name for name in counts)
        rules = (
            (
                bool(counts) and names and all(count >= 0 for count in counts.values()),
                f"identities: expected split names with counts of 0 or more, got {counts}",
            ),
            (
                min(self.videos_per_identity, self.frames, self.fps) >= 1,
                "videos_per_identity, frames and fps: expected at least 1 each",
            ),
            (
                width >= 160 and height >= 120 and width % 2 == height % 2 == 0,
                f"size: expected even numbers, at least 160 x 120, got {width} x {height}",
            ),
            (
                0.0 <= self.difficulty <= 1.0,
                f"difficulty: expected 0 (easy) to 1 (hard), got {self.difficulty}",
            ),
            (self.seed >= 0, f"seed: expected 0 or more, got {self.seed}"),
            (0 <= low <= high <= 51, f"crf: expected 0 <= low <= high <= 51, got {low} and {high}"),
        )
        for holds, message in rules:
            if not holds:
                raise UserError(message)

    def to_json(self) -> dict[str, Any]:
        """Return it as the manifest holds it."""
        return {**asdict(self), "size": list(self.size), "crf": list(self.crf)}


@dataclass(frozen=True)
class SyntheticVideo:
    """One video of the set.

    `file` is relative to the set's folder; `index` counts the videos of a person. A real and a fake
    video of the same person and index are twins: same performance, same camera.
    """

    file: str
    split: str
    label: str
    identity: int
    index: int


Job = tuple[Path, SyntheticVideo, Recipe]


def plan(identities: Mapping[str, int], videos_per_identity: int) -> list[SyntheticVideo]:
    """Every video of a set; people are numbered through the splits, so no two splits share one."""
    videos = []
    first = 0
    for split, count in identities.items():
        for identity in range(first, first + count):
            for index in range(videos_per_identity):
                for label in CLASSES:
                    file = f"{split}/{label}/id{identity:03d}_{label}_{index}.mp4"
                    videos.append(SyntheticVideo(file, split, label, identity, index))
        first += count
    return videos


def generate(out: Path, *, processes: int = 1, **recipe: Any) -> Path:
    """Write `out`/{split}/{real,fake}/idNNN_{label}_{index}.mp4 and `out`/manifest.json.

    A finished set is left alone, an interrupted one is completed, one of another recipe is
    replaced.

    Args:
        out: Folder of the set; must be absent, empty, or made by this function.
        processes: Worker processes; the pixels do not depend on it.
        recipe: Fields of `Recipe`.

    Returns:
        `out`.

    Raises:
        UserError: An argument out of range, a folder of other things, OpenCV or PyAV missing.
    """
    out, made = Path(out), Recipe(**recipe)
    if processes < 1:
        raise UserError(f"processes: expected at least 1, got {processes}")
    _check_installed()
    from tqdm import tqdm

    videos = plan(made.identities, made.videos_per_identity)
    if _prepare_folder(out, made, videos):
        log.info("synthetic set in %s is up to date: %d videos", out, len(videos))
        return out
    missing = [video for video in videos if not (out / video.file).exists()]
    log.info("synthetic set in %s: %d of %d videos to draw", out, len(missing), len(videos))
    jobs: list[Job] = [(out, video, made) for video in missing]
    drawn = tqdm(_run(jobs, processes), total=len(jobs), unit="video", desc="synthetic videos")
    lost = [why for why in drawn if why]
    if lost:
        raise UserError(
            f"{out}: {len(lost)} of {len(jobs)} videos are not drawn: "
            f"{', '.join(sorted(set(lost)))}; run the same command again, which draws those alone"
        )
    _write_manifest(out, made, videos, complete=True)
    return out


def _check_installed() -> None:
    lacking = [name for name in ("cv2", "av") if find_spec(name) is None]
    if lacking:
        raise UserError(
            f"drawing videos needs opencv-python and av, {' and '.join(lacking)} cannot be found; "
            "pip install 'keras-ddl[train]'",
            MISSING,
        )


def _prepare_folder(out: Path, recipe: Recipe, videos: list[SyntheticVideo]) -> bool:
    """Make the folder ready to draw into; True if it already holds the whole set."""
    made = _read_manifest(out)
    if made is None and any(out.rglob("*.mp4")):
        raise UserError(
            f"{out}: expected an empty folder or a synthetic set, found videos without a "
            f"{MANIFEST}; choose another folder"
        )
    if made is not None and made["arguments"] != recipe.to_json():
        log.info("%s was made with other arguments: replacing it", out)
        for entry in made["videos"]:
            (out / entry["file"]).unlink(missing_ok=True)
        made = None
    if made and made["complete"] and all((out / video.file).exists() for video in videos):
        return True
    for video in videos:
        (out / video.file).parent.mkdir(parents=True, exist_ok=True)
    for leftover in out.rglob(f"*.mp4.*{PART}"):
        leftover.unlink()
    _write_manifest(out, recipe, videos, complete=False)
    return False


def is_synthetic(root: Path) -> bool:
    """Whether a dataset folder was made by `generate`."""
    try:
        manifest = _read_manifest(root)
    except UserError:
        return False
    return manifest is not None and "difficulty" in manifest.get("arguments", {})


def _read_manifest(out: Path) -> dict[str, Any] | None:
    path = out / MANIFEST
    if not path.exists():
        return None
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        files = [Path(entry["file"]) for entry in made["videos"]]
        known = {"arguments", "complete"} <= made.keys()
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected a synthetic set's manifest ({error}); delete it"
        ) from error
    if not known or any(file.is_absolute() or ".." in file.parts for file in files):
        raise UserError(f"{path}: expected a synthetic set's manifest; choose another folder")
    return made


def _write_manifest(
    out: Path, recipe: Recipe, videos: Iterable[SyntheticVideo], complete: bool
) -> None:
    """Write the manifest at once: arguments, and per video its label, identity and parameters."""
    from keras_ddl.edge.portraits.forgery import share_of
    from keras_ddl.edge.portraits.render import draw_performance, video_seeds

    share = share_of(recipe.difficulty)
    entries = []
    for video in videos:
        fake = video.label == "fake"
        seeds = video_seeds(recipe.seed, video.identity, video.index, fake)
        performance = draw_performance(seeds.shared, recipe.crf)
        parameters = {**asdict(performance), "fresh_share": share if fake else 0.0}
        entries.append({**asdict(video), "seeds": asdict(seeds), "parameters": parameters})
    manifest = {"arguments": recipe.to_json(), "complete": complete, "videos": entries}
    write_text(out / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def _draw(job: Job) -> str:
    """Draw and write one video; return "", for nothing kept it from being drawn."""
    from keras_ddl.edge.portraits.render import open_renderer

    out, video, recipe = job
    renderer, performance = open_renderer(
        recipe.seed,
        video.identity,
        video.index,
        video.label == "fake",
        recipe.difficulty,
        frames=recipe.frames,
        fps=recipe.fps,
        size=recipe.size,
        crf=recipe.crf,
    )
    form = {"size": recipe.size, "fps": recipe.fps, "crf": performance.crf}
    write_video(out / video.file, renderer, **form)
    return ""


def _run(jobs: list[Job], processes: int) -> Iterator[str]:
    """Draw all videos; yield for each why it is not drawn, "" where it is."""
    if processes == 1 or len(jobs) < 2:
        yield from map(_draw, jobs)
        return
    step = len(CLASSES)  # twins in one process, which draws their portrait once
    chunks = [jobs[start : start + step] for start in range(0, len(jobs), step)]
    for _, videos in unordered_map(_draw_all, chunks, processes, _one_thread, _lost):
        yield from videos


def _draw_all(_: None, jobs: list[Job]) -> list[str]:
    return [_draw(job) for job in jobs]


def _lost(jobs: list[Job], loss: Loss) -> list[str]:
    return ["" if (out / video.file).exists() else loss.reason for out, video, _ in jobs]


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
