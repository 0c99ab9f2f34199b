"""Hardest videos: those of validation that a training kept getting wrong."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

WRONG_VIDEOS = "wrong_videos.jsonl"
COUNT = 5


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the epochs of such a file; none where it is not there."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def hardest(path: Path) -> list[tuple[str, int]]:
    """Return the few videos that were wrong in most epochs, with the number of these."""
    times: Counter[str] = Counter()
    for line in read_lines(path):
        times.update(video["video"] for video in line["wrong"])
    return times.most_common(COUNT)
