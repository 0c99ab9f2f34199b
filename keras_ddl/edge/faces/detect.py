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
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.faces.face import (
    Box,
    Face,
    FaceDetector,
    check_image,
    ranked,
    searched_size,
    shrunk,
    square,
)
from keras_ddl.edge.faces.yunet import MODEL_VARIABLE, find_yunet

log = logging.getLogger(__name__)

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
HAAR_SLACK = 0.8  # how much smaller than the smallest face of interest it searches
NETWORKS = 2  # networks of YuNet, each of one input size: giving another one another takes 1 ms


class HaarDetector:
    """OpenCV's frontal-face cascade (`alt2`): always at hand, upright frontal faces only.

    The image is brought to 400 pixels on its longer side and its histogram equalised. With the
    settings above every frame of the FaceForensics++ pair 519 gave its face and nothing else (252
    frames looked at), and a film of a crowd one false positive in 275 frames; the `default` cascade
    has one on every third frame.
    """

    name = "haar"
    smallest = 40.0
    region = 128
    cheap = 0
    worth = 1.2

    def __init__(self) -> None:
        self._cascade = _haar_cascade()

    def size(self, width: int, height: int, least: float | None = None) -> tuple[int, int]:
        """Return width and height at which `detect` looks at such an image, in pixels."""
        return searched_size(width, height, HAAR_MAX_SIDE, self.smallest, least)

    def detect(self, image_rgb: np.ndarray, least: float | None = None) -> list[Face]:
        """Return the faces of a uint8 (H, W, 3) RGB image; see `FaceDetector.detect`."""
        import cv2

        check_image(image_rgb)
        height, width = image_rgb.shape[:2]
        size = self.size(width, height, least)
        small = shrunk(image_rgb, size, quick=least is not None)
        across, down = width / size[0], height / size[1]
        scale = math.sqrt(across * down)
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        lowest = HAAR_MIN_FACE * min(size) if least is None else HAAR_SLACK * least / scale
        lowest = max(20, round(lowest))  # the cascade's window is 20 px
        boxes, counts = self._cascade.detectMultiScale2(
            grey,
            scaleFactor=HAAR_SCALE_FACTOR,
            minNeighbors=HAAR_MIN_NEIGHBOURS,
            minSize=(lowest, lowest),
        )
        faces = []
        for (x, y, w, h), count in zip(boxes, np.ravel(counts), strict=True):
            side = w * scale / HAAR_SCALE
            centre_x, centre_y = (x + w / 2) * across, (y + h / 2) * down
            score = float(count / (count + HAAR_NEIGHBOURS_HALF))
            faces.append(Face(square(centre_x, centre_y + HAAR_DROP * side, side), score))
        return _without_nested(ranked(faces))


class YuNetDetector:
    """YuNet (OpenCV Zoo, 2023mar): a small network that also finds small and turned faces.

    Args:
        model: The .onnx file.
        min_score: Faces below are left out, in (0, 1).

    Raises:
        UserError: OpenCV cannot load the file.
    """

    name = "yunet"
    smallest = 32.0
    region = 96
    cheap = 320 * 240
    worth = 0.4

    def __init__(self, model: Path | str, min_score: float = 0.6) -> None:
        if not 0 < min_score < 1:
            raise ValueError(f"YuNetDetector: expected min_score in (0, 1), received {min_score}")
        self._new = partial(_yunet_network, Path(model), min_score=min_score)
        self._networks = {(320, 320): self._new((320, 320))}

    def size(self, width: int, height: int, least: float | None = None) -> tuple[int, int]:
        """Return width and height at which `detect` looks at such an image, in pixels."""
        return searched_size(width, height, YUNET_MAX_SIDE, self.smallest, least)

    def detect(self, image_rgb: np.ndarray, least: float | None = None) -> list[Face]:
        """Return the faces of a uint8 (H, W, 3) RGB image; see `FaceDetector.detect`."""
        import cv2

        check_image(image_rgb)
        height, width = image_rgb.shape[:2]
        size = self.size(width, height, least)
        small = shrunk(image_rgb, size, quick=least is not None)
        factor = np.array([width / size[0], height / size[1]])
        _, rows = self._network(size).detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        faces = []
        for row in np.empty((0, 15)) if rows is None else rows.astype(np.float64):
            x, y, w, h = row[:4] * np.tile(factor, 2)
            if w <= 0 or h <= 0:
                continue
            side = math.sqrt(w * h)
            box = square(x + w / 2, y + h / 2 + DROP * side, side)
            points = row[4:14].reshape(5, 2) * factor
            place = tuple((float(x), float(y)) for x, y in points)
            faces.append(Face(box, float(row[14]), _turn(*points[:3]), place))
        return ranked(faces)

    def _network(self, size: tuple[int, int]) -> Any:
        """Return a network of that input size: its own, a new one, or the one not used longest."""
        network = self._networks.pop(size, None)
        if network is None and len(self._networks) < NETWORKS:
            network = self._new(size)
        elif network is None:
            network = self._networks.pop(next(iter(self._networks)))
            network.setInputSize(size)
        self._networks[size] = network
        return network


