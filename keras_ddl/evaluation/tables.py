"""The results as text, in the paper's form."""

from __future__ import annotations

from typing import Any

COLUMNS = {"ACC": "accuracy", "AUC": "auc", "F1": "f1"}
SHORT = {
    "Deepfakes": "DF",
    "Face2Face": "F2F",
    "FaceSwap": "FS",
    "NeuralTextures": "NT",
    "FaceShifter": "FSh",
    "DeepFakeDetection": "DFD",
}
"""The paper's names of methods; any other keeps its own."""


def table(result: dict[str, Any]) -> str:
    """Return the results of one set as a readable table.

    Args:
        result: `clip`, `video`, `split`, `threshold` and `videos`; where they are there,
            `intervals`, `methods`, `compressions` and `datasets` of `breakdown` too.
    """
    lines = [
        f"{result['split']} split, threshold {result['threshold']:g}",
        f"{'level':<8}{'ACC':>8}{'AUC':>8}{'F1':>8}{'real':>8}{'fake':>8}",
    ]
    for level in ("clip", "video"):
        row = result[level]
        numbers = "".join(f"{row[name]:>8.4f}" for name in COLUMNS.values())
        lines.append(f"{level:<8}{numbers}{row['real']:>8}{row['fake']:>8}")
    if "intervals" in result:
        lines.append(f"95% of videos resampled: {_intervals(result['intervals']['video'])}")
    for kind in ("datasets", "compressions", "methods"):
        rows = result.get(kind, [])
        if len(rows) > 1:
            lines += _rows(kind, rows)
    without = {name: count for name, count in result["videos"].items() if name != "ok"}
    if without:
        listed = ", ".join(f"{count} {name}" for name, count in sorted(without.items()))
        lines.append(f"videos without a score: {listed}")
    return "\n".join(lines)


def label(row: dict[str, Any]) -> str:
    """Return what a row of `breakdown` is about: dataset, compression, method as far as named."""
    method = row.get("method", "")
    parts = (row["dataset"], row.get("compression", ""), SHORT.get(method, method))
    return " ".join(part for part in parts if part)


def _intervals(found: dict[str, list[float]]) -> str:
    return ", ".join(
        f"{short} {found[name][0]:.4f} to {found[name][1]:.4f}" for short, name in COLUMNS.items()
    )


def _rows(kind: str, rows: list[dict[str, Any]]) -> list[str]:
    wide = max(len(label(row)) for row in rows) + 2
    lines = [f"videos by {kind[:-1]}:"]
    for row in rows:
        if row["missing"]:
            lines.append(f"  {label(row):<{wide}}{row['missing']}")
            continue
        numbers = "  ".join(f"{short} {row['video'][name]:.4f}" for short, name in COLUMNS.items())
        lines.append(f"  {label(row):<{wide}}{numbers}")
    return lines
