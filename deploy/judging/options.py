"""Options that the commands share: what decides a verdict."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deploy.bundle import SYNTHETIC
from deploy.machine.choose_model import BACKENDS
from keras_ddl.edge.bundle import default_bundle
from keras_ddl.edge.clipper import DETECT_EVERY
from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.faces.search import FULL_EVERY, SearchRule
from keras_ddl.edge.values import at_least, positive
from keras_ddl.edge.video.container import MOST_PIXELS
from keras_ddl.edge.video.decoder import CPU, DECODERS

DEVICES = ("cpu", "cuda", "tensorrt", "rtx")
FOOTAGE = ("real", SYNTHETIC)
DETECTORS = ("auto", "haar", "yunet")
EVERY_S = 0.5  # time between two clips of a face


def add_max_megapixels(group: Any) -> None:
    """Add the bound on the size of a picture."""
    group.add_argument(
        "--max-megapixels",
        type=positive,
        default=MOST_PIXELS / 1e6,
        metavar="MP",
        help="refuse pictures, still or moving, of more million pixels (default: %(default)g)",
    )


def add_decode(group: Any) -> None:
    """Add what decodes files and streams."""
    group.add_argument(
        "--decode",
        choices=DECODERS,
        default=CPU,
        help="what decodes files and streams: auto takes a device where one is there, cuda and the "
        "like name one; without it the CPU decodes (default: %(default)s)",
    )


def add_model_options(parser: argparse.ArgumentParser) -> Any:
    """Add `bundle`, `backend`, `device` and `domain`; returns their group."""
    group = parser.add_argument_group("who judges")
    group.add_argument(
        "--bundle",
        type=Path,
        default=default_bundle(),
        help="bundle or engine (default: %(default)s)",
    )
    group.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        help="auto takes an engine of the bundle that fits this machine, else the ONNX graph "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--device",
        choices=DEVICES,
        default="cpu",
        help="where ONNX Runtime computes; an engine has its own (default: %(default)s)",
    )
    group.add_argument(
        "--domain",
        choices=FOOTAGE,
        default="real",
        help="what the footage shows; a model trained on synthetic faces judges only synthetic "
        "ones (default: %(default)s)",
    )
    return group


def add_evidence_proofs(group: Any) -> None:
    """Add `evidence_key` and `evidence_stamps` to a group with `evidence`."""
    group.add_argument(
        "--evidence-key",
        type=Path,
        metavar="FILE",
        help="sign evidence with that key; it is made at the first start (extra 'evidence')",
    )
    group.add_argument(
        "--evidence-stamps",
        default="",
        metavar="URL",
        help="have evidence stamped by that RFC 3161 authority (extra 'evidence')",
    )


def check_evidence_proofs(args: argparse.Namespace) -> None:
    """Refuse to sign or stamp what is not kept.

    Raises:
        UserError: one of both options without `evidence` (2).
    """
    for option, value in (("key", args.evidence_key), ("stamps", args.evidence_stamps)):
        if value and not args.evidence:
            raise UserError(
                f"expected --evidence DIR beside --evidence-{option}, received none: name a folder "
                f"for evidence, or leave --evidence-{option} out",
                USAGE,
            )


def add_face_options(parser: argparse.ArgumentParser) -> None:
    """Add `detector`, `detect_every`, `full_search_every`, `min_face` and `every`."""
    group = parser.add_argument_group("faces and clips")
    group.add_argument("--detector", choices=DETECTORS, default="auto", help="(default: auto)")
    group.add_argument(
        "--detect-every",
        type=at_least(1),
        default=DETECT_EVERY,
        metavar="FRAMES",
        help="look for faces every so many frames, track between (default: %(default)s)",
    )
    group.add_argument(
        "--full-search-every",
        type=at_least(1),
        default=FULL_EVERY,
        metavar="FRAMES",
        help="search the whole picture every so many frames at the latest, and between, while all "
        "goes on as it was, only around the known faces; 1: always the whole (default: "
        "%(default)s)",
    )
    group.add_argument(
        "--min-face",
        type=positive,
        metavar="PX",
        help="smallest face of interest, in pixels of the picture: it is searched no finer than "
        "that takes, smaller faces are not followed (default: all that are found in a picture of "
        "800 pixels, by haar 400)",
    )
    group.add_argument(
        "--every",
        type=positive,
        default=EVERY_S,
        metavar="S",
        help="a clip, and so a score, of each face this often (default: %(default)s)",
    )


def search_rule(args: argparse.Namespace) -> SearchRule:
    """Return which faces are looked for, and where, as the options say."""
    return SearchRule(args.full_search_every, args.min_face or 0.0)
