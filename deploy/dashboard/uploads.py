"""The page of `deploy/serve.py` under the dashboard's: files beside the live sources."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from deploy.judging.options import search_rule
from deploy.judging.session import RunDescription
from deploy.scanning.about import who_judges
from deploy.scanning.kit import Options
from deploy.serving.app import Offer
from deploy.serving.files_page import FilesPage
from deploy.serving.limits import Limits
from keras_ddl.edge.optional_import import need

PATH = "/judge"
LIMITS = Limits(nice=10)  # the live sources come first


def uploads_page(
    args: argparse.Namespace, model: Path, run: RunDescription, detector: str
) -> FilesPage:
    """The page, not open yet; files are judged as the sources are.

    Args:
        args: Of the command.
        model: A bundle's folder, or an engine.
        run: Judges the sources.
        detector: The name of what finds their faces.
    """
    need("av", "uploads on the dashboard")
    options = Options(
        bundle=str(model),
        device=args.device,
        footage=args.domain,
        detector=detector,
        detect_every=args.detect_every,
        search=search_rule(args),
        stride_ms=args.every * 1000.0,
        out="",
        threads=max(1, (os.cpu_count() or 1) // 2),
        timeout_s=LIMITS.file_timeout_s,
        most_pixels=round(args.max_megapixels * 1e6),
    )
    about = who_judges(run.bundle, run.backend.name, options)
    return FilesPage(options, Offer(about, args.dashboard_links, dashboard=True), LIMITS)
