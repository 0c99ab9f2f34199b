"""Options that stream and scan share: what decides a verdict, so that both give the same one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deploy.judging.arguments import DETECTORS, EVERY_S, FOOTAGE, at_least, positive
from deploy.machine.choose_model import BACKENDS
from keras_ddl.edge.bundle import DEFAULT_BUNDLE
from keras_ddl.edge.clipper import DETECT_EVERY

DEVICES = ("cpu", "cuda", "tensorrt")


def add_model_options(parser: argparse.ArgumentParser) -> Any:
    """Add `bundle`, `backend`, `device` and `domain`; returns their group."""
    group = parser.add_argument_group("who judges")
    group.add_argument(
        "--bundle",
        type=Path,
        default=DEFAULT_BUNDLE,
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


def add_face_options(parser: argparse.ArgumentParser) -> None:
    """Add `detector`, `detect_every` and `every`."""
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
        "--every",
        type=positive,
        default=EVERY_S,
        metavar="S",
        help="a clip, and so a score, of each face this often (default: %(default)s)",
    )
