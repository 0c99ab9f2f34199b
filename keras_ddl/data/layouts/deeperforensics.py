"""DeeperForensics-1.0: `manipulated_videos/*`, `lists/splits`, and reals of FaceForensics++."""

from __future__ import annotations

import os
from pathlib import Path

from keras_ddl.data.layouts.index import Index, Official, dataset_folder
from keras_ddl.data.layouts.sequences import originals
from keras_ddl.data.video_index import SPLITS, Video
from keras_ddl.edge.errors import MISSING, UserError

DATASET = "DeeperForensics-1.0"
OFFICIAL = {"train": 703, "val": 96, "test": 201}
"""Fakes in each variant, and as many reals."""
REALS = originals(Path(), "youtube", "c23")


def deeperforensics(root: Path) -> Index:
    """Index DeeperForensics-1.0.

    A line of `lists/splits/{train,val,test}.txt` names a fake, `<target>_<source>.mp4`, which
    every variant folder of `manipulated_videos` has; the variant is the method. The reals are the
    targets, FaceForensics++ originals in c23; `source_videos` are not used. The publisher divided
    the 100 actors 71 : 9 : 20 (its dataset page, "Lists"): none is in two splits.

    FaceForensics++ is looked for at the root, then in its sub folders, then in the folders beside
    it, each sorted by name; the first that has `original_sequences/youtube/c23/videos` is taken.

    Args:
        root: The folder that holds `manipulated_videos` and `lists`.

    Returns:
        Its index; a fake's identities are its target and its source, a real's its target.

    Raises:
        UserError: If the dataset, a list or FaceForensics++ is missing, or a line is malformed.
    """
    root = dataset_folder(root)
    above = root / "manipulated_videos"
    variants = sorted(f for f in above.iterdir() if f.is_dir()) if above.is_dir() else []
    if not variants:
        raise UserError(
            f"expected DeeperForensics-1.0, received {root}, which holds no variant such as "
            "manipulated_videos/end_to_end"
        )
    reals = _reals(root)
    swaps = {split: _swaps(root / "lists" / "splits" / f"{split}.txt") for split in SPLITS}
    videos = [
        _video(folder / f"{target}_{source}.mp4", split, folder.name, (target, source))
        for folder in variants
        for split in SPLITS
        for target, source in swaps[split]
    ]
    split_of = {target: split for split in reversed(SPLITS) for target, _ in swaps[split]}
    videos += [
        _video(reals / f"{target}.mp4", split, "real", (target,))
        for target, split in split_of.items()
    ]
    official = [
        Official(count, DATASET, split, int(method != "real"), method)
        for method in ("real", *(folder.name for folder in variants))
        for split, count in OFFICIAL.items()
    ]
    return Index.of(videos, official=official, notes=[f"{DATASET}: reals from {reals}"])


def _reals(root: Path) -> Path:
    """Return the folder of FaceForensics++'s originals; the rule is in `deeperforensics`."""
    beside = sorted(root.absolute().parent.iterdir())
    for folder in (root, *sorted(root.iterdir()), *beside):
        if os.path.isdir(folder / REALS):  # False, not an error, in a folder closed to us
            return folder / REALS
    raise UserError(
        f"expected FaceForensics++ ({REALS}) at {root}, in it or beside it, received none; its "
        "originals are the reals of DeeperForensics-1.0: put it there or link it",
        MISSING,
    )


def _swaps(path: Path) -> list[tuple[str, str]]:
    """Return a list's fakes as target and source."""
    try:
        lines = path.read_text(encoding="utf-8").split()
    except OSError as error:
        raise UserError(
            f"expected {path}, received: {error.strerror}; unpack the dataset's lists"
        ) from error
    swaps = []
    for line in lines:
        target, _, source = Path(line).stem.partition("_")
        if not (len(target) == 3 and target.isdigit() and source):
            raise UserError(f"{path}: expected such as 000_M101.mp4, received {line!r}")
        swaps.append((target, source))
    return swaps


def _video(path: Path, split: str, method: str, identities: tuple[str, ...]) -> Video:
    return Video(
        path=path,
        label=int(method != "real"),
        dataset=DATASET,
        method=method,
        compression="",
        video_id=path.stem,
        identities=identities,
        split=split,
    )
