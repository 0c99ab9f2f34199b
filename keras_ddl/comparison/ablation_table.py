"""The ablation as a table in Markdown, and the words for its networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

VARIANTS: dict[str, tuple[str, ...]] = {
    "none": (),
    "dfdc": ("dfdc",),
    "msa": ("msa",),
    "both": ("dfdc", "msa"),
}
NAMES = {"none": "plain", "dfdc": "+ DFDC", "msa": "+ MSA", "both": "+ DFDC + MSA"}


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the paper's table in Markdown: video-level test ACC and AUC, mean ± sd over seeds."""
    datasets = list(dict.fromkeys(result["dataset"] for result in results))
    backbones = list(dict.fromkeys(result["backbone"] for result in results))
    head = "| network | " + " | ".join(f"{name} ACC | {name} AUC" for name in datasets)
    lines = [head + " | training, s |", "|---" * (2 * len(datasets) + 2) + "|"]
    for backbone in backbones:
        for variant, name in NAMES.items():
            mine = [r for r in results if (r["backbone"], r["variant"]) == (backbone, variant)]
            if not mine:
                continue
            columns = []
            for dataset in datasets:
                here = [r["test"]["video"] for r in mine if r["dataset"] == dataset]
                columns += [_spread([v[key] for v in here]) for key in ("accuracy", "auc")]
            seconds = np.mean([result["seconds"] for result in mine])
            words = name if len(backbones) == 1 else f"{backbone} {name.removeprefix('plain')}"
            lines.append(f"| {words.strip()} | " + " | ".join(columns) + f" | {seconds:.0f} |")
    return "\n".join([*lines, "", _about(results, datasets)])


def _about(results: Sequence[dict[str, Any]], datasets: Sequence[str]) -> str:
    """What was trained and tested, in a line."""
    first = results[0]["cell"]["config"]
    seeds = len({result["cell"]["config"]["seed"] for result in results})
    spread = f"mean ± sd over {seeds} seeds" if seeds > 1 else "one seed"
    counts = []
    for dataset in datasets:
        videos = next(r["test"]["video"] for r in results if r["dataset"] == dataset)
        words = f"{videos['real']} real and {videos['fake']} fake test videos"
        counts.append(words if len(datasets) == 1 else f"{dataset}: {words}")
    if len({words.rpartition(": ")[2] for words in counts}) == 1:
        counts = [counts[0].rpartition(": ")[2]]
    drawn = "; d = difficulty" if any(name.startswith("d ") for name in datasets) else ""
    return (
        f"{', '.join(dict.fromkeys(r['backbone'] for r in results))}, width {first['width']:g}, "
        f"{first['size']} px, {first['frames']} frames, {first['epochs']} epochs; {spread}; "
        f"{'; '.join(counts)}{drawn}."
    )


def _spread(values: Sequence[float]) -> str:
    """Return mean ± sample standard deviation; one value has none."""
    if not values:
        return "–"
    if len(values) < 2:
        return f"{np.mean(values):.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
