"""The epochs' numbers as CSV, written while the training runs."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from keras_ddl.edge.files import write_text
from keras_ddl.framework import keras

HISTORY_CSV = "history.csv"


class HistoryCsv(keras.callbacks.Callback):
    """Table of a row per epoch. Stands behind the callbacks that add to the epoch's logs.

    Args:
        path: The file. Rows of epochs that come again, after `--resume`, are replaced.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rows: list[dict[str, Any]] = []
        if self._path.is_file():
            lines = self._path.read_text(encoding="utf-8").splitlines()
            rows = [row for row in csv.DictReader(lines) if int(row["epoch"]) <= epoch]
        rows.append(
            {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        )
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[-1]), lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self._path, text.getvalue())
