"""The marks that one frame's annotated picture gets, from the state of its source."""

from __future__ import annotations

import numpy as np

from deploy.bundle import SYNTHETIC
from deploy.drawing.overlay import FaceMark, Scene, draw
from deploy.judging.session import SourceJudge
from deploy.judging.verdict import Label
from keras_ddl.edge.clipper import FrameResult
from keras_ddl.edge.faces.heat_map import face_part

BANNERS = {
    True: "synthetic-trained model on synthetic footage",
    False: "synthetic-trained model: no verdict on real footage",
}


def annotated(judge: SourceJudge, result: FrameResult) -> np.ndarray:
    """Return a frame with its marks, uint8 (H, W, 3) RGB."""
    return draw(result.frame.image, scene_of(judge, result))


def scene_of(judge: SourceJudge, result: FrameResult) -> Scene:
    """Return what to draw on a frame."""
    run = judge.run
    banner = ""
    if run.bundle.domain == SYNTHETIC:
        banner = BANNERS[run.footage == SYNTHETIC]
    footer = f"model {run.bundle.model_id} | {judge.detector} | {run.backend.name}"
    marks = []
    for track, face in zip(result.tracks, judge.faces(result), strict=True):
        heat = judge.heat(track.id) if run.heat else None
        if heat is not None:
            heat = face_part(heat, run.bundle.spec.margin)
        label = Label(face.verdict)
        marks.append(FaceMark(track.id, track.box, label, face.probability, face.reason, heat))
    points, kind = tuple(judge.points), run.bundle.map_kind
    legend = kind.caption if kind and any(mark.heat is not None for mark in marks) else ""
    return Scene(result.frame.time_ms, tuple(marks), points, judge.policy, footer, banner, legend)
