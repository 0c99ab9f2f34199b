"""Face detectors whose boxes agree: YuNet where its model is at hand, OpenCV's Haar cascade else.

The canonical box is a square from the lower forehead to the chin. Crops of the same face by
either detector are to look alike, because a model trained on one may be fed by the other, so each
detector maps its own box onto it. In terms of YuNet's box (w, h): side = √(w·h), centre 0.05 side
below YuNet's. Haar's box is, against that of YuNet, 1.042 times as large with its centre 0.027
side higher: means over 63 frames of an upright news reader (FaceForensics++ original 519), where
the centre scatters by 0.03 side and the size by 4 %.
"""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.faces.yunet import MODEL_VARIABLE, find_yunet

log = logging.getLogger(__name__)

Box = tuple[float, float, float, float]

NAMES = ("auto", "haar", "yunet")
YUNET_MAX_SIDE = 800  # larger images are shrunk to this longer side in pixels
DROP = 0.05  # canonical centre below YuNet's, in sides
HAAR_SCALE = 1.042  # side of Haar's box over the canonical side
HAAR_DROP = 0.027 + DROP  # canonical centre below Haar's, in sides
MAX_SHARED = 0.6  # of the smaller of two Haar boxes, before the weaker one is left out
HAAR_MAX_SIDE = 400  # longer side of the searched image in pixels
HAAR_SCALE_FACTOR = 1.15  # step between searched face sizes
HAAR_MIN_NEIGHBOURS = 4  # overlapping hits that make a face
HAAR_MIN_FACE = 0.08  # smallest searched face relative to the shorter side of the image
HAAR_NEIGHBOURS_HALF = 10.0  # overlapping hits at which Haar's score is one half


@dataclass(frozen=True)
class Face:
    """A face in one image.

    Args:
        box: Canonical square box (x, y, w, h) in pixels; x, y = outer corner; may leave the image.
        score: In (0, 1], comparable within one detector only.
        turn: How far the face is turned to a side, from 0 (the nose is midway between the eyes) to
            1 (it lies beside one of them) and beyond; None = the detector finds no eyes.
        points: Five (x, y) in pixels: the eye on the picture's left, the other, the tip of the
            nose, the corners of the mouth; None = the detector finds none.
    """

    box: Box
    score: float
    turn: float | None = None
    points: tuple[tuple[float, float], ...] | None = None


class FaceDetector(Protocol):
    """Interface of every detector."""

    name: str

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        """Return the faces of a uint8 (H, W, 3) RGB image, largest score · area first."""
        ...


class HaarDetector:
    """OpenCV's frontal-face cascade (`alt2`): always at hand, upright frontal faces only.

    The image is brought to 400 pixels on its longer side and its histogram equalised. With the
    settings above every frame of the FaceForensics++ pair 519 gave its face and nothing else (252
    frames looked at), and a film of a crowd one false positive in 275 frames; the `default` cascade
    has one on every third frame.
    """

    name = "haar"

    def __init__(self) -> None:
        self._cascade = _haar_cascade()

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        """Return the faces of a uint8 (H, W, 3) RGB image, largest score · area first."""
        import cv2

        _check_image(image_rgb)
        small, factor = _shrink(image_rgb, HAAR_MAX_SIDE)
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        least = max(20, round(HAAR_MIN_FACE * min(grey.shape)))  # the cascade's window is 20 px
        boxes, counts = self._cascade.detectMultiScale2(
            grey,
            scaleFactor=HAAR_SCALE_FACTOR,
            minNeighbors=HAAR_MIN_NEIGHBOURS,
            minSize=(least, least),
        )
        faces = []
        for (x, y, w, h), count in zip(boxes, np.ravel(counts), strict=True):
            side = w * factor / HAAR_SCALE
            centre_x, centre_y = (x + w / 2) * factor, (y + h / 2) * factor
            score = float(count / (count + HAAR_NEIGHBOURS_HALF))
            faces.append(Face(_square(centre_x, centre_y + HAAR_DROP * side, side), score))
        return _without_nested(_ranked(faces))


class YuNetDetector:
    """YuNet (OpenCV Zoo, 2023mar): a small network that also finds small and turned faces.

    Args:
        model: The .onnx file.
        min_score: Faces below are left out, in (0, 1).

    Raises:
        UserError: OpenCV cannot load the file.
    """

    name = "yunet"

    def __init__(self, model: Path | str, min_score: float = 0.6) -> None:
        if not 0 < min_score < 1:
            raise ValueError(f"YuNetDetector: expected min_score in (0, 1), received {min_score}")
        self._size = (320, 320)
        self._net = _yunet_network(Path(model), self._size, min_score)

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        """Return the faces of a uint8 (H, W, 3) RGB image, largest score · area first."""
        import cv2

        _check_image(image_rgb)
        small, factor = _shrink(image_rgb, YUNET_MAX_SIDE)
        size = (small.shape[1], small.shape[0])
        if size != self._size:
            self._net.setInputSize(size)
            self._size = size
        _, rows = self._net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        faces = []
        for row in np.empty((0, 15)) if rows is None else rows.astype(np.float64):
            x, y, w, h = row[:4] * factor
            if w <= 0 or h <= 0:
                continue
            side = math.sqrt(w * h)
            box = _square(x + w / 2, y + h / 2 + DROP * side, side)
            points = row[4:14].reshape(5, 2)
            place = tuple((float(x * factor), float(y * factor)) for x, y in points)
            faces.append(Face(box, float(row[14]), _turn(*points[:3]), place))
        return _ranked(faces)


