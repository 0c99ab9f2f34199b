"""Network sources against real servers on loopback: MJPEG, HLS, files, and servers that hang."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import loopback_camera
import numpy as np
import pytest

from deploy.backoff import Backoff
from deploy.sources import Source, State, Watch, open_source, url
from deploy.sources.base import ANY_LINES, Limits
from deploy.sources.recorded_source import ReadAhead
from deploy.sources.synthetic import Scene, draw_loop
from deploy.telemetry import Telemetry
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame, VideoWriter, read_video

av = pytest.importorskip("av")
pytest.importorskip("cv2")

Serve = Callable[[type[BaseHTTPRequestHandler]], str]
SMALL = Scene(size=(96, 64), faces=0)
LARGE = Scene(size=(128, 96), faces=0)
MASTER = (
    "#EXTM3U\n"
    "#EXT-X-STREAM-INF:BANDWIDTH=100000,RESOLUTION=96x64\nlow/live.m3u8\n"
    "#EXT-X-STREAM-INF:BANDWIDTH=400000,RESOLUTION=128x96\nhigh/live.m3u8\n"
)
QUICK = Watch(keep_trying=True, frozen_s=0.5, backoff=lambda: Backoff(0.05, 0.2))
LIMIT_S = 30.0  # nothing here takes a tenth of it


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start an HTTP server on loopback; returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(handler: type[BaseHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        servers.append(server)
        run = partial(server.serve_forever, poll_interval=0.05)
        threading.Thread(target=run, daemon=True).start()
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def camera() -> Iterator[loopback_camera.LoopbackCamera]:
    """A network camera."""
    with loopback_camera.LoopbackCamera(draw_loop(SMALL)) as camera:
        yield camera


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return None


class Reader:
    """Reads a source on and on, as the runner does."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.frames: list[Frame] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for frame in self.source:
            self.frames.append(frame)

    def until(self, done: Callable[[], bool]) -> None:
        """Wait for something to become true."""
        deadline = time.monotonic() + LIMIT_S
        while not done():
            assert time.monotonic() < deadline, self.source.health
            time.sleep(0.01)

    def more(self, count: int = 5) -> None:
        """Wait for so many more frames."""
        goal = len(self.frames) + count
        self.until(lambda: len(self.frames) >= goal)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
        assert (np.diff([frame.time_ms for frame in self.frames]) > 0).all()


def test_a_download_gives_the_frames_of_the_file(tmp_path: Path, serve: Serve) -> None:
    with VideoWriter(tmp_path / "grey.mkv", 25) as writer:  # readable without seeking
        for level in range(50):
            writer.write(np.full((48, 64, 3), 100 + level, np.uint8))
    place = serve(partial(QuietFiles, directory=tmp_path))
    with open_source(f"http://viewer:s3cret@{place}/grey.mkv") as source:
        assert source.name == f"http://***@{place}/grey.mkv"
        assert not source.live
        times = [frame.time_ms for frame in source]
        assert source.health.state is State.ENDED
    np.testing.assert_allclose(times, np.arange(50) * 40.0, atol=1.0)  # whole ms
    with pytest.raises(UserError, match=r"cannot open .*404") as caught:
        list(open_source(f"http://{place}/absent.mp4"))
    assert caught.value.exit_code == 3


def test_an_index_at_the_end_needs_a_server_that_sends_ranges(
    tmp_path: Path, serve: Serve, write_mp4: Callable[..., Path]
) -> None:
    """Python's own server sends none, so that FFmpeg cannot go back for the pictures."""
    noise = np.random.default_rng(1)
    pictures = [noise.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(20)]
    write_mp4(tmp_path / "first.mp4", pictures)
    with VideoWriter(tmp_path / "last.mp4", 25) as writer:
        for picture in pictures:
            writer.write(picture)
    for name, end in (("first.mp4", False), ("last.mp4", True)):
        data = (tmp_path / name).read_bytes()
        assert (data.index(b"moov") > data.index(b"mdat")) is end
    place = serve(partial(QuietFiles, directory=tmp_path))
    assert len(list(open_source(f"http://{place}/first.mp4"))) == 20
    with pytest.raises(UserError, match=r"lost .*index is at its end .*\+faststart") as caught:
        list(open_source(f"http://{place}/last.mp4"))
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)


