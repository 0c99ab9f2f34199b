"""The dashboard's server: its application over one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.control import Control
from deploy.dashboard.app import PUBLIC, App
from deploy.dashboard.evidence_files import EvidenceFiles
from deploy.dashboard.report import Report
from deploy.dashboard.sink import DashboardSink
from deploy.telemetry import Telemetry
from deploy.web.access import Access
from deploy.web.mounted import Mounted
from deploy.web.server import PageServer
from deploy.web.settings import Settings
from keras_ddl.edge.optional_import import need

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PURPOSE = "the dashboard"


class DashboardServer(PageServer):
    """The dashboard of a run; serves while it is open.

    Args:
        settings: Where, and for whom.
        control: The run.
        sink: One of its sinks.
        telemetry: What it counts with.
        evidence: Root of the evidence folders; None has no evidence.
        mounted: Further pages, open already.
    """

    def __init__(
        self,
        settings: Settings,
        control: Control,
        sink: DashboardSink,
        telemetry: Telemetry,
        evidence: Path | None = None,
        mounted: Sequence[Mounted] = (),
    ) -> None:
        pages = tuple(page.path for page in mounted)
        report = Report(control, sink, telemetry, EvidenceFiles(evidence), pages)
        public = PUBLIC.union(*(page.addresses() for page in mounted))

        def make_app(port: int) -> ASGIApp:
            access = Access(settings, port, public)
            return App(report, access, self.closing.is_set, mounted).asgi()

        super().__init__(settings, make_app, PURPOSE)

    def open(self) -> None:
        """As `PageServer.open`."""
        for package in ("prometheus_client", "cv2"):
            need(package, PURPOSE)
        super().open()
