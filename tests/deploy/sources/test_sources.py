"""What may be named, names without secrets, and recordings: every frame and its time."""

from __future__ import annotations

import struct
import traceback
import zlib
from pathlib import Path

import numpy as np
import pytest

from deploy.backoff import Backoff
from deploy.sources import State, Watch, camera, csi, is_live, open_source, redact
from deploy.sources.paced import PacedSource
from deploy.sources.picture_header import PictureHeader, read_header
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.faces.search import SearchRule


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("synthetic://?faces=1&size=64x48", "synthetic://?faces=1&size=64x48"),  # no host
        ("screen://0?window=A call", "screen://0?window=A call"),
        ("rtsp://10.0.0.2:554/main", "rtsp://10.0.0.2:554/main"),
        ("rtsp://admin:pa%40ss@10.0.0.2:554/main", "rtsp://***@10.0.0.2:554/main"),
        ("rtsp://admin:p@ss@cam/main", "rtsp://***@cam/main"),  # unquoted @ in the password
        ("rtsp://admin:s3/cr?e#t@cam/main", "rtsp://***@cam/main"),  # other unquoted signs
        ("rtsp://cam/user=a_password=s3cret_channel=1", "rtsp://cam/***"),
        ("http://[cam?token=s3cret", "http://[cam***"),  # not an address at all
        ("http://u:s3cret@[cam", "http://***@[cam"),
        ("http://cam/mjpeg?fps=5&token=s3cret", "http://cam/mjpeg?fps=5&***"),
        ("http://cam/?apiKey=s3cret&X-Signature=s3cret", "http://cam/?***"),
        ("http://cam/a?pw=s3cret&channel=2&p=s3cret;sid=s3cret", "http://cam/a?channel=2&***"),
        ("http://cam/a?channel=s3cret-that-is-longer", "http://cam/a?***"),
        ("http://cam/live;jsessionid=s3cret/main", "http://cam/***/main"),
        ("http://cam/a?a=1;password=s3cret#s3cret", "http://cam/a?***"),
        ("http://cam/a?s3cret", "http://cam/a?***"),
        ("rtsp:/admin:s3cret@cam", "rtsp:/***@cam"),  # mistyped
        ("rtsp:admin:s3cret@cam/main", "rtsp:***@cam/main"),
        ("https://user@cam/live.m3u8", "https://***@cam/live.m3u8"),
        ("admin:s3cret@cam/main", "***@cam/main"),
        ("talk 12:30.mp4", "talk 12:30.mp4"),
        ("b c#?%;d=1&e@f.mp4", "b c#?%;d=1&e@f.mp4"),  # a file's name
        ("/a/12:30 x@y.mp4", "/a/12:30 x@y.mp4"),
        ("two\nlines\t.mp4", "two\\nlines\\t.mp4"),
        ("a\udce9.mp4", "a\\xe9.mp4"),  # a name that is no UTF-8
    ],
)
def test_names_hide_credentials(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("99", 3, "cannot open camera 99: found "),
        ("/dev/video99", 3, "cannot open camera 99: found "),
        ("absent.mp4", 2, "expected a video file, received no such file"),
        ("ftp://host/a.mp4", 2, "expected a camera index, a file or rtsp://"),
        ("rtsp:/admin:s3cret@cam", 2, "expected rtsp://…, received rtsp:/***@cam"),
        (".", 2, "received a folder without any"),
        (".?fsp=3", 2, "unknown option 'fsp'; did you mean 'fps'"),
        (".?fps=0", 2, "fps: expected a number above 0"),
        ("csi://front", 2, "expected csi://SENSOR such as csi://0"),
        ("csi://0?widht=640", 2, "unknown option 'widht'; did you mean 'width'"),
        ("csi://0?flip=9", 2, "flip: expected a whole number from 0 to 7, received '9'"),
        ("synthetic://?faces=9", 2, "faces: expected a whole number from 0 to 8, received '9'"),
        ("synthetic://?size=640", 2, "size: expected WIDTHxHEIGHT"),
        ("synthetic://?live=0", 2, "needs an end"),
        ("synthetic://cam", 2, "expected synthetic://?faces=1&size=640x480&fake=1"),
        ("synthetic://?fake", 2, "fake: expected 0 or 1, received ''; write fake=VALUE"),
        ("synthetic://?fake=true", 2, "fake: expected 0 or 1, received 'true'; write fake=VALUE"),
        ("synthetic://?fake=1;seed=2", 2, "received '1;seed=2'; write fake=VALUE, with & before"),
        ("synthetic://?fake=1&fake=0", 2, "fake: expected one value, received another"),
        ("synthetic://?fake=1#x", 2, "leave out what follows the #"),
        ("synthetic://[", 2, "expected synthetic://?faces=1"),  # no address by the rules
        ("synthetic://?live=0&seconds=inf", 2, "needs an end"),
        ("synthetic://?live=0&seconds=1e308", 2, "needs an end"),  # more frames than a number holds
        ("csi://[", 2, "expected csi://SENSOR such as csi://0"),
    ],
)
def test_what_cannot_be_opened_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: int, words: str
) -> None:
    pytest.importorskip("cv2")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        is_live(text)
        open_source(text)
    assert caught.value.exit_code == code
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None or "s3cret" not in str(caught.value.__context__)


