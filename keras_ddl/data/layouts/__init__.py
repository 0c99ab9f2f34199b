"""Dataset layouts: each is a function from a root folder to its `Index`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_ddl.data.layouts.celebdf import celebdf
from keras_ddl.data.layouts.deeperforensics import deeperforensics
from keras_ddl.data.layouts.dfd import dfd
from keras_ddl.data.layouts.dfdc import dfdc
from keras_ddl.data.layouts.dfdc_preview import dfdc_preview
from keras_ddl.data.layouts.ffpp import ffpp
from keras_ddl.data.layouts.folder import folder
from keras_ddl.data.layouts.identity import OPTION
from keras_ddl.data.layouts.index import Index
from keras_ddl.data.layouts.manifest import manifest
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.storage.address import Address

LAYOUTS: dict[str, Callable[[Any], Index]] = {
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

OWN_NAMES: dict[str, Callable[..., Index]] = {"csv": manifest, "folder": folder}
"""Those whose names are the user's own, so that a pattern may say who is in a video."""


def read_index(root: Path | Address, layout: str, identity: str = "") -> Index:
    """Index a dataset.

    Args:
        root: Its folder, or the file of a table; or an address, for a layout in `OWN_NAMES`.
        layout: A name in `LAYOUTS`.
        identity: Pattern of an `IdentityRule`, for a layout in `OWN_NAMES`.

    Raises:
        UserError: If the folder is not such a dataset, or its names say by themselves who is who.
    """
    if isinstance(root, Address) and layout not in OWN_NAMES:
        raise UserError(
            f"--layout {layout}: expected a folder of this machine, received {root}; of addresses "
            f"the layouts {' and '.join(OWN_NAMES)} are taken"
        )
    place = root if isinstance(root, Address) else Path(root)
    if not identity:
        return LAYOUTS[layout](place)
    if layout not in OWN_NAMES:
        raise UserError(
            f"{OPTION}: expected one of the layouts {', '.join(OWN_NAMES)} with it, received "
            f"{layout}, which says by itself who is who; leave it out"
        )
    return OWN_NAMES[layout](place, identity=identity)


def add_arguments(parser: argparse._ActionsContainer, of: str = "") -> None:
    """Add `--layout` and `--identity` to a command; `of` names the option that they are about."""
    about = f"of {of}; " if of else ""
    parser.add_argument(
        "--layout",
        choices=sorted(LAYOUTS),
        default="folder",
        help=f"{about}how the dataset lies; default %(default)s",
    )
    parser.add_argument(
        OPTION,
        metavar="PATTERN",
        default="",
        help=f"{about}regular expression that finds who is in a video in its path; default: the "
        f"file name up to its first underscore; layouts {' and '.join(OWN_NAMES)}",
    )


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse `--identity` where no dataset is read: prepared clips keep who was in them."""
    if args.identity and args.data is None:
        raise UserError(f"{OPTION}: expected --data ROOT with it, received none; leave it out")


__all__ = [
    "LAYOUTS",
    "OWN_NAMES",
    "Index",
    "add_arguments",
    "celebdf",
    "check_arguments",
    "deeperforensics",
    "dfd",
    "dfdc",
    "dfdc_preview",
    "ffpp",
    "folder",
    "manifest",
    "read_index",
]
