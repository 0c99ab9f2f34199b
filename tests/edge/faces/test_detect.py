"""Both detectors on drawn and on real faces, and the choice between them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.faces import yunet
from keras_ddl.edge.faces.detect import HaarDetector, YuNetDetector, open_detector
from keras_ddl.edge.faces.face import Face, FaceDetector

Draw = Callable[..., np.ndarray]


@pytest.fixture(params=["haar", "yunet"])
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    if request.param == "haar":
        request.getfixturevalue("haar")
        return HaarDetector()
    folder = request.getfixturevalue("shared_real")
    return YuNetDetector(folder / yunet.FILE_NAME)


def grey(height: int = 360, width: int = 480) -> np.ndarray:
    return np.full((height, width, 3), 125, np.uint8)


def centre(face: Face) -> tuple[float, float]:
    x, y, w, h = face.box
    return (x + w / 2, y + h / 2)


@pytest.mark.parametrize(("x", "y", "side"), [(240, 180, 120), (110, 130, 80), (330, 200, 150)])
def test_a_drawn_face_is_found_where_it_is(
    detector: FaceDetector, draw_face: Draw, x: int, y: int, side: int
) -> None:
    (face,) = detector.detect(draw_face(grey(), x, y, side))
    assert centre(face)[0] == pytest.approx(x, abs=0.06 * side)
    assert centre(face)[1] == pytest.approx(y + 0.1 * side, abs=0.1 * side)
    assert face.box[2] == pytest.approx(1.1 * side, rel=0.12)
    assert face.box[2] == face.box[3]
    assert 0 < face.score <= 1
    assert json.dumps([face.box, face.score])  # plain numbers


def test_no_face_in_an_empty_picture_or_in_noise(detector: FaceDetector) -> None:
    assert detector.detect(grey()) == []
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    assert detector.detect(noise) == []


def test_two_faces_the_larger_first_and_the_same_every_time(
    detector: FaceDetector, draw_face: Draw
) -> None:
    image = draw_face(draw_face(grey(), 110, 130, 70), 340, 190, 130)
    faces = detector.detect(image)
    assert [round(centre(face)[0], -1) for face in faces] == [340, 110]
    assert detector.detect(image) == faces


def test_large_images_are_shrunk_and_boxes_come_back_in_their_pixels(
    detector: FaceDetector, draw_face: Draw
) -> None:
    (small,) = detector.detect(draw_face(grey(), 240, 180, 100))
    (large,) = detector.detect(draw_face(grey(1440, 1920), 960, 720, 400))
    assert np.array(large.box) / 4 == pytest.approx(np.array(small.box), abs=8)
    # Back to the small size: the network's input size follows the image.
    assert detector.detect(draw_face(grey(), 240, 180, 100)) == [small]


def test_channels_are_rgb(shared_real: Path, draw_face: Draw) -> None:
    """A detector fed BGR by mistake scores a skin-coloured face lower."""
    detector = YuNetDetector(shared_real / yunet.FILE_NAME, min_score=0.1)
    image = draw_face(grey(), 240, 180, 120)
    direct = cv2.FaceDetectorYN.create(str(shared_real / yunet.FILE_NAME), "", (480, 360), 0.1)
    _, rows = direct.detect(np.ascontiguousarray(image[..., ::-1]))
    assert detector.detect(image)[0].score == pytest.approx(float(rows[0, 14]))


@pytest.mark.parametrize(
    "image", [grey()[..., 0], grey().astype(np.float32), grey()[:0], grey()[..., :2]]
)
def test_wrong_image(detector: FaceDetector, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        detector.detect(image)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="min_score"):
        YuNetDetector("x.onnx", min_score=1.5)
    with pytest.raises(ValueError, match="auto"):
        open_detector("mtcnn")
    with pytest.raises(ValueError, match="takes no model"):
        open_detector("haar", Path("x.onnx"))


@pytest.fixture
def no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has no model anywhere and must not fetch one; returns its cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(yunet.OFFLINE_VARIABLE, "1")
    monkeypatch.delenv(yunet.MODEL_VARIABLE, raising=False)
    return tmp_path / "cache" / "keras_ddl"


def test_auto_without_a_model_is_haar_and_says_why_in_one_line(
    no_model: Path, haar: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "keras_ddl"):
        assert open_detector("auto").name == "haar"
    (record,) = caplog.records
    message = record.getMessage()
    assert "Haar" in message and yunet.OFFLINE_VARIABLE in message and "\n" not in message


def test_an_opencv_without_cascades_is_told_in_one_line_with_the_way_out(
    no_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    with caplog.at_level(logging.INFO, "keras_ddl"):
        for name in ("haar", "auto"):
            with pytest.raises(UserError, match="has no Haar cascades") as caught:
                open_detector(name)
            told = str(caught.value)
            assert caught.value.exit_code == 3 and "\n" not in told
            assert cv2.__version__ in told and "install opencv-python below 5, or take" in told
    assert yunet.OFFLINE_VARIABLE in told and "doctor --fetch" in told  # of auto
    assert caplog.records == []  # nothing was chosen


def test_yunet_without_a_model_is_an_error(no_model: Path) -> None:
    with pytest.raises(UserError, match=yunet.OFFLINE_VARIABLE) as caught:
        open_detector("yunet")
    told = str(caught.value)
    assert "--fetch" in told and f"${yunet.MODEL_VARIABLE}" in told and "--detector haar" in told
    assert caught.value.exit_code == 3


def test_auto_finds_the_model_in_the_cache(
    no_model: Path, shared_real: Path, caplog: pytest.LogCaptureFixture
) -> None:
    no_model.mkdir(parents=True)
    (no_model / yunet.FILE_NAME).write_bytes((shared_real / yunet.FILE_NAME).read_bytes())
    with caplog.at_level(logging.INFO, "keras_ddl"):
        assert open_detector("auto").name == "yunet"
    assert len(caplog.records) == 1 and "yunet" in caplog.text


def test_a_named_model_comes_first(
    no_model: Path, shared_real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shared_real / yunet.FILE_NAME
    assert open_detector("auto", model).name == "yunet"
    assert open_detector("yunet", str(model)).name == "yunet"
    monkeypatch.setenv(yunet.MODEL_VARIABLE, str(model))
    assert open_detector().name == "yunet"


def test_a_named_model_that_does_not_work_is_an_error_even_for_auto(
    no_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="no such file"):
        open_detector("auto", tmp_path / "absent.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(UserError, match="cannot load") as caught:
        open_detector("auto", broken)
    assert "\n" not in str(caught.value)
    monkeypatch.setenv(yunet.MODEL_VARIABLE, str(tmp_path / "absent.onnx"))
    with pytest.raises(UserError, match=yunet.MODEL_VARIABLE):
        open_detector("auto")


def test_opening_yunet_says_nothing_and_leaves_opencvs_log_as_it_was(
    shared_real: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    level = cv2.utils.logging.getLogLevel()
    YuNetDetector(shared_real / yunet.FILE_NAME)
    assert capfd.readouterr() == ("", "")
    assert cv2.utils.logging.getLogLevel() == level


@pytest.mark.real
def test_the_two_agree_on_a_real_face(shared_real: Path, haar: str) -> None:
    pytest.importorskip("av")
    from keras_ddl.edge.video import read_video

    model = shared_real / yunet.FILE_NAME
    assert hashlib.sha256(model.read_bytes()).hexdigest() == yunet.SHA256
    cascade, net = HaarDetector(), YuNetDetector(model)
    offsets = []
    for frame in read_video(shared_real / "ffpp_youtube_519.mp4"):
        if frame.index >= 120:
            break
        if frame.index % 10:
            continue
        a, b = cascade.detect(frame.image)[0], net.detect(frame.image)[0]
        (ax, ay), (bx, by), side = centre(a), centre(b), b.box[2]
        offsets.append([(ax - bx) / side, (ay - by) / side, a.box[2] / side])
    assert len(offsets) == 12
    assert np.mean(offsets, axis=0) == pytest.approx([0, 0, 1], abs=0.04)
    assert np.abs(np.array(offsets) - [0, 0, 1]).max() < 0.15


@pytest.mark.parametrize(
    ("eye", "other", "nose", "turn"),
    [
        ((0, 0), (40, 0), (20, 25), 0.0),  # midway: looks ahead
        ((40, 0), (0, 0), (20, 25), 0.0),  # whichever eye comes first
        ((0, 0), (40, 0), (30, 25), 0.5),
        ((0, 0), (40, 0), (40, 25), 1.0),  # below an eye
        ((0, 0), (10, 0), (15, 25), 2.0),  # beyond it
        ((0, 0), (30, 30), (15, 15), 0.0),  # a tilted head is not a turned one
        ((7, 7), (7, 7), (9, 9), 1.0),  # one eye behind the other
    ],
)
def test_turn_is_the_nose_against_the_eyes(
    eye: tuple[int, int], other: tuple[int, int], nose: tuple[int, int], turn: float
) -> None:
    from keras_ddl.edge.faces.detect import _turn

    points = (np.array(point, np.float64) for point in (eye, other, nose))
    assert _turn(*points) == pytest.approx(turn)


@pytest.mark.real
def test_yunet_sees_that_a_newsreader_looks_ahead_and_a_spectator_does_not(
    shared_real: Path,
) -> None:
    pytest.importorskip("av")
    from keras_ddl.edge.video import read_video

    detector = YuNetDetector(shared_real / yunet.FILE_NAME)
    frames = islice(read_video(shared_real / "ffpp_youtube_519.mp4"), 0, 60, 20)
    assert max(detector.detect(frame.image)[0].turn for frame in frames) < 0.5
    crowd = islice(read_video(shared_real / "hamilton_crowd.mp4"), 0, None, 10)
    turns = [face.turn for frame in crowd for face in detector.detect(frame.image)]
    assert sum(turn > 1.5 for turn in turns) >= 3


@pytest.mark.real
def test_haar_says_nothing_of_turned_heads(shared_real: Path, haar: str) -> None:
    pytest.importorskip("av")
    from keras_ddl.edge.video import read_video

    first = next(read_video(shared_real / "ffpp_youtube_519.mp4"))
    assert HaarDetector().detect(first.image)[0].turn is None
