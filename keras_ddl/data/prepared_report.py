"""`report.md` of a prepared folder: what every video gave, and which ones gave nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from keras_ddl.data.crop_sheet import SHEET, write_crop_sheet
from keras_ddl.data.prepared import read_summary
from keras_ddl.data.video_index import SPLITS
from keras_ddl.edge.files import read_json, write_text

REPORT = "report.md"


def write_report(prepared: Path) -> Path:
    """Write `report.md` and the contact sheet it shows.

    Args:
        prepared: Folder of prepared clips.

    Returns:
        The Markdown file.
    """
    prepared = Path(prepared)
    write_crop_sheet(prepared)
    summary = read_summary(prepared)
    lines = [
        f"# {prepared.name}",
        "",
        f"From `{summary.get('root', '?')}` (layout {summary.get('layout', '?')}), JPEG quality "
        f"{summary.get('quality', '?')}, up to {summary.get('clips_per_video', '?')} clips a face.",
        "",
        "| split | dataset | method | compression | videos | clips | faces | without clips |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lost: list[str] = []
    for split in SPLITS:
        index = read_json(prepared / split / "index.json")
        faces: dict[tuple[str, ...], set[tuple[str, int]]] = defaultdict(set)
        clips: Counter[tuple[str, ...]] = Counter()
        for row in index["clips"]:
            kind = tuple(row["key"][:3])
            clips[kind] += 1
            faces[kind].add((row["key"][3], row["track"]))
        kinds = Counter(tuple(video["key"][:3]) for video in index["videos"])
        empty = Counter(tuple(v["key"][:3]) for v in index["videos"] if v["status"] != "ok")
        for kind, count in sorted(kinds.items()):
            numbers = f"{count} | {clips[kind]} | {len(faces[kind])} | {empty[kind]} |"
            lines.append(f"| {split} | {' | '.join(part or '–' for part in kind)} | {numbers}")
        lost += [
            f"- {split}, {' '.join(filter(None, v['key']))}: {v['status']}: {v['message']}"
            for v in index["videos"]
            if v["status"] != "ok"
        ]
    lines += ["", "## Videos without a clip", "", *(lost or ["None."]), ""]
    lines += ["## Crops", "", f"Green = real, red = fake.\n\n![crops]({SHEET})"]
    write_text(prepared / REPORT, "\n".join(lines) + "\n")
    return prepared / REPORT
