"""`beside`: what other commands left in the folder of runs, where it is of the same data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_ddl.files import read_json

ABLATION = Path("ablation/ablation.json")


def beside(run: Path, datasets: Iterable[str]) -> dict[str, Any]:
    """Read the ablation beside a run: its cells on datasets that the run is tested on.

    Args:
        run: The run folder.
        datasets: Their names in the keys of videos.

    Returns:
        What of `Content`'s fields there is something for.
    """
    known = set(datasets)
    file = run.parent / ABLATION
    if not file.is_file():
        return {}
    found = read_json(file)
    cells = [cell for cell in found["cells"] if known & set(cell["datasets"])]
    return {"ablation": {**found, "cells": cells}} if cells else {}
