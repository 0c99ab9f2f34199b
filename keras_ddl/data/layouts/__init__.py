"""Dataset layouts: each is a function from a root folder to an iterator of `Video`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from keras_ddl.data.layouts.celebdf import celebdf, index_celebdf
from keras_ddl.data.layouts.deeperforensics import deeperforensics, index_deeperforensics
from keras_ddl.data.layouts.dfd import dfd, index_dfd
from keras_ddl.data.layouts.dfdc import dfdc, index_dfdc
from keras_ddl.data.layouts.dfdc_preview import dfdc_preview, index_dfdc_preview
from keras_ddl.data.layouts.ffpp import ffpp, index_ffpp
from keras_ddl.data.layouts.folder import folder, index_folder
from keras_ddl.data.layouts.index import Index
from keras_ddl.data.layouts.manifest import index_manifest, manifest
from keras_ddl.data.video_index import Video

LAYOUTS: dict[str, Callable[[Path], Iterator[Video]]] = {
    "celebdf": celebdf,
    "csv": manifest,
    "deeperforensics": deeperforensics,
    "dfd": dfd,
    "dfdc": dfdc,
    "dfdc_preview": dfdc_preview,
    "ffpp": ffpp,
    "folder": folder,
}
"""Layouts by the name that commands take."""

INDEXES: dict[str, Callable[[Path], Index]] = {
    "celebdf": index_celebdf,
    "csv": index_manifest,
    "deeperforensics": index_deeperforensics,
    "dfd": index_dfd,
    "dfdc": index_dfdc,
    "dfdc_preview": index_dfdc_preview,
    "ffpp": index_ffpp,
    "folder": index_folder,
}
"""By the same names, what a layout knows beyond its videos: missing files, official numbers."""

__all__ = [
    "INDEXES",
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
