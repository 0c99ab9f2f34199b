"""Sources: frames and times, names without secrets, and a queue that never falls behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from deploy.sources import camera, open_source, redact
from deploy.sources.live_queue import LiveQueue
from keras_ddl.errors import UserError
from keras_ddl.video import Frame, VideoWriter

Serve = Callable[[type[BaseHTTPRequestHandler]], str]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://10.0.0.2:554/main", "rtsp://10.0.0.2:554/main"),
        ("rtsp://admin:pa%40ss@10.0.0.2:554/main", "rtsp://***@10.0.0.2:554/main"),
        ("rtsp://admin:p@ss@cam/main", "rtsp://***@cam/main"),  # unquoted @ in the password
        ("http://cam/mjpeg?fps=5&token=s3cret", "http://cam/mjpeg?fps=5&token=***"),
        ("http://cam/?apiKey=s3cret&X-Signature=s3cret", "http://cam/?apiKey=***&X-Signature=***"),
        ("https://user@cam/live.m3u8", "https://***@cam/live.m3u8"),
    ],
)
def test_names_hide_credentials(url: str, shown: str) -> None:
    assert redact(url) == shown


def test_a_picture_is_shown_for_two_seconds(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.PNG"), image)
    with open_source(str(tmp_path / "a.PNG")) as source:
        frames = list(source)
    assert source.still and not source.live and source.length == len(frames) == 50
    assert [frame.time_ms for frame in frames[:3]] == [0.0, 40.0, 80.0]
    np.testing.assert_array_equal(frames[-1].image, image[..., ::-1])
    (tmp_path / "b.jpg").write_text("no picture")
    with pytest.raises(UserError, match="expected a picture, received a file that is none"):
        open_source(str(tmp_path / "b.jpg"))
    with pytest.raises(UserError, match="expected a picture, received No such file"):
        open_source(str(tmp_path / "c.jpg"))


def test_a_file_keeps_every_frame_and_its_time(empty_video: Path) -> None:
    with open_source(str(empty_video)) as source:
        frames = list(source)
        assert (source.live, source.fps, source.length, source.dropped) == (False, 25.0, 50, 0)
    assert [frame.index for frame in frames] == list(range(50))
    np.testing.assert_allclose([frame.time_ms for frame in frames], np.arange(50) * 40.0, atol=0.1)


@pytest.mark.parametrize(
    ("text", "code"),
    [("99", 3), ("/dev/video99", 3), ("absent.mp4", 2), ("ftp://host/a.mp4", 2), (".", 2)],
)
def test_what_cannot_be_opened_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        open_source(text)
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)


def test_a_missing_camera_lists_those_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {0: Path("/dev/video0"), 2: Path("/dev/video2")}
    monkeypatch.setattr(camera, "list_cameras", lambda: there)
    with pytest.raises(UserError, match=r"camera 7: found /dev/video0, /dev/video2"):
        open_source("7")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start an HTTP server on loopback; returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(handler: type[BaseHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return None


class Mjpeg(BaseHTTPRequestHandler):
    """An endless camera: one grey JPEG after another, 50 a second."""

    def do_GET(self) -> None:
        import cv2

        _, data = cv2.imencode(".jpg", np.full((48, 64, 3), 120, np.uint8))
        head = f"--edge\r\nContent-Type: image/jpeg\r\nContent-Length: {data.size}\r\n\r\n"
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=edge")
        self.end_headers()
        try:
            while True:
                self.wfile.write(head.encode() + data.tobytes() + b"\r\n")
                time.sleep(0.02)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        return None


def test_a_download_gives_the_frames_of_the_file(tmp_path: Path, serve: Serve) -> None:
    with VideoWriter(tmp_path / "grey.mkv", 25) as writer:  # readable without seeking
        for level in range(50):
            writer.write(np.full((48, 64, 3), 100 + level, np.uint8))
    place = serve(partial(QuietFiles, directory=tmp_path))
    with open_source(f"http://viewer:s3cret@{place}/grey.mkv") as source:
        assert source.name == f"http://***@{place}/grey.mkv"
        assert not source.live
        times = [frame.time_ms for frame in source]
    np.testing.assert_allclose(times, np.arange(50) * 40.0, atol=1.0)  # whole ms


def test_an_endless_stream_is_live_and_can_be_left(serve: Serve) -> None:
    with open_source(f"http://{serve(Mjpeg)}/live") as source:
        assert source.live
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
        started = time.monotonic()
    assert time.monotonic() - started < 2.0
    assert np.diff([frame.time_ms for frame in frames]).min() > 0
    assert abs(int(frames[0].image.mean()) - 120) <= 2


def test_an_unreachable_server_is_one_line_without_the_password() -> None:
    with pytest.raises(UserError) as caught:
        open_source("http://viewer:s3cret@127.0.0.1:9/live")
    assert caught.value.exit_code == 3
    assert "s3cret" not in str(caught.value)


def frames_at(times: list[float]) -> Iterator[Frame]:
    for index, time_ms in enumerate(times):
        yield Frame(np.zeros((2, 2, 3), np.uint8), time_ms, index)


def test_the_queue_keeps_only_recent_frames_and_counts_the_rest() -> None:
    queue = LiveQueue(lambda: frames_at([i * 100.0 for i in range(50)]), max_age_ms=1000.0)
    reader = iter(queue)
    first = next(reader)
    deadline = time.monotonic() + 5.0
    while not queue.ended and time.monotonic() < deadline:
        time.sleep(0.005)
    rest = [frame.time_ms for frame in reader]
    assert rest[-1] == 4900.0
    assert len(rest) <= 11
    assert min(rest) >= max(3900.0, first.time_ms)
    assert queue.dropped == 50 - 1 - len(rest)


def test_the_queue_passes_on_the_error_of_its_source() -> None:
    def broken() -> Iterator[Frame]:
        yield from frames_at([0.0])
        raise UserError("lost the camera", 3)

    reader = iter(LiveQueue(broken))
    assert next(reader).index == 0
    with pytest.raises(UserError, match="lost the camera"):
        next(reader)


def test_an_interrupted_queue_ends_although_its_source_hangs() -> None:
    gate = threading.Event()

    def hanging() -> Iterator[Frame]:
        yield from frames_at([0.0])
        gate.wait(30.0)

    queue = LiveQueue(hanging)
    reader = iter(queue)
    next(reader)
    threading.Timer(0.1, queue.interrupt).start()
    started = time.monotonic()
    assert next(reader, None) is None
    assert time.monotonic() - started < 2.0
    assert not queue.close()  # hangs still, and says so
    gate.set()
    assert queue.close()
