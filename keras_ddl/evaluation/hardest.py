"""`hardest`: the validation videos that a training kept getting wrong."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

WRONG_VIDEOS = "wrong_videos.jsonl"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the epochs of such a file; none where it is not there."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def hardest(path: Path, count: int = 5) -> list[tuple[str, int]]:
    """Return the videos that were wrong in most epochs, with their number."""
    times: Counter[str] = Counter()
    for line in read_lines(path):
        times.update(video["video"] for video in line["wrong"])
    return times.most_common(count)
