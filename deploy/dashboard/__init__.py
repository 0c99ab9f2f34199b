"""Dashboard: a page on what a run sees and how it is doing, and its data; docs/dashboard.md."""

from __future__ import annotations

from deploy.dashboard.server import DashboardServer
from deploy.dashboard.sink import DashboardSink
from deploy.web.settings import Settings

__all__ = ["DashboardServer", "DashboardSink", "Settings"]
