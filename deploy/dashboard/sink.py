"""Hands what a run gives to the page."""

from __future__ import annotations

from deploy.dashboard.history import History
from deploy.dashboard.pictures import Pictures
from deploy.sinks.base import Output, Sink
from deploy.telemetry import NullTelemetry


class DashboardSink(Sink):
    """Keeps the newest picture per source, and a bounded history of scores and events.

    Args:
        telemetry: Gets a count of the events by verdict.
    """

    name = "dashboard"

    def __init__(self, telemetry: NullTelemetry | None = None) -> None:
        self._telemetry = telemetry or NullTelemetry()
        self.pictures = Pictures()
        self.history = History()

    @property
    def wants_picture(self) -> bool:
        """Only while somebody watches."""
        return self.pictures.watched

    def write(self, output: Output) -> None:
        """Take picture and records."""
        if output.picture is not None:
            self.pictures.put(output.source, output.picture)
        for record in output.records:
            source = str(record.get("source") or output.source)
            event = self.history.add(source, record)
            if event is not None:
                self._telemetry.event(str(event.get("verdict")), source)
