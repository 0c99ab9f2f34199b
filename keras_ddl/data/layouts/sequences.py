"""The folder scheme of the FaceForensics download, which two datasets share."""

from __future__ import annotations

from pathlib import Path

COMPRESSIONS = ("raw", "c23", "c40")


def originals(root: Path, source: str, compression: str) -> Path:
    """Return the folder of a source's reals (`youtube` or `actors`) in one compression."""
    return root / "original_sequences" / source / compression / "videos"


def manipulated(root: Path, method: str, compression: str) -> Path:
    """Return the folder of a method's fakes in one compression."""
    return root / "manipulated_sequences" / method / compression / "videos"


def mask_files(root: Path, method: str) -> dict[str, Path]:
    """Return a method's mask videos by stem; one serves every compression."""
    folder = root / "manipulated_sequences" / method / "masks"
    return {file.stem: file for file in sorted(folder.rglob("*.mp4"))}
