"""Full-size trees of the public datasets, made of files of a few bytes; and a few real videos."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

FFPP_METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")


def _put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(path))  # no two files alike


@pytest.fixture(scope="session")
def put_files() -> Callable[[Path, Iterable[str]], None]:
    """Makes small files, no two alike. Call: `put_files(root, names)`."""

    def put(root: Path, names: Iterable[str]) -> None:
        for name in names:
            _put(root / name)

    return put


@pytest.fixture(scope="session")
def ffpp_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FaceForensics++ in c23, whole, with masks of Face2Face; not to be changed by a test."""
    root = tmp_path_factory.mktemp("datasets") / "FaceForensics++"
    ids = [f"{i:03d}" for i in range(1000)]
    random.Random(7).shuffle(ids)
    pairs = [[ids[i], ids[i + 1]] for i in range(0, 1000, 2)]
    (root / "splits").mkdir(parents=True)
    for split, part in (("train", pairs[:360]), ("val", pairs[360:430]), ("test", pairs[430:])):
        (root / "splits" / f"{split}.json").write_text(json.dumps(part))
    for name in ids:
        _put(root / f"original_sequences/youtube/c23/videos/{name}.mp4")
    for a, b in pairs:
        for stem in (f"{a}_{b}", f"{b}_{a}"):
            for method in FFPP_METHODS:
                _put(root / f"manipulated_sequences/{method}/c23/videos/{stem}.mp4")
            _put(root / f"manipulated_sequences/Face2Face/masks/videos/{stem}.mp4")
    return root


@pytest.fixture(scope="session")
def celebdf_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Celeb-DF v2, whole: 590 + 300 reals, 5,639 fakes, a list of 518; not to be changed.

    Faces are swapped within four groups of 34, 10, 10 and 5 people, as in the published list.
    """
    root = tmp_path_factory.mktemp("datasets") / "Celeb-DF-v2"
    draw = random.Random(11)
    small = [(7, 10, 11, 12, 13), tuple(range(39, 49)), tuple(range(49, 59))]
    large = tuple(i for i in range(59) if not any(i in group for group in small))

    def fakes(people: Iterable[int]) -> list[str]:
        group = list(people)
        return [f"id{a}_id{b}_{n:04d}" for a in group for b in group if a != b for n in range(10)]

    synthesis = [stem for group in small for stem in fakes(group)]
    synthesis += draw.sample(fakes(large), 5639 - len(synthesis))
    celebs = [f"id{i}_{n:04d}" for i in range(59) for n in range(10)]
    stems = {
        ("1", "YouTube-real", 70): [f"{i:05d}" for i in range(300)],
        ("1", "Celeb-real", 108): celebs,
        ("0", "Celeb-synthesis", 340): synthesis,
    }
    lines = []
    for (label, folder, listed), names in stems.items():
        for name in names:
            _put(root / folder / f"{name}.mp4")
        lines += [f"{label} {folder}/{name}.mp4" for name in draw.sample(names, listed)]
    (root / "List_of_testing_videos.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Reads all files of a prepared folder but its report, which says where it lies."""

    def read(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file())
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        del found["report.md"]
        return found

    return read


@pytest.fixture
def face_videos(
    tmp_path: Path, draw_face: Callable[..., np.ndarray], write_mp4: Callable[..., Path]
) -> Path:
    """A face each in train/real and train/fake, and one bad video of each kind."""

    def portrait(count: int, shade: int = 120) -> Iterator[np.ndarray]:
        for i in range(count):  # the face drifts to the right
            yield draw_face(np.full((120, 160, 3), shade, np.uint8), 72 + 0.5 * i, 60, 60)

    root = tmp_path / "set"
    for name in ("train/real", "train/fake", "val/real", "val/fake"):
        (root / name).mkdir(parents=True)
    write_mp4(root / "train/real/a_0.mp4", portrait(32))
    write_mp4(root / "train/fake/a_1.mp4", portrait(24, shade=90))
    write_mp4(root / "train/real/short_0.mp4", portrait(7))
    write_mp4(root / "val/fake/wall_1.mp4", [np.full((120, 160, 3), 128, np.uint8)] * 9)
    (root / "val/real/text_0.mp4").write_text("this is no video\n" * 40)
    (root / "val/real/empty_0.mp4").touch()
    return root