def open_detector(name: str = "auto", model: Path | str | None = None) -> FaceDetector:
    """Open a face detector and log at INFO which one it is and why.

    Args:
        name: "yunet", "haar", or "auto": YuNet where its model is found or can be fetched by
            checksum (see `keras_ddl.edge.faces.yunet.find_yunet`), Haar otherwise.
        model: YuNet's model file. One that is named, here or by $KERAS_DDL_YUNET, must work,
            "auto" included.

    Raises:
        ValueError: Unknown name, or a model for Haar.
        UserError: "yunet" and its model cannot be had; "haar" and this OpenCV has no cascade;
            "auto" and neither is there.
    """
    if name not in NAMES:
        raise ValueError(f"detector: expected one of {NAMES}, received {name!r}")
    if name == "haar":
        if model is not None:
            raise ValueError(f"detector haar takes no model, received {model}")
        haar = HaarDetector()
        log.info("face detector: haar (as asked)")
        return haar
    named = model is not None or bool(os.environ.get(MODEL_VARIABLE))
    try:
        path = find_yunet(model)
        detector = YuNetDetector(path)
    except UserError as error:
        if named:
            raise
        if name == "yunet":
            remedy = f"once there is a network: {typed('doctor')} --fetch; or name its file with"
            there = hasattr(_opencv(), "CascadeClassifier")  # not in OpenCV 5
            other = ", or take --detector haar, which misses faces" if there else ""
            raise UserError(
                f"{error}; {remedy} ${MODEL_VARIABLE}{other}", error.exit_code
            ) from error
        haar = _instead_of_yunet(error)
        log.warning(
            "face detector: Haar, which misses turned, small and dark faces that YuNet finds. %s. "
            "Once there is a network: %s --fetch; or name the file with $%s",
            *(error, typed("doctor"), MODEL_VARIABLE),
        )
        return haar
    log.info("face detector: yunet (%s)", path)
    return detector


def _instead_of_yunet(error: UserError) -> HaarDetector:
    """Return Haar's detector where YuNet's model cannot be had.

    Raises:
        UserError: there is none either.
    """
    try:
        return HaarDetector()
    except UserError as lacking:
        why = f"expected YuNet's model or Haar cascades, received neither: {error}; {lacking}"
        remedy = f"{typed('doctor')} --fetch once there is a network, or its file by"
        raise UserError(f"{why}: {remedy} ${MODEL_VARIABLE}", MISSING) from error


def _has_cascades() -> bool:
    return hasattr(_opencv(), "CascadeClassifier")  # OpenCV 5 has none


def _haar_cascade() -> Any:
    """Load the cascade from OpenCV's wheel or a system's OpenCV."""
    cv2 = _opencv()
    if not _has_cascades():
        raise UserError(
            f"OpenCV {cv2.__version__} has no Haar cascades (4 has); install opencv-python below "
            "5, or take YuNet",
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
    logging_of = cv2.utils.logging
    level = logging_of.getLogLevel()
    # OpenCV 5 warns of each network that its engine has no choice of targets; nobody chose one.
    logging_of.setLogLevel(min(level, logging_of.LOG_LEVEL_ERROR))
    try:
        return cv2.FaceDetectorYN.create(str(model), "", size, min_score, 0.3, 5000)
    except cv2.error as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(
            f"{model}: expected YuNet's ONNX model, OpenCV cannot load it ({line})", MISSING
        ) from error
    finally:
        logging_of.setLogLevel(level)


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            f"finding faces needs OpenCV: {error}; install the 'edge' extra", MISSING
        ) from error
    return cv2


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
