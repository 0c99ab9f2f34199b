"""A run that is played, the real server around it, and a real browser to look at it."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.control import FaceStatus, SourceStatus
from deploy.dashboard import DashboardServer, DashboardSink, Settings
from deploy.sinks import Output
from deploy.sources.base import Health, State
from deploy.telemetry import Telemetry

DOOR, GATE, HALL = "camera 0", "rtsp://***@gate.example/stream", "hall.mp4"


class Played:
    """Stands in for a run: three sources, of which one is reconnecting."""

    def __init__(self, names: tuple[str, str, str] = (DOOR, GATE, HALL)) -> None:
        self.telemetry = Telemetry()
        self.sink = DashboardSink(self.telemetry)
        self.asked: list[tuple[str, str]] = []
        self.warm = True
        self.dead_threads: list[str] = []
        latency = {"p50": 312.4, "p90": 401.0, "p99": 655.5}
        seen = Health(State.RUNNING, "", 1500, 2, (640, 480), {"stale": 7})
        lost = Health(State.RECONNECTING, "no answer from gate.example", 90, 4, (640, 480))
        door, gate, hall = names
        self.sources = {
            door: SourceStatus(door, seen, True, 24.9, (), latency),
            gate: SourceStatus(gate, lost),
            hall: SourceStatus(hall, replace(seen, reconnects=0, dropped={}), False, 51.5),
        }
        self.snapshots: dict[str, np.ndarray] = {}
        self._events = 0

    def status(self) -> tuple[SourceStatus, ...]:
        return tuple(self.sources.values())

    def start(self, source: str) -> None:
        self._turn("start", source, State.RUNNING)

    def stop(self, source: str) -> None:
        self._turn("stop", source, State.STOPPED)

    def snapshot(self, source: str) -> np.ndarray | None:
        return self.snapshots.get(source)

    def _turn(self, action: str, source: str, state: State) -> None:
        now = self.sources[source]
        self.asked.append((action, source))
        self.sources[source] = replace(now, health=replace(now.health, state=state))

    def begin(self, source: str, **changes: object) -> None:
        """Say by which rule a source is judged."""
        rule = {"fake_from": 0.6, "real_to": 0.4, "abstain": "", "domain": "ff++"}
        record = {"type": "start", "time_ms": 0.0, "model_id": "0123456789ab", **rule, **changes}
        self.sink.write(Output((record,), source=source))

    def clip(self, source: str, track: int, time_ms: float, score: float, verdict: str) -> None:
        """One judged clip, and the face it belongs to in sight."""
        record = {
            "type": "clip",
            "time_ms": time_ms,
            "track": track,
            "fake_probability": score,
            "probability_smoothed": score,
            "verdict": verdict,
            "reason": "score",
        }
        self.sink.write(Output((record,), source=source))
        now = self.sources[source]
        others = tuple(face for face in now.faces if face.track != track)
        face = FaceStatus(track, verdict, score, "score >= 0.60" if verdict == "FAKE" else "")
        self.sources[source] = replace(now, faces=(*others, face))

    def verdict(self, source: str, track: int | None, verdict: str, **changes: object) -> str:
        """A change of a verdict; returns the event's id."""
        self._events += 1
        record = {
            "type": "verdict",
            "event": f"event-{self._events}",
            "at": "2026-11-25T12:00:00.000Z",
            "time_ms": 1000.0,
            "track": track,
            "verdict": verdict,
            "previous": "UNCERTAIN",
            "probability_smoothed": 0.91,
            "reason": "score >= 0.60",
            "source": source,
            **changes,
        }
        self.sink.write(Output((record,), source=source))
        return str(record["event"])

    def picture(self, source: str, image: np.ndarray) -> None:
        """One annotated picture."""
        self.sink.write(Output(picture=image, source=source))


@dataclass
class Client:
    """Real HTTP to a served dashboard."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(
        self,
        path: str,
        method: str = "GET",
        body: str | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask; returns status, headers in lower case and body. `host_` becomes "Host"."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        named = {name.strip("_").replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path, body, {**self.headers, **named})
            answer = connection.getresponse()
            return (
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                answer.read(),
            )

    def json(self, path: str, **headers: str) -> Any:
        """The JSON at a path that must answer 200."""
        status, _, body = self(path, **headers)
        assert status == 200, body
        return json.loads(body)


@dataclass
class Served:
    """A dashboard that is up."""

    run: Played
    server: DashboardServer
    get: Client

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"


@pytest.fixture
def played() -> type[Played]:
    return Played


@pytest.fixture
def client() -> type[Client]:
    return Client


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Serves a played run on a free port of loopback; arguments as those of `DashboardServer`."""
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    pytest.importorskip("prometheus_client")
    with contextlib.ExitStack() as stack:

        def start(
            run: Played | None = None, settings: Settings | None = None, **options: Any
        ) -> Served:
            run = run or Played()
            settings = settings or Settings(port=0)
            server = DashboardServer(settings, run, run.sink, run.telemetry, **options)
            stack.enter_context(server)
            return Served(run, server, Client(server.port))

        yield start


@pytest.fixture(scope="module")
def standing() -> Iterator[Callable[[Settings], Served]]:
    """Serves a played run once per settings for all tests of a file; none of them may change it."""
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    pytest.importorskip("prometheus_client")
    kept: dict[Settings, Served] = {}
    with contextlib.ExitStack() as stack:

        def find(settings: Settings) -> Served:
            if settings not in kept:
                run = Played()
                server = DashboardServer(settings, run, run.sink, run.telemetry)
                stack.enter_context(server)
                kept[settings] = Served(run, server, Client(server.port))
            kept[settings].run.asked.clear()
            return kept[settings]

        yield find


@pytest.fixture
def write_evidence(tmp_path: Path) -> Callable[..., Path]:
    """Writes an evidence folder as a run does; the root is `tmp_path / "evidence"`."""

    def write(event: str, **files: bytes) -> Path:
        folder = tmp_path / "evidence" / f"folder of {event}"
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / name.replace("_", ".")).write_bytes(data)
        (folder / "manifest.json").write_text(json.dumps({"event": event}), encoding="utf-8")
        return folder

    return write