def open_detector(name: str = "auto", model: Path | str | None = None) -> FaceDetector:
    """Open a face detector and log at INFO which one it is and why.

    Args:
        name: "yunet", "haar", or "auto": YuNet where its model is found or can be fetched by
            checksum (see `keras_ddl.edge.faces.yunet.find_yunet`), Haar otherwise.
        model: YuNet's model file. One that is named, here or by $KERAS_DDL_YUNET, must work,
            "auto" included.

    Raises:
        ValueError: Unknown name, or a model for Haar.
        UserError: "yunet" and its model cannot be had; no cascade in this OpenCV.
    """
    if name not in NAMES:
        raise ValueError(f"detector: expected one of {NAMES}, received {name!r}")
    if name == "haar":
        if model is not None:
            raise ValueError(f"detector haar takes no model, received {model}")
        log.info("face detector: haar (as asked)")
        return HaarDetector()
    named = model is not None or bool(os.environ.get(MODEL_VARIABLE))
    try:
        path = find_yunet(model)
        detector = YuNetDetector(path)
    except UserError as error:
        if named:
            raise
        if name == "yunet":
            remedy = f"once there is a network: {typed('doctor')} --fetch; or name its file with"
            other = f"${MODEL_VARIABLE}, or take --detector haar, which misses faces"
            raise UserError(f"{error}; {remedy} {other}", error.exit_code) from error
        log.warning(
            "face detector: Haar, which misses turned, small and dark faces that YuNet finds. %s. "
            "Once there is a network: %s --fetch; or name the file with $%s",
            *(error, typed("doctor"), MODEL_VARIABLE),
        )
        return HaarDetector()
    log.info("face detector: yunet (%s)", path)
    return detector


def _haar_cascade() -> Any:
    """Load the cascade from OpenCV's wheel or a system's OpenCV."""
    cv2 = _opencv()
    if not hasattr(cv2, "CascadeClassifier"):
        raise UserError(
            f"OpenCV {cv2.__version__} has no Haar cascades; install one below 5, or use YuNet",
            MISSING,
        )
    file = "haarcascade_frontalface_alt2.xml"
    folders = [getattr(getattr(cv2, "data", None), "haarcascades", None)]
    folders += [f"/usr/share/{name}/haarcascades" for name in ("opencv4", "opencv")]
    for folder in folders:
        if folder and (Path(folder) / file).is_file():
            cascade = cv2.CascadeClassifier(str(Path(folder) / file))
            if not cascade.empty():
                return cascade
    raise UserError(f"OpenCV {cv2.__version__} comes without {file}; install opencv-data", MISSING)


def _yunet_network(model: Path, size: tuple[int, int], min_score: float) -> Any:
    cv2 = _opencv()
    if not hasattr(cv2, "FaceDetectorYN"):
        raise UserError(
            f"OpenCV {cv2.__version__} has no FaceDetectorYN; install 4.8 or later", MISSING
        )
    try:
        return cv2.FaceDetectorYN.create(str(model), "", size, min_score, 0.3, 5000)
    except cv2.error as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(
            f"{model}: expected YuNet's ONNX model, OpenCV cannot load it ({line})", MISSING
        ) from error


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            f"finding faces needs OpenCV: {error}; install the 'edge' extra", MISSING
        ) from error
    return cv2


def _check_image(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"image: expected uint8 (H, W, 3) RGB, received {image.dtype} {tuple(image.shape)}"
        )


def _shrink(image: np.ndarray, max_side: int) -> tuple[np.ndarray, float]:
    """Return the image with its longer side at most `max_side`, and what its pixels stand for."""
    import cv2

    factor = max(image.shape[:2]) / max_side
    if factor <= 1:
        return image, 1.0
    width, height = (max(1, round(side / factor)) for side in (image.shape[1], image.shape[0]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), factor


def _square(centre_x: float, centre_y: float, side: float) -> Box:
    side = float(side)  # plain numbers: boxes end in JSON
    return (float(centre_x) - side / 2, float(centre_y) - side / 2, side, side)


def _turn(eye: np.ndarray, other_eye: np.ndarray, nose: np.ndarray) -> float:
    """Distance of the nose from the middle of the eyes, along their line, in half eye distances."""
    line = other_eye - eye
    length = float(line @ line)
    if length <= 0.0:
        return 1.0  # one eye behind the other
    return abs(2.0 * float((nose - eye) @ line) / length - 1.0)


def _without_nested(faces: list[Face]) -> list[Face]:
    """Leave out a face that shares most of the smaller box with one of a higher score.

    Haar sees a face once more in head and shoulders; two faces never lie within each other.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_shared(face.box, other.box) < MAX_SHARED for other in kept):
            kept.append(face)
    return [face for face in faces if face in kept]


def _shared(a: Box, b: Box) -> float:
    """Return the intersection of two boxes over the area of the smaller one."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0) / min(a[2] * a[3], b[2] * b[3])


def _ranked(faces: list[Face]) -> list[Face]:
    """Sort by score · area, then by place, so that equal input gives equal output."""
    return sorted(faces, key=lambda face: (-face.score * face.box[2] * face.box[3], face.box))
