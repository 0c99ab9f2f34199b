"""The annotated stream: read as bytes, by FFmpeg as a player does, with and without the token."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import numpy as np
import pytest

from deploy.dashboard import Settings, streams
from deploy.dashboard.report import identify
from deploy.sources import Watch, open_source

DOOR, GATE = "camera 0", "rtsp://***@gate.example/stream"
PLACE = "/streams/camera-0.mjpg"
TOKEN = "a-token-of-sixteen"


def grey(level: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


@contextmanager
def reading(served: Any, place: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=30)
    with closing(connection):
        connection.request("GET", place, headers=headers)
        yield connection.getresponse()


def next_picture(answer: http.client.HTTPResponse) -> np.ndarray:
    """The next part, taken apart by hand and decoded by OpenCV: uint8 (H, W, 3) RGB."""
    cv2 = pytest.importorskip("cv2")
    headers: dict[str, str] = {}
    while (line := answer.readline().strip()) or not headers:
        name, colon, value = line.decode().partition(": ")
        headers |= {name: value} if colon else {}
    assert headers["Content-Type"] == "image/jpeg"
    data = answer.read(int(headers["Content-Length"]))
    assert answer.read(2) == b"\r\n"
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image[..., ::-1])


def test_every_new_picture_is_a_part_of_the_answer(serve: Callable[..., Any]) -> None:
    served = serve()
    served.run.snapshots[DOOR] = grey(10)
    with reading(served, PLACE) as answer:
        assert answer.status == 200
        kind = answer.getheader("content-type")
        assert kind == "multipart/x-mixed-replace; boundary=picture"
        assert abs(int(next_picture(answer).mean()) - 10) <= 2  # there before anybody watched
        for level in (60, 120, 250):
            served.run.picture(GATE, grey(255 - level))  # of another source
            served.run.picture(DOOR, grey(level))
            assert abs(int(next_picture(answer).mean()) - level) <= 2
        assert served.run.sink.wants_picture  # somebody watches


def test_a_player_shows_it_and_so_does_a_source_of_this_program(serve: Callable[..., Any]) -> None:
    pytest.importorskip("av")
    served = serve()
    stop = threading.Event()

    def play() -> None:
        level = 0
        while not stop.wait(0.03):
            level = (level + 40) % 240
            served.run.picture(DOOR, grey(level, (120, 160)))

    player = threading.Thread(target=play)
    player.start()
    try:
        with open_source(f"{served.address}{PLACE}", watch=Watch(frozen_s=0.0)) as source:
            frames = iter(source)
            seen = [next(frames).image for _ in range(5)]
    finally:
        stop.set()
        player.join()
    assert {image.shape for image in seen} == {(120, 160, 3)}
    assert len({round(float(image.mean()) / 40) for image in seen}) > 1


def test_it_is_found_by_its_id_too_and_nothing_else_is(serve: Callable[..., Any]) -> None:
    served = serve()
    served.run.picture(GATE, grey(90))
    for name in (identify(GATE), "rtsp-gate.example-stream"):
        with reading(served, f"/streams/{name}.mjpg") as answer:
            assert abs(int(next_picture(answer).mean()) - 90) <= 2
    for name in ("camera%200", "camera-1", "..%2f..%2fetc"):
        assert served.get(f"/streams/{name}.mjpg")[0] == 404
    status, headers, body = served.get(PLACE, "HEAD")
    assert (status, body) == (200, b"") and "x-mixed-replace" in headers["content-type"]


def test_it_needs_the_token_as_all_else_does(serve: Callable[..., Any]) -> None:
    served = serve(settings=Settings(port=0, token=TOKEN))
    served.run.picture(DOOR, grey(70))
    assert served.get(PLACE)[0] == 401
    assert served.get(f"{PLACE}?token={TOKEN}")[0] == 401  # addresses end up in logs
    with reading(served, PLACE, Authorization=f"Bearer {TOKEN}") as answer:
        assert abs(int(next_picture(answer).mean()) - 70) <= 2
    with reading(served, PLACE, Host="evil.example") as answer:
        assert answer.status == 403


def test_the_end_of_the_server_ends_it(serve: Callable[..., Any]) -> None:
    served = serve()
    served.run.picture(DOOR, grey(70))
    with reading(served, PLACE) as answer:
        next_picture(answer)
        began = time.monotonic()
        served.server.close()
        assert time.monotonic() - began < 10.0  # about one is promised; machines are busy
        with suppress(http.client.IncompleteRead, ConnectionError):
            answer.read()  # it comes to an end, in whatever way


def test_a_reader_that_does_not_read_holds_up_nobody(serve: Callable[..., Any]) -> None:
    served = serve()
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    served.run.picture(DOOR, large)
    with reading(served, PLACE) as slow:
        for shift in range(50):  # a megabyte each: more than all buffers on the way
            served.run.picture(DOOR, np.roll(large, shift, 1))
            assert served.get("/healthz")[0] == 200
            time.sleep(streams.LOOK_S)
        served.run.picture(DOOR, grey(30))
        with reading(served, PLACE) as quick:
            assert abs(int(next_picture(quick).mean()) - 30) <= 2
        read = 0
        while next_picture(slow).shape != (48, 64, 3):
            read += 1
        assert read < 25  # the newest follows without most of those between