def test_a_download_is_turned_as_the_file_is(
    tmp_path: Path, serve: Serve, write_mp4: Callable[..., Path]
) -> None:
    upright = np.full((96, 64, 3), 30, np.uint8)
    upright[:24, :24] = 240
    path = write_mp4(tmp_path / "phone.mp4", [np.rot90(upright)] * 4, rotation=-90)
    place = serve(partial(QuietFiles, directory=tmp_path))
    frames = list(open_source(f"http://{place}/phone.mp4"))
    for frame, other in zip(frames, read_video(path), strict=True):
        assert frame.image.shape == upright.shape
        np.testing.assert_array_equal(frame.image, other.image)


def test_a_download_keeps_time_as_the_file_does(
    tmp_path: Path, serve: Serve, write_mp4: Callable[..., Path]
) -> None:
    half = write_mp4(tmp_path / "half.ts", [np.full((48, 64, 3), 90, np.uint8)] * 25)
    path = tmp_path / "restarts.mp4"  # a transport stream by its content, whatever its name
    path.write_bytes(2 * half.read_bytes())
    place = serve(partial(QuietFiles, directory=tmp_path))
    frames = list(open_source(f"http://{place}/restarts.mp4"))
    known = [(frame.time_ms, frame.segment) for frame in read_video(path)]
    assert [(frame.time_ms, frame.segment) for frame in frames] == known
    assert len(frames) == 50 and frames[-1].segment == 1 and not frames[-1].damaged


def test_a_download_knows_which_of_its_frames_are_smeared(
    tmp_path: Path, serve: Serve, write_mp4: Callable[..., Path]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8)
    data = write_mp4(tmp_path / "whole.ts", noise).read_bytes()
    at = len(data) // 188 // 2 * 188
    path = tmp_path / "lossy.mp4"  # a transport stream by its content
    path.write_bytes(data[:at] + data[at + 188 :])
    place = serve(partial(QuietFiles, directory=tmp_path))
    frames = list(open_source(f"http://{place}/lossy.mp4"))
    sent = {round(frame.time_ms): frame.image for frame in read_video(tmp_path / "whole.ts")}
    smeared = [f for f in frames if not np.array_equal(f.image, sent[round(f.time_ms)])]
    assert smeared and all(frame.damaged for frame in smeared)
    assert not frames[0].damaged and not frames[-1].damaged


def test_a_paced_download_knows_its_rate_once_it_is_connected(tmp_path: Path, serve: Serve) -> None:
    with VideoWriter(tmp_path / "grey.mp4", 30) as writer:
        for _ in range(3):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    place = serve(partial(QuietFiles, directory=tmp_path))
    with open_source(f"http://{place}/grey.mp4", realtime=True) as source:
        next(iter(source))
        assert (source.fps, source.length) == (30.0, 3)


def test_decoding_a_download_is_timed_once_a_frame(tmp_path: Path, serve: Serve) -> None:
    with VideoWriter(tmp_path / "grey.mp4", 30) as writer:
        for _ in range(3):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    telemetry = Telemetry()
    watch = Watch(telemetry=telemetry)
    place = serve(partial(QuietFiles, directory=tmp_path))
    with ReadAhead(open_source(f"http://{place}/grey.mp4", watch=watch), telemetry) as source:
        assert len(list(source)) == 3
        times = telemetry.totals().stages["decode", source.name]
    assert sum(times.counts) == 4  # the last one finds the end


def test_mjpeg_is_live_and_can_be_left(camera: loopback_camera.LoopbackCamera) -> None:
    with open_source(camera.url) as source:
        assert source.live
        frames = [frame for _, frame in zip(range(10), source, strict=False)]
        started = time.monotonic()
    assert time.monotonic() - started < 5.0  # 2 s are promised
    assert np.diff([frame.time_ms for frame in frames]).min() > 0
    assert frames[0].image.shape == (64, 96, 3)
    assert abs(frames[0].image.astype(int) - camera.pictures[0]).mean() < 5.0
    assert source.health.state is State.STOPPED


def test_a_camera_that_goes_away_comes_back(camera: loopback_camera.LoopbackCamera) -> None:
    with Reader(open_source(camera.url, watch=QUICK)) as reader:
        reader.more()
        camera.mode = loopback_camera.GONE
        reader.until(lambda: reader.source.health.state is State.RECONNECTING)
        started, visits = time.monotonic(), camera.visits
        time.sleep(0.5)
        # the shortest wait is half of 0.05 s; a busy loop would knock hundreds of times
        assert 0 < camera.visits - visits <= 1 + (time.monotonic() - started) / 0.025
        health = reader.source.health
        reader.until(lambda: len(reader.frames) == health.frames)  # nothing is made up
        camera.mode = loopback_camera.LIVE
        reader.more()
        assert reader.frames[-1].segment == 1
        assert reader.source.health.reconnects == 1
        assert "127.0.0.1" in reader.source.health.error


