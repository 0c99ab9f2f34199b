"""FaceForensics++: `original_sequences/youtube`, `manipulated_sequences/*`, `splits/*.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keras_ddl.data.layouts.dfd import dfd, has_dfd
from keras_ddl.data.layouts.index import Index, Official, dataset_folder
from keras_ddl.data.layouts.sequences import COMPRESSIONS, manipulated, mask_files, originals
from keras_ddl.data.video_index import SPLITS, Video
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import read_json

DATASET = "FaceForensics++"
METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
OFFICIAL = {"train": 720, "val": 140, "test": 140}
"""Reals, and fakes of each method, in each compression: two per pair of the split files."""
SOURCE = "youtube"

Pairs = dict[str, list[tuple[str, str]]]


def ffpp(root: Path) -> Index:
    """Index FaceForensics++ and, where it is there, DeepFakeDetection (dataset `DFD`).

    Every method and compression that is on disk is taken. A pair [a, b] of a split file stands for
    the reals a and b and, per method, for the fakes a_b and b_a; these are their `video_id`.

    Args:
        root: The folder that holds `original_sequences`, `manipulated_sequences` and the split
            files, the latter in `splits` or directly.

    Returns:
        Its index; fakes have both people as identities, and a mask where
        `manipulated_sequences/<method>/masks` holds one.

    Raises:
        UserError: If there is neither dataset, or the split files are missing or malformed.
    """
    root = dataset_folder(root)
    folders = list(_folders(root))
    if not folders and not has_dfd(root):
        raise UserError(
            f"expected FaceForensics++, received {root}, which holds neither "
            f"{originals(Path(), SOURCE, 'c23')} nor {manipulated(Path(), METHODS[0], 'c23')} "
            "nor the like in raw or c40; name the folder above them"
        )
    beside = dfd(root) if has_dfd(root) else Index(())
    if not folders:
        return beside
    pairs = {split: _pairs(root, split) for split in SPLITS}
    masks = {method: mask_files(root, method) for method in METHODS}
    listed: list[Video] = []
    notes: list[str] = []
    for method, compression, folder in folders:
        videos = list(_listed(pairs, method, compression, folder, masks.get(method, {})))
        listed += videos
        known = {video.path.name for video in videos}
        others = [file.name for file in folder.glob("*.mp4") if file.name not in known]
        if others:
            notes.append(f"{folder}: left out {len(others)} videos that are in no split")
    official = [
        Official(count, DATASET, split, int(method != "real"), method, compression)
        for method, compression, _ in folders
        for split, count in OFFICIAL.items()
    ]
    return Index.of(listed, official=official, notes=notes).joined(beside)


def _folders(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield method, compression and folder; reals of a compression go with any fakes of it."""
    for compression in COMPRESSIONS:
        fakes = [(method, manipulated(root, method, compression)) for method in METHODS]
        fakes = [(method, folder) for method, folder in fakes if folder.is_dir()]
        reals = originals(root, SOURCE, compression)
        if fakes or reals.is_dir():
            yield "real", compression, reals
        for method, folder in fakes:
            yield method, compression, folder


def _pairs(root: Path, split: str) -> list[tuple[str, str]]:
    """Return a split's pairs of ids."""
    files = (root / "splits" / f"{split}.json", root / f"{split}.json")
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        raise UserError(
            f"expected {files[0]} or {files[1]}, received neither; the split files are in "
            "dataset/splits of the FaceForensics repository"
        )
    pairs = read_json(path)
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(i, str) for i in pair)
        for pair in pairs
    ):
        raise UserError(f'{path}: expected a list of pairs such as ["071", "054"]; download again')
    return [(first, second) for first, second in pairs]


def _listed(
    pairs: Pairs, method: str, compression: str, folder: Path, masks: dict[str, Path]
) -> Iterator[Video]:
    for split in SPLITS:
        for first, second in pairs[split]:
            for target, source in ((first, second), (second, first)):
                people = (target,) if method == "real" else (target, source)
                stem = "_".join(people)
                yield Video(
                    path=folder / f"{stem}.mp4",
                    label=int(method != "real"),
                    dataset=DATASET,
                    method=method,
                    compression=compression,
                    video_id=stem,
                    identities=people,
                    split=split,
                    original="" if method == "real" else target,
                    mask=masks.get(stem),
                )