def test_a_bracket_in_a_password_is_no_reason_to_end() -> None:
    pytest.importorskip("av")
    assert is_live("http://viewer:s3[ret@127.0.0.1:1/main")
    assert not is_live("http://viewer:s3[ret@127.0.0.1:1/a.mp4?x=1")
    assert not is_live("HTTP://127.0.0.1:1/a.MP4") and is_live("SYNTHETIC://?seed=1")
    assert not is_live("SYNTHETIC://?live=0&seconds=1")
    with pytest.raises(UserError, match="cannot open") as caught:
        list(open_source("http://viewer:s3[ret@127.0.0.1:1/a.mp4"))
    assert "s3[ret" not in str(caught.value)


def test_a_folder_whose_name_is_a_number_goes_before_the_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.chdir(tmp_path)
    Path("000").mkdir()
    cv2.imwrite("000/1.jpg", np.zeros((48, 64, 3), np.uint8))
    assert not is_live("000") and is_live("001")
    with open_source("000") as source:
        assert len(list(source)) == 1


def test_a_missing_camera_lists_those_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    there = {0: Path("/dev/video0"), 2: Path("/dev/video2")}
    monkeypatch.setattr(camera, "list_cameras", lambda: there)
    with pytest.raises(UserError, match=r"camera 7: found /dev/video0, /dev/video2"):
        open_source("7")
    source = open_source("7", name="door", watch=Watch(keep_trying=True))  # it may be plugged in
    assert (source.name, source.health.state) == ("door", State.CONNECTING)


def test_the_pipeline_of_a_csi_camera() -> None:
    assert csi.csi_pipeline("csi://1?width=1920&height=1080&fps=60&flip=2") == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM), width=(int)1920, "
        "height=(int)1080, framerate=60/1, format=(string)NV12 ! nvvidconv flip-method=2 ! "
        "video/x-raw, format=BGRx ! videoconvert ! video/x-raw, format=BGR ! "
        "appsink drop=1 max-buffers=1 sync=false"
    )


@pytest.mark.parametrize(
    ("build", "fine"),
    [
        ("  GStreamer:                   YES (1.20.3)\n", True),
        ("  GStreamer:                   NO\n", False),
        ("  FFMPEG:                      YES\n", False),
    ],
)
def test_csi_asks_opencv_for_gstreamer_first(
    monkeypatch: pytest.MonkeyPatch, build: str, fine: bool
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: build)
    if fine:
        assert open_source("csi://0").name == "csi://0"
        return
    with pytest.raises(UserError, match=r"pip uninstall opencv-python") as caught:
        open_source("csi://0", watch=Watch(keep_trying=True))  # trying will not mend it
    assert caught.value.exit_code == 3