def test_a_camera_that_falls_silent_is_connected_again(
    camera: loopback_camera.LoopbackCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(url, "TIMEOUT_S", (1.0, 1.0))
    with Reader(open_source(camera.url, watch=QUICK)) as reader:
        reader.more()
        camera.mode = loopback_camera.STALLED
        reader.until(lambda: "no answer in time" in reader.source.health.error)
        camera.mode = loopback_camera.LIVE
        reader.more()
        assert reader.frames[-1].segment == 1


def test_a_camera_freezes_and_moves_again(camera: loopback_camera.LoopbackCamera) -> None:
    with Reader(open_source(camera.url, watch=QUICK)) as reader:
        reader.more()
        camera.mode = loopback_camera.FROZEN
        reader.until(lambda: reader.source.health.dropped.get("frozen", 0) >= 5)
        assert reader.source.health.state is State.FROZEN
        count = len(reader.frames)
        reader.until(lambda: reader.source.health.dropped.get("frozen", 0) >= 10)
        assert len(reader.frames) == count
        camera.mode = loopback_camera.LIVE
        reader.more()
        assert (reader.frames[-1].segment, reader.source.health.reconnects) == (1, 0)
        assert reader.source.health.state is State.RUNNING


def test_a_camera_changes_its_size(camera: loopback_camera.LoopbackCamera) -> None:
    with Reader(open_source(camera.url, watch=QUICK)) as reader:
        reader.more()
        camera.pictures = draw_loop(LARGE)
        reader.until(lambda: reader.source.health.size == (128, 96))
        reader.more()
        for frame in reader.frames:
            assert frame.segment == (frame.image.shape != (64, 96, 3))


def test_damaged_pictures_are_skipped_and_counted(camera: loopback_camera.LoopbackCamera) -> None:
    with Reader(open_source(camera.url, watch=QUICK)) as reader:
        reader.more()
        camera.damaged = 3
        reader.until(lambda: reader.source.health.dropped.get("corrupted", 0) >= 3)
        reader.more()
        assert reader.source.health.state is State.RUNNING
        assert (reader.source.health.reconnects, reader.frames[-1].segment) == (0, 0)


def write_hls(folder: Path, seconds: int = 4, listed: bool = True, scene: Scene = SMALL) -> None:
    """A playlist with segments of one second at 25 fps; without its end where it is not listed."""
    options = {"hls_time": "1", "hls_list_size": "0"}
    with av.open(str(folder / "live.m3u8"), "w", format="hls", options=options) as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"g": "25", "preset": "ultrafast"}
        )
        (stream.width, stream.height), stream.pix_fmt = scene.size, "yuv420p"
        for index in range(seconds * 25):
            picture = av.VideoFrame.from_ndarray(draw_loop(scene)[index % 50], format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    if not listed:
        text = (folder / "live.m3u8").read_text()
        (folder / "live.m3u8").write_text(text.replace("#EXT-X-ENDLIST\n", ""))


def test_hls_comes_at_its_own_pace_though_segments_come_whole(tmp_path: Path, serve: Serve):
    write_hls(tmp_path, seconds=3, listed=False)
    place = serve(partial(QuietFiles, directory=tmp_path))
    source = open_source(f"http://{place}/live.m3u8", watch=QUICK)
    with Reader(source) as reader:
        reader.until(lambda: len(reader.frames) >= 40)
        read_at = time.monotonic()
        frames = reader.frames[:40]
    assert source.live and source.epoch is not None
    np.testing.assert_allclose(np.diff([frame.time_ms for frame in frames]), 40.0, atol=1.0)
    assert source.epoch + frames[-1].time_ms / 1000.0 <= read_at  # none before it was due


def test_a_finished_playlist_ends(tmp_path: Path, serve: Serve) -> None:
    write_hls(tmp_path, seconds=1)
    source = open_source(f"http://{serve(partial(QuietFiles, directory=tmp_path))}/live.m3u8")
    frames = list(source)
    assert (len(frames), source.health.state) == (25, State.ENDED)
    np.testing.assert_allclose(np.diff([frame.time_ms for frame in frames]), 40.0, atol=1.0)


@pytest.mark.parametrize(
    ("lines", "taken", "left"),
    [(ANY_LINES, "high", "low"), (80, "low", "high"), (8, "low", "high")],
)
def test_of_a_master_playlist_one_quality_alone_is_downloaded(
    tmp_path: Path, serve: Serve, lines: int, taken: str, left: str
) -> None:
    for name, scene in (("low", SMALL), ("high", LARGE)):
        (tmp_path / name).mkdir()
        write_hls(tmp_path / name, seconds=2, scene=scene)
    (tmp_path / "master.m3u8").write_text(MASTER)
    asked: list[tuple[str, str | None]] = []

    class Noted(QuietFiles):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            super().do_GET()

    place = serve(partial(Noted, directory=tmp_path))
    frames = list(open_source(f"http://user:p%40ss@{place}/master.m3u8", limits=Limits(lines)))
    shape = {"low": (64, 96, 3), "high": (96, 128, 3)}[taken]
    assert {frame.image.shape for frame in frames} == {shape} and len(frames) == 50
    assert any(path.startswith(f"/{taken}/") for path, _ in asked)
    assert not [path for path, _ in asked if path.startswith(f"/{left}/")]
    expected = "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert {given for path, given in asked if path.endswith("master.m3u8")} == {expected}


def test_a_playlist_from_elsewhere_opens_no_file_of_this_machine(
    tmp_path: Path, serve: Serve
) -> None:
    with VideoWriter(tmp_path / "private.mp4", 25) as writer:
        for _ in range(5):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "web").mkdir()
    for address in (f"file://{tmp_path}/private.mp4", f"{tmp_path}/private.mp4"):
        (tmp_path / "web" / "live.m3u8").write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n"
        )
        place = serve(partial(QuietFiles, directory=tmp_path / "web"))
        with pytest.raises(UserError):
            list(open_source(f"http://{place}/live.m3u8"))


