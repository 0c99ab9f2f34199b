"""`datasets`: the data of a matrix, indexed before any hour is spent."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keras_ddl.config import TrainConfig
from keras_ddl.data.layouts import LAYOUTS
from keras_ddl.data.synthetic.dataset import is_synthetic
from keras_ddl.datasets import prepared_for
from keras_ddl.edge.errors import UserError


@dataclass(frozen=True)
class Dataset:
    """A dataset of the matrix.

    Args:
        name: Of its folder in the results.
        title: What tables call it: the datasets of its test videos.
        root: Its folder, or its list of videos.
        layout: How it lies; a name in `LAYOUTS`.
        synthetic: Whether it is generated.
        overrides: What a training on it must be set to, `key=value`, so that its run says so.
    """

    name: str
    title: str
    root: Path
    layout: str
    synthetic: bool
    overrides: tuple[str, ...] = ()
    _cut: dict[tuple[object, ...], Path] = field(default_factory=dict, repr=False, compare=False)

    def prepared(self, config: TrainConfig, cache: Path) -> Path:
        """Return its clips as a configuration asks for them; cuts them where that is not done."""
        asked = (config.spec(), config.detector, config.clips_per_video)
        if asked not in self._cut:
            self._cut[asked] = prepared_for(config, self.root, cache, layout=self.layout)
        return self._cut[asked]


def add_arguments(group: argparse._ActionsContainer, source: argparse._ActionsContainer) -> None:
    """Add `--data` to a group of options, and `--layout`."""
    source.add_argument(
        "--data", type=Path, nargs="+", metavar="ROOT", help="datasets; default: generated videos"
    )
    group.add_argument(
        "--layout",
        choices=sorted(LAYOUTS),
        nargs="+",
        default=["folder"],
        help="of --data, one for all or one each; default folder",
    )


def datasets(roots: Sequence[Path], layouts: Sequence[str]) -> list[Dataset]:
    """Index datasets.

    Args:
        roots: Their folders.
        layouts: One each, or one for all.

    Raises:
        UserError: Another number of layouts; two datasets of one name; a root that is none, or
            has no test video.
    """
    if len(layouts) not in (1, len(roots)):
        raise UserError(
            f"--layout: expected one name, or one for each of {len(roots)} datasets, received "
            f"{len(layouts)}"
        )
    each = list(layouts) * len(roots) if len(layouts) == 1 else layouts
    found = [_dataset(root, layout) for root, layout in zip(roots, each, strict=True)]
    for number, dataset in enumerate(found):
        if dataset.name in (other.name for other in found[:number]):
            raise UserError(
                f"--data: two datasets lie in folders called {dataset.name}; their results would "
                f"lie in one folder; give one another name: ln -s {dataset.root} NAME"
            )
    return found


def _dataset(root: Path, layout: str) -> Dataset:
    named = Path(os.path.abspath(root))  # not resolved: a link is how to give another name
    name = (named.parent if named.is_file() else named).name
    tested = [video for video in LAYOUTS[layout](root).videos if video.split == "test"]
    if not tested or all(video.label for video in tested):  # of reals fakes can be made
        received = f"{len(tested)} fakes and no real" if tested else "none"
        raise UserError(
            f"{root}: expected real test videos, received {received}; python -m "
            f"keras_ddl.data.verify {root} --layout {layout} tells what is there"
        )
    title = ", ".join(dict.fromkeys(video.dataset for video in tested))
    return Dataset(name, title, Path(root), layout, is_synthetic(Path(root)))
