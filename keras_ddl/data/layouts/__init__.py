"""Dataset layouts: each is a function from a root folder to an iterator of `Video`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from keras_ddl.data.layouts.folder import folder
from keras_ddl.data.video_index import Video

LAYOUTS: dict[str, Callable[[Path], Iterator[Video]]] = {"folder": folder}
"""Layouts by the name that commands take."""

__all__ = ["LAYOUTS", "folder"]
