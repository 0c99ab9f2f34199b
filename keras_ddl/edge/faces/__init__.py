"""Face detection, tracking and cropping. NumPy and OpenCV only."""

from __future__ import annotations

from keras_ddl.edge.faces.crop import square_crop
from keras_ddl.edge.faces.detect import HaarDetector, YuNetDetector, open_detector
from keras_ddl.edge.faces.face import Face, FaceDetector
from keras_ddl.edge.faces.track import Track, Tracker

__all__ = [
    "Face",
    "FaceDetector",
    "HaarDetector",
    "Track",
    "Tracker",
    "YuNetDetector",
    "open_detector",
    "square_crop",
]