@pytest.fixture(params=["accepts and is silent", "does not accept"])
def hanging(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that never answers; its address."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        full = request.param == "does not accept"
        server.listen(0 if full else 8)
        place = server.getsockname()
        waiting = [socket.socket() for _ in range(4 if full else 0)]
        for client in waiting:  # they fill the queue: the next one's greeting gets no answer
            client.setblocking(False)
            client.connect_ex(place)
        yield f"127.0.0.1:{place[1]}"
        for client in waiting:
            client.close()


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_first_connection_that_hangs_can_be_left(hanging: str, scheme: str) -> None:
    started = time.monotonic()
    source = open_source(f"{scheme}://u:s3cret@{hanging}/live", watch=QUICK)
    threading.Timer(0.3, source.interrupt).start()
    assert list(source) == []
    source.close()
    assert 0.3 < time.monotonic() - started < 5.3  # 2 s after the wish are promised
    assert source.health.state is State.STOPPED
    # and not even the thread is left behind; where PyAV has changed, see sources/interrupts.py
    assert f"capture {source.name}" not in [thread.name for thread in threading.enumerate()]


def test_a_process_ends_though_its_connection_hangs(hanging: str) -> None:
    code = (
        "import sys, threading\n"
        "from deploy.sources import open_source\n"
        "source = open_source(sys.argv[1])\n"
        "threading.Timer(0.3, source.interrupt).start()\n"
        "print(list(source), source.close())\n"
    )
    line = [sys.executable, "-c", code, f"rtsp://{hanging}/live"]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True, timeout=LIMIT_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[] None\n", "")


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_connection_that_hangs_is_an_error_in_the_end(
    hanging: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(url, "TIMEOUT_S", (0.5, 0.5))
    with pytest.raises(UserError, match=rf"cannot open {scheme}://\*\*\*@.*: no answer in time"):
        list(open_source(f"{scheme}://u:s3cret@{hanging}/live"))


def test_a_command_that_finds_nobody_ends_with_one_line(
    command: Callable[..., subprocess.CompletedProcess[str]], synthetic_bundle: Path, haar: str
) -> None:
    pytest.importorskip("onnxruntime")
    address = "rtsp://u:s3cret@127.0.0.1:9/x"
    words = ("--source", address, "--bundle", synthetic_bundle, "--detector", haar)
    done = command("stream.py", *words)
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1]
    assert last == "error: cannot open rtsp://***@127.0.0.1:9/x: Connection refused"
    assert "s3cret" not in done.stdout + done.stderr
