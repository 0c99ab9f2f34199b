"""The server itself: what it answers, how it starts, how fast it is gone."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from deploy.dashboard import DashboardServer, Settings
from deploy.dashboard.report import identify
from deploy.sources.base import State
from deploy.web import guard, server, sign_in
from deploy.web.mounted import Mounted
from keras_ddl.edge.errors import UserError

DOOR, GATE, HALL = "camera 0", "rtsp://***@gate.example/stream", "hall.mp4"


def picture_of(name: str) -> str:
    return f"/api/sources/{identify(name)}/picture.jpg"


class Listener:
    """Reads server-sent events."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._socket.sendall(b"GET /api/updates HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self._file = self._socket.makefile("rb")

    def __iter__(self) -> Iterator[Any]:
        for line in self._file:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def listen() -> Iterator[Callable[[Any], Listener]]:
    with contextlib.ExitStack() as stack:

        def start(served: Any) -> Listener:
            listener = Listener(served.server.port)
            stack.callback(listener.close)
            return listener

        yield start


def test_status_says_what_the_run_says(serve: Callable[..., Any]) -> None:
    served = serve()
    served.run.begin(DOOR)
    served.run.clip(DOOR, 3, 100.0, 0.9, "FAKE")
    served.run.telemetry.observe("infer", 0.05, DOOR)
    served.run.telemetry.drop("stale", DOOR, 4)  # the source says 7 itself
    served.run.telemetry.drop("superseded", DOOR, 2)
    status = served.get.json("/api/status")
    door, gate, _ = status["sources"]
    assert (door["name"], door["state"], door["fps"]) == (DOOR, "running", 24.9)
    assert door["faces"] == [
        {"track": 3, "verdict": "FAKE", "probability": 0.9, "reason": "score >= 0.60"}
    ]
    assert door["latency_ms"] == {"p50": 312.4, "p90": 401.0, "p99": 655.5}
    assert door["dropped"] == {"stale": 7, "superseded": 2}
    assert (gate["state"], gate["error"]) == ("reconnecting", "no answer from gate.example")
    assert status["rules"][DOOR]["model_id"] == "0123456789ab"
    assert status["stages"][DOOR] == {"infer": {"p50": 50.0, "p90": 50.0, "p99": 50.0}}


def test_numbers_that_are_none_stay_strict_json(serve: Callable[..., Any]) -> None:
    served = serve()
    served.run.clip(DOOR, 1, 0.0, float("nan"), "UNCERTAIN")
    assert served.get.json("/api/status")["sources"][0]["faces"][0]["probability"] is None


def test_pictures_by_number(serve: Callable[..., Any]) -> None:
    served = serve()
    assert served.get(picture_of(DOOR))[0] == 204  # none at all yet
    served.run.snapshots[DOOR] = np.zeros((30, 40, 3), np.uint8)
    status, headers, body = served.get(picture_of(DOOR))  # before anybody watched
    assert (status, headers["content-type"], headers["x-picture"]) == (200, "image/jpeg", "0")
    assert body.startswith(b"\xff\xd8")
    assert served.get(picture_of(DOOR) + "?after=0")[0] == 204
    served.run.picture(DOOR, np.full((30, 40, 3), 200, np.uint8))
    status, headers, _ = served.get(picture_of(DOOR) + "?after=0")
    assert status == 200
    assert served.get(f"{picture_of(DOOR)}?after={headers['x-picture']}")[0] == 204
    assert served.get(f"{picture_of(DOOR)}?after=nonsense")[0] == 200
    assert served.get("/api/sources/000000000000/picture.jpg")[0] == 404


