"""Report of a prepared folder: what every video gave, and a contact sheet of the crops."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from keras_ddl.data.prepared import REPORTS, Key, PreparedSplit, read_split, read_summary
from keras_ddl.data.shards.stored_set import prepared_here
from keras_ddl.data.video_index import SPLITS
from keras_ddl.edge.files import read_json
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.folder import open_folder

REPORT, SHEET = REPORTS
COLUMNS, ROWS = 12, 4  # crops across, and at most that many lines for a split
TILE, CAPTION, GAP = 96, 12, 4  # pixels
COLOURS = {0: (120, 190, 90), 1: (70, 80, 220)}  # BGR: green = real, red = fake


def write_report(place: Path | Address) -> None:
    """Write `report.md` and the contact sheet it shows.

    Args:
        place: Folder of prepared clips, or its address.
    """
    prepared, folder = prepared_here(place), open_folder(place)
    folder.write(SHEET, crop_sheet(prepared))
    summary = read_summary(prepared)
    who = f", people by `{summary['identity']}`" if "identity" in summary else ""
    lines = [
        f"# {place.name}",
        "",
        f"From `{summary.get('root', '?')}` (layout {summary.get('layout', '?')}{who}), JPEG "
        f"quality {summary.get('quality', '?')}, up to {summary.get('clips_per_video', '?')} "
        "clips a face.",
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
    text = "\n".join(lines) + "\n"
    folder.write(REPORT, text.encode("utf-8", "backslashreplace"))


def crop_sheet(prepared: Path) -> bytes:
    """Draw the middle frame of one clip of evenly chosen tracks of each split, with its name.

    Args:
        prepared: Folder of prepared clips.

    Returns:
        A PNG file.
    """
    import cv2

    counts = read_summary(prepared)["splits"]
    parts = [_part(prepared, split) for split in SPLITS if counts[split]["clips"]]
    parts = parts or [_line("no clips at all")]
    sheet = np.concatenate([*parts, np.full((GAP, parts[0].shape[1], 3), 255, np.uint8)])
    _, png = cv2.imencode(".png", sheet)
    return bytes(png.tobytes())


def _part(prepared: Path, split: str) -> np.ndarray:
    """The crops of one split under a line that counts them."""
    data = read_split(prepared, split, whole=False)
    first: dict[tuple[Key, int], int] = {}
    for number, (key, row) in enumerate(zip(data.keys, data.rows, strict=True)):
        first.setdefault((key, row["track"]), number)
    numbers = list(first.values())
    chosen = np.linspace(0, len(numbers) - 1, min(len(numbers), COLUMNS * ROWS)).astype(int)
    tiles = [_tile(data, numbers[place]) for place in chosen]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % COLUMNS)
    lines = [np.concatenate(tiles[i : i + COLUMNS], 1) for i in range(0, len(tiles), COLUMNS)]
    fake = int(data.labels.sum())
    title = f"{split}: {len(data.labels) - fake} real and {fake} fake clips"
    title += f" of {len(numbers)} faces; shown: {len(chosen)}"
    return np.concatenate([_line(title), *lines])


def _line(text: str) -> np.ndarray:
    width = COLUMNS * (TILE + 2 * GAP)
    line = np.full((2 * CAPTION + GAP, width, 3), 255, np.uint8)
    return _written(line, text, (GAP, 2 * CAPTION - GAP), 0.5, (40, 40, 40))


def _tile(data: PreparedSplit, number: int) -> np.ndarray:
    """One crop with a border in the colour of its class and its name below."""
    import cv2

    clip = data.clips[number]
    crop = cv2.resize(clip[len(clip) // 2], (TILE, TILE), interpolation=cv2.INTER_AREA)[..., ::-1]
    colour = COLOURS[int(data.labels[number])]
    tile = np.full((TILE + 2 * GAP + CAPTION, TILE + 2 * GAP, 3), 255, np.uint8)
    tile[GAP // 2 : TILE + 3 * GAP // 2, GAP // 2 : TILE + 3 * GAP // 2] = colour
    tile[GAP : GAP + TILE, GAP : GAP + TILE] = crop
    name = f"{Path(data.keys[number][3]).stem} #{data.rows[number]['track']}"
    return _written(tile, name[-18:], (GAP, TILE + GAP + CAPTION), 0.3, (60, 60, 60))


def _written(
    image: np.ndarray, text: str, place: tuple[int, int], scale: float, colour: tuple[int, ...]
) -> np.ndarray:
    import cv2

    text = text.encode("ascii", "replace").decode()  # all that this font has; others end OpenCV
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return image
