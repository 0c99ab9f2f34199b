"""Dataset layouts: each is a function from a root folder to its `Index`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keras_ddl.data.layouts.celebdf import celebdf
from keras_ddl.data.layouts.deeperforensics import deeperforensics
from keras_ddl.data.layouts.dfd import dfd
from keras_ddl.data.layouts.dfdc import dfdc
from keras_ddl.data.layouts.dfdc_preview import dfdc_preview
from keras_ddl.data.layouts.ffpp import ffpp
from keras_ddl.data.layouts.folder import folder
from keras_ddl.data.layouts.index import Index
from keras_ddl.data.layouts.manifest import manifest

LAYOUTS: dict[str, Callable[[Path], Index]] = {
    "celebdf": celebdf,
    "csv": manifest,
    "deeperforensics": deeperforensics,
    "dfd": dfd,
    "dfdc": dfdc,
    "dfdc_preview": dfdc_preview,
    "ffpp": ffpp,
    "folder": folder,
}
"""Layouts by the name that commands take; `Index.present` then yields the videos that are there."""

__all__ = [
    "LAYOUTS",
    "Index",
    "celebdf",
    "deeperforensics",
    "dfd",
    "dfdc",
    "dfdc_preview",
    "ffpp",
    "folder",
    "manifest",
]