def test_many_who_look_do_not_ask_the_run_more_often(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    asked: list[float] = []
    status = served.run.status
    monkeypatch.setattr(served.run, "status", lambda: asked.append(time.monotonic()) or status())
    start = time.monotonic()
    for _ in range(30):
        served.get(picture_of(DOOR))
        served.get("/api/status")
    assert 1 <= len(asked) <= 1 + (time.monotonic() - start) / 0.2


def test_start_and_stop_reach_the_run(serve: Callable[..., Any]) -> None:
    served = serve()
    place = f"/api/sources/{identify(GATE)}"
    assert served.get(f"{place}/stop", "POST")[0] == 202
    assert served.get(f"{place}/start", "POST")[0] == 202
    assert served.get("/api/sources/0/stop", "POST")[0] == 404
    assert served.run.asked == [("stop", GATE), ("start", GATE)]


def test_events_newest_first_and_so_many(serve: Callable[..., Any]) -> None:
    served = serve()
    for track in range(3):
        served.run.verdict(DOOR, track, "FAKE")
    tracks = [event["track"] for event in served.get.json("/api/events?limit=2")["events"]]
    assert tracks == [2, 1]
    assert served.get("/api/events?limit=-1")[0] == 400
    assert served.get("/api/events?limit=%C2%B2")[0] == 400
    assert len(served.get.json(f"/api/events?limit={10**30}")["events"]) == 3


def test_probes(serve: Callable[..., Any]) -> None:
    served = serve()
    served.run.warm = False
    assert served.get("/healthz")[0] == 200
    assert served.get("/readyz")[0] == 503  # the model is cold
    served.run.warm = True
    assert json.loads(served.get("/readyz")[2]) == {"ready": True, "warm": True, "running": 2}
    for name in (DOOR, HALL):
        served.run.stop(name)
    assert served.get("/readyz")[0] == 503  # nothing runs
    served.run.dead_threads.append("infer")
    status, _, body = served.get("/healthz")
    assert (status, json.loads(body)) == (503, {"alive": False, "dead_threads": ["infer"]})


def test_updates_bring_everything_and_then_the_news(
    serve: Callable[..., Any], listen: Callable[[Any], Listener]
) -> None:
    served = serve()
    served.run.verdict(DOOR, 1, "REAL")
    messages = iter(listen(served))
    first = next(messages)
    assert [event["verdict"] for event in first["events"]] == ["REAL"]
    assert "version" in first
    served.run.verdict(DOOR, 1, "FAKE")
    start = time.monotonic()
    second = next(messages)
    assert [event["verdict"] for event in second["events"]] == ["FAKE"]
    assert time.monotonic() - start < 0.8
    assert "version" not in second
    beat = next(messages)  # nothing new: the state of things within a second or so
    assert (beat["events"], len(beat["sources"])) == ([], 3)
    assert time.monotonic() - start < 2.5


def test_several_at_once_and_one_who_never_reads(
    serve: Callable[..., Any], listen: Callable[[Any], Listener]
) -> None:
    served = serve()
    noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    served.run.picture(DOOR, noise)
    with socket.create_connection(("127.0.0.1", served.server.port)) as deaf:
        ask = f"GET {picture_of(DOOR)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        deaf.sendall(ask.encode() * 40)  # some 40 MB that nobody takes
        time.sleep(0.3)
        visitors = [iter(listen(served)) for _ in range(6)]
        assert all(len(next(one)["sources"]) == 3 for one in visitors)
        served.run.verdict(DOOR, 1, "FAKE")
        assert all(next(one)["events"] for one in visitors)
        start = time.monotonic()
        assert served.get("/healthz")[0] == 200
        assert time.monotonic() - start < 0.5
        start = time.monotonic()
        served.server.close()
        assert time.monotonic() - start < 1.0
        assert all(list(one) is not None for one in visitors)  # they see the end, not a hang


def test_who_connects_and_asks_nothing_is_cut_off(
    serve: Callable[..., Any], listen: Callable[[Any], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SILENT_S", 0.3)
    served = serve()
    place = ("127.0.0.1", served.server.port)
    messages = iter(listen(served))
    next(messages)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(place)) for _ in range(500)]
        for connection in silent[::2]:
            with contextlib.suppress(OSError):  # the eldest have gone already
                connection.sendall(b"GET / HT")  # and then no more
        assert served.get("/healthz")[0] == served.get("/api/status")[0] == 200
        assert len(served.server._server.server_state.connections) <= 257
        for connection in silent:
            connection.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    assert served.get("/healthz")[0] == 200
    assert next(messages)["sources"]  # whoever listens stays


def test_a_token_that_does_not_come_is_not_waited_for(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "LOGIN_S", 0.2)
    with socket.create_connection(("127.0.0.1", serve().server.port), timeout=5) as slow:
        head = b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
        slow.sendall(head)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_probes_are_answered_where_all_answers_are_under_way(
    serve: Callable[..., Any], listen: Callable[[Any], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "MOST_ANSWERS", 2)
    served = serve()
    for _ in range(2):
        next(iter(listen(served)))  # and goes on
    assert served.get("/api/status")[0] == 503
    assert served.get("/healthz")[0] == 200


def test_closing_leaves_no_thread_and_a_second_time_does_nothing(
    serve: Callable[..., Any], listen: Callable[[Any], Listener]
) -> None:
    before = set(threading.enumerate())
    served = serve()
    next(iter(listen(served)))
    assert set(threading.enumerate()) - before
    served.server.close()
    served.server.close()
    end = time.monotonic() + 2
    while set(threading.enumerate()) - before and time.monotonic() < end:
        time.sleep(0.02)
    assert set(threading.enumerate()) - before == set()
    with pytest.raises(ConnectionRefusedError):
        served.get("/healthz")


def test_signals_and_logging_are_left_alone(serve: Callable[..., Any]) -> None:
    def state() -> tuple[Any, ...]:
        root = logging.getLogger()
        handlers = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
        uvicorn = logging.getLogger("uvicorn.error")
        return *handlers, root.level, list(root.handlers), uvicorn.level, list(uvicorn.handlers)

    before = state()
    serve().get("/healthz")
    assert state() == before


def test_where_it_is_said_on_stderr_once(
    serve: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    served = serve()
    assert capsys.readouterr().err == f"dashboard: http://127.0.0.1:{served.server.port}/\n"
    made_up = Settings("127.0.0.1", 0, "generated-just-now-24ch", generated=True)
    port = serve(settings=made_up).server.port
    expected = f"dashboard: http://127.0.0.1:{port}/?token=generated-just-now-24ch\n"
    assert capsys.readouterr().err == expected


def test_a_taken_port_is_one_line(serve: Callable[..., Any], played: Any) -> None:
    taken = serve().server.port
    run = played()
    late = DashboardServer(Settings(port=taken), run, run.sink, run.telemetry)
    with pytest.raises(UserError, match=f"received 127.0.0.1:{taken} .*in use") as caught:
        late.open()
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (3, False)
    late.close()


def test_an_address_of_another_machine_is_one_line(played: Any) -> None:
    pytest.importorskip("uvicorn")
    run = played()
    for host in ("192.0.2.1", "no-such-name.invalid"):
        with pytest.raises(UserError, match="expected a free address") as caught:
            DashboardServer(Settings(host, 0), run, run.sink, run.telemetry).open()
        assert caught.value.exit_code == 3


def test_a_missing_package_is_one_line(played: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    run = played()
    with pytest.raises(UserError, match="the dashboard needs uvicorn") as caught:
        DashboardServer(Settings(port=0), run, run.sink, run.telemetry).open()
    assert caught.value.exit_code == 3


def test_a_run_that_breaks_costs_an_answer_and_not_the_server(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    served = serve()
    sources, served.run.sources = served.run.sources, None
    assert served.get("/api/status")[0] == 500
    end = time.monotonic() + 2
    while "ASGI" not in caplog.text and time.monotonic() < end:
        time.sleep(0.02)
    assert "ASGI" in caplog.text  # it is in the log
    served.run.sources = sources
    assert served.get("/api/status")[0] == 200
    assert served.run.sources[DOOR].health.state is State.RUNNING


def test_a_further_page_stands_behind_the_same_guard(serve: Callable[..., Any]) -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    def make_app(access: Any) -> Any:
        def say(request: Any) -> Any:
            return PlainTextResponse(request.url.path)

        return Starlette(routes=[Route("/", say), Route("/secret", say)])

    dead: list[str] = []
    page = Mounted("/more", make_app, frozenset({"/"}), lambda: dead)
    served = serve(settings=Settings(port=0, token="a-token-of-twenty-ch"), mounted=[page])
    assert served.get("/more/")[::2] == (200, b"/more/")
    assert served.get("/more")[1]["location"] == "/more/"
    assert served.get("/more/secret")[0] == 401
    served.get.headers["Authorization"] = "Bearer a-token-of-twenty-ch"
    assert served.get("/more/secret")[::2] == (200, b"/more/secret")
    assert served.get.json("/api/status")["pages"] == ["/more"]
    assert served.get("/healthz")[0] == 200
    dead.append("more")
    status, _, body = served.get("/healthz")
    assert (status, json.loads(body)["dead_threads"]) == (503, ["more"])


def test_without_one_there_is_none(serve: Callable[..., Any]) -> None:
    get = serve().get
    assert get.json("/api/status")["pages"] == []
    assert get("/judge/")[0] == 404
