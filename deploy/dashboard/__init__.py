"""Dashboard: a page on what a run sees and how it is doing, and its data; docs/dashboard.md."""

from __future__ import annotations

from deploy.dashboard.server import DashboardServer
from deploy.dashboard.settings import DEFAULT_ADDRESS, TOKEN_VARIABLE, Settings
from deploy.dashboard.sink import DashboardSink

__all__ = ["DEFAULT_ADDRESS", "TOKEN_VARIABLE", "DashboardServer", "DashboardSink", "Settings"]
