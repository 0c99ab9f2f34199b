"""DeepFakeDetection: actors and their swaps, in the folders of the FaceForensics download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keras_ddl.data.layouts.held_out import hold_out
from keras_ddl.data.layouts.index import Index, dataset_folder
from keras_ddl.data.layouts.sequences import COMPRESSIONS, manipulated, mask_files, originals
from keras_ddl.data.video_index import Video
from keras_ddl.edge.errors import UserError

DATASET = "DFD"
METHOD = "DeepFakeDetection"
SOURCE = "actors"


def has_dfd(root: Path) -> bool:
    """Whether the folder holds anything of the dataset."""
    return any(folder.is_dir() for _, _, folder in _folders(root))


def dfd(root: Path) -> Index:
    """Index DeepFakeDetection; the `ffpp` layout brings it too.

    There are no official splits. Actors are held out for validation and test
    (`keras_ddl.data.layouts.held_out`), and fakes of actors from two parts are left out. The file
    names say who is who: `24__scene.mp4` shows actor 24, `24_23__scene__code.mp4` actor 24 with
    the face of 23.

    Args:
        root: The folder that holds `original_sequences` and `manipulated_sequences`.

    Returns:
        Its index; fakes with a mask where there is one.

    Raises:
        UserError: If it is not there, or too few actors are.
    """
    root = dataset_folder(root)
    if not has_dfd(root):
        raise UserError(
            f"expected DeepFakeDetection, received {root}, which holds neither "
            f"{originals(Path(), SOURCE, 'c23')} nor {manipulated(Path(), METHOD, 'c23')}"
        )
    masks = mask_files(root, METHOD)
    found: list[Video] = []
    notes: list[str] = []
    for method, compression, folder in _folders(root):
        for path in sorted(folder.glob("*.mp4")):
            people = tuple(path.stem.partition("__")[0].split("_"))
            if len(people) != (1 if method == "real" else 2) or not all(map(str.isdigit, people)):
                notes.append(f"{path}: left out, its name does not begin with the actors' numbers")
                continue
            found.append(
                Video(
                    path=path,
                    label=int(method != "real"),
                    dataset=DATASET,
                    method=method,
                    compression=compression,
                    video_id=path.stem,
                    identities=people,
                    split="train",
                    mask=masks.get(path.stem) if method != "real" else None,
                )
            )
    videos, mixed = hold_out(found)
    return Index.of(videos, mixed, notes=notes)


def _folders(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield method, compression and folder."""
    for compression in COMPRESSIONS:
        yield "real", compression, originals(root, SOURCE, compression)
        yield METHOD, compression, manipulated(root, METHOD, compression)
