"""A run that is played, the real server around it, and a real browser to look at it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import time
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


class Browser:
    """Headless Chromium, spoken to by the DevTools protocol over two pipes."""

    def __init__(self, profile: Path) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            pytest.skip("needs chromium: scripts/services.sh")
        into_browser, self._to = os.pipe()
        self._from, out_of_browser = os.pipe()
        arguments = [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        wired = f'exec "$@" 3<&{into_browser} 4>&{out_of_browser}'
        with (profile.parent / "chromium.log").open("wb") as noise:
            self._process = subprocess.Popen(
                ["bash", "-c", wired, "bash", *arguments],
                pass_fds=(into_browser, out_of_browser),
                stdin=subprocess.DEVNULL,
                stdout=noise,
                stderr=noise,
            )
        os.close(into_browser)
        os.close(out_of_browser)
        self._buffer = b""
        self._calls = 0
        self.requests: list[str] = []  # every address that a page asked for
        self.errors: list[str] = []  # what went to the console, and uncaught exceptions
        self._session = self._target = ""

    def open(self, address: str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a page of its own at this size."""
        if self._target:
            self.call("Target.closeTarget", targetId=self._target)
        self._target = target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.requests.clear()
        self.errors.clear()
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page, promises awaited."""
        done = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in done:
            raise AssertionError(done["exceptionDetails"])
        return done["result"].get("value")

    def wait(self, condition: str, seconds: float = 10.0) -> None:
        """Wait until an expression, or what it promises, is true in the page."""
        end = time.monotonic() + seconds
        attempt = f"(async () => {{ try {{ return Boolean(await ({condition})) }} catch {{}} }})()"
        while not self.run(attempt):
            text = self.run("document.body?.innerText")
            assert time.monotonic() < end, f"never true: {condition}\n{text}"
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        """What a person reads there."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        import base64

        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call the browser and wait for its answer; events on the way are noted."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": params}
        if self._session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._calls:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._from, 1 << 16)
            assert chunk, "chromium went away"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if event.get("sessionId") != self._session:
            return  # of a page before this one
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(json.dumps(params["args"]))

    def close(self) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; skips, saying how to get one, where there is none."""
    started = Browser(tmp_path_factory.mktemp("chromium") / "profile")
    yield started
    started.close()