def png(width: int, height: int) -> bytes:
    """A PNG file that says it is this large, and holds next to nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IEND\xaeB`\x82"


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (
            (40_000, 40_000),
            "received 40000 × 40000, more than the 100 million pixels that are let in; make it",
        ),
        ((1, 2000), "at least 16 pixels a side, in which a face can be seen, received 1 × 2000"),
        ((3, 70_000), "received 3 × 70000"),
    ],
)
def test_a_picture_of_no_use_is_refused_before_it_is_decoded(
    size: tuple[int, int], says: str, tmp_path: Path
) -> None:
    (tmp_path / "bomb.png").write_bytes(png(*size))
    with pytest.raises(UserError, match=says) as caught:
        open_source(str(tmp_path / "bomb.png"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_headers_say_the_size(suffix: str, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / f"a{suffix}"), np.zeros((37, 53, 3), np.uint8))
    header = read_header((tmp_path / f"a{suffix}").read_bytes())
    assert (header.width, header.height, header.animated) == (53, 37, False)
    assert read_header(b"\xff\xd8\xff") == read_header(b"text") == PictureHeader()


def test_of_an_animated_picture_the_first_is_looked_at_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cv2 = pytest.importorskip("cv2")
    whole = cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    moves = b"acTL" + struct.pack(">II", 40, 0)
    chunk = struct.pack(">I", 8) + moves + struct.pack(">I", zlib.crc32(moves))
    (tmp_path / "a.png").write_bytes(whole[:33] + chunk + whole[33:])
    searched: list[np.ndarray] = []

    class Detector:
        name, smallest, region, cheap, worth = "noted", 24.0, 96, 0, 0.5

        def size(self, width: int, height: int, least: float | None = None) -> tuple[int, int]:
            return width, height

        def detect(self, image_rgb: np.ndarray, least: float | None = None) -> list[object]:
            searched.append(image_rgb)
            return []

    with open_source(str(tmp_path / "a.png")) as source:
        detector = source.searched_by(Detector())
        assert source.search(SearchRule(12, 80.0)) == SearchRule(1, 80.0)
        for frame in source:
            assert detector.detect(frame.image) == []
    assert source.still and len(searched) == 1
    assert "animated; only the first of its pictures is looked at" in caplog.text


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


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    for number, width in ((2, 30), (10, 30), (11, 20), (1, 30)):
        cv2.imwrite(str(tmp_path / f"f{number}.png"), np.full((20, width, 3), number, np.uint8))
    (tmp_path / "f3.jpg").write_text("no picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    source = open_source(f"{tmp_path}?fps=10")
    frames = list(source)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [1, 2, 10, 11]
    assert [frame.time_ms for frame in frames] == [0.0, 100.0, 300.0, 400.0]  # a gap, no shift
    assert [frame.segment for frame in frames] == [0, 0, 0, 1]
    health = source.health
    assert (health.state, health.frames, health.size) == (State.ENDED, 4, (20, 20))
    assert health.dropped == {"corrupted": 1}
    assert (source.length, open_source(str(tmp_path)).fps) == (5, 25.0)


def test_a_file_keeps_every_frame_and_its_time(empty_video: Path) -> None:
    with open_source(str(empty_video)) as source:
        frames = list(source)
        assert (source.live, source.fps, source.length, source.dropped) == (False, 25.0, 50, 0)
        assert source.health.state is State.ENDED
    assert [frame.index for frame in frames] == list(range(50))
    np.testing.assert_allclose([frame.time_ms for frame in frames], np.arange(50) * 40.0, atol=0.1)


def test_an_interrupted_file_ends_with_the_next_frame(empty_video: Path) -> None:
    source = open_source(str(empty_video))
    frames = iter(source)
    next(frames)
    source.interrupt()
    assert next(frames, None) is None
    assert source.health.state is State.STOPPED


def test_corrupted_packets_of_a_file_are_skipped_and_counted(empty_video: Path, tmp_path: Path):
    av = pytest.importorskip("av")
    with av.open(str(empty_video)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(empty_video.read_bytes())
    for position, size in packets[20:23]:
        data[position + 4 : position + size] = b"\xff" * (size - 4)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    source = open_source(str(path))
    frames = list(source)
    assert source.health.state is State.ENDED
    assert source.health.dropped["corrupted"] >= 3
    assert len(frames) < 50 and frames[-1].time_ms == pytest.approx(1960.0, abs=0.1)


def test_realtime_gives_every_frame_when_it_is_due(empty_video: Path) -> None:
    now = [100.0]
    inner = open_source(str(empty_video))
    source = PacedSource(inner, lambda: now[0], lambda s: now.__setitem__(0, now[0] + s))
    for frame in source:
        assert now[0] == pytest.approx(100.0 + frame.time_ms / 1000.0, abs=1e-6)
        if frame.index == 10:
            now[0] += 5.0  # a slow reader
            break
    late = list(source)  # a new walk through the file: all of them, though they are overdue
    assert len(late) == 50 and source.health.frames == 61
    paced = open_source(str(empty_video), realtime=True)
    assert isinstance(paced, PacedSource)
    assert (paced.name, paced.live, paced.length) == (str(empty_video), False, 50)
    paced.interrupt()
    assert list(paced) == []


def test_secrets_are_in_no_error_and_in_none_of_its_causes() -> None:
    pytest.importorskip("av")
    with pytest.raises(UserError) as caught:
        list(open_source("http://viewer:s3cret@127.0.0.1:9/live?token=s3cret"))
    assert caught.value.exit_code == 3
    assert "cannot open http://***@127.0.0.1:9/live?***: " in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__ or error.__context__
    assert "s3cret" not in "".join(traceback.format_exception_only(caught.value))


class FakeCapture:
    """A `cv2.VideoCapture` that gives what a list says: a picture, or None for a damaged one."""

    def __init__(self, pictures: list[np.ndarray | None]) -> None:
        self.pictures, self.released = pictures, False

    def isOpened(self) -> bool:
        return bool(self.pictures)

    def get(self, _: int) -> float:
        return 0.0  # many drivers do not know their rate

    def grab(self) -> bool:
        return bool(self.pictures)

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        picture = self.pictures.pop(0)
        return picture is not None, picture

    def release(self) -> None:
        self.released = True


def test_a_camera_is_read_until_it_is_gone_and_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cv2 = pytest.importorskip("cv2")
    blue = np.zeros((4, 6, 3), np.uint8)
    blue[..., 0] = 200  # OpenCV's order is BGR
    captures = [FakeCapture([blue, None, 255 - blue]), FakeCapture([]), FakeCapture([blue])]
    opened = list(captures)
    monkeypatch.setattr(camera, "list_cameras", lambda: {0: Path("/dev/video0")})
    monkeypatch.setattr(
        cv2, "VideoCapture", lambda index: opened.pop(0) if opened else FakeCapture([])
    )
    source = open_source("0", watch=Watch(backoff=lambda: Backoff(0.01, 0.01)))
    frames = [frame for _, frame in zip(range(3), source, strict=False)]
    assert frames[0].image[0, 0].tolist() == [0, 0, 200]
    assert [frame.segment for frame in frames] == [0, 0, 1]
    assert (source.fps, source.health.dropped) == (25.0, {"corrupted": 1})
    source.close()
    assert all(capture.released for capture in captures)
    with pytest.raises(UserError, match="cannot open door: it is there and gives nothing; close"):
        camera.connect_camera(0, "door")


def test_a_camera_whose_pictures_are_all_damaged_is_lost() -> None:
    pytest.importorskip("cv2")
    connection = camera.CameraConnection(FakeCapture([None] * 100), "camera 0")
    causes: list[str] = []
    with pytest.raises(UserError, match="lost camera 0: it gives no pictures"):
        list(connection.shots(causes.append))
    assert causes == ["corrupted"] * camera.MAX_BAD
